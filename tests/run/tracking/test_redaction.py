"""Secrets stay out of what a run leaves behind."""

from __future__ import annotations

import sys

import pytest

from a2c.run.tracking.redaction import redact, redact_argument, redacted_argv


def test_a_secret_is_hidden_at_any_depth_and_the_rest_stays() -> None:
    settings = {"lr": 7e-4, "env": {"kwargs": {"api_key": "sk-1", "size": 4, "nested": [{"Password": "p"}]}}}
    assert redact(settings) == {
        "lr": 7e-4,
        "env": {"kwargs": {"api_key": "***", "size": 4, "nested": [{"Password": "***"}]}},
    }
    assert settings["env"]["kwargs"]["api_key"] == "sk-1"  # type: ignore[index]  # a copy was redacted


@pytest.mark.parametrize("name", ["key", "API_KEY", "apiKey", "auth_token", "client_secret", "passwd", "credentials"])
def test_names_that_look_secret(name: str) -> None:
    assert redact({name: "x"}) == {name: "***"}


def test_a_whole_branch_under_a_secret_name_is_hidden() -> None:
    assert redact({"secrets": {"user": "u", "pin": "1"}}) == {"secrets": "***"}


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("env.kwargs.api_key=sk-1", "env.kwargs.api_key=***"),
        ("env.kwargs={api_key: sk-1}", "env.kwargs=***"),
        ("++env.kwargs.token=a=b", "++env.kwargs.token=***"),
        ("lr=0.1", "lr=0.1"),
        ("train", "train"),
    ],
)
def test_an_override_keeps_its_name_and_loses_its_secret(argument: str, shown: str) -> None:
    assert redact_argument(argument) == shown


def test_the_command_line_is_given_back_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["a2c", "train", "env.kwargs.token=t"])
    seen = []

    def fails() -> None:
        with redacted_argv():
            seen.append(sys.argv)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert seen == [["a2c", "train", "env.kwargs.token=***"]]
    assert sys.argv == ["a2c", "train", "env.kwargs.token=t"]
