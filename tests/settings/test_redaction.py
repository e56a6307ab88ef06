"""Secrets stay out of what a run leaves behind."""

from __future__ import annotations

import sys

import pytest

from a2c.settings.redaction import HIDDEN, Secrets, hidden_keys, redact, redact_argument, redacted_argv, restored


def test_a_secret_is_hidden_at_any_depth_and_the_rest_stays() -> None:
    settings = {"lr": 7e-4, "env": {"kwargs": {"api_key": "sk-1", "size": 4, "nested": [{"Password": "p"}]}}}
    assert redact(settings) == {
        "lr": 7e-4,
        "env": {"kwargs": {"api_key": HIDDEN, "size": 4, "nested": [{"Password": HIDDEN}]}},
    }
    assert settings["env"]["kwargs"]["api_key"] == "sk-1"  # type: ignore[index]  # a copy was redacted


@pytest.mark.parametrize("name", ["key", "API_KEY", "apiKey", "auth_token", "client_secret", "passwd", "credentials"])
def test_names_that_look_secret(name: str) -> None:
    assert redact({name: "x"}) == {name: HIDDEN}


def test_a_whole_branch_under_a_secret_name_is_hidden() -> None:
    assert redact({"secrets": {"user": "u", "pin": "1"}}) == {"secrets": HIDDEN}


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("env.kwargs.api_key=sk-1", "env.kwargs.api_key=<redacted>"),
        ("env.kwargs={api_key: sk-1}", "env.kwargs=<redacted>"),
        ("++env.kwargs.token=a=b", "++env.kwargs.token=<redacted>"),
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
    assert seen == [["a2c", "train", "env.kwargs.token=<redacted>"]]
    assert sys.argv == ["a2c", "train", "env.kwargs.token=t"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pass@host/x", "https://<redacted>@host/x"),
        ("redis://:pass@host:6379", "redis://<redacted>@host:6379"),
        ("https://ghp_token@github.com/x.git", "https://<redacted>@github.com/x.git"),
        ("https://host/x?size=3&api_key=k#end", "https://host/x?size=3&api_key=<redacted>#end"),
        ("https://host/x?X-Amz-Signature=s&X-Amz-Date=1", "https://host/x?X-Amz-Signature=<redacted>&X-Amz-Date=1"),
        ("https://host/me@home", "https://host/me@home"),
        ("a@b", "a@b"),
    ],
)
def test_a_url_loses_who_logs_in_and_what_lets_in(url: str, shown: str) -> None:
    assert redact({"url": url, "list": [url]}) == {"url": shown, "list": [shown]}
    assert redact(redact(url)) == shown
    assert redact_argument(f"env.kwargs.url={url}") == f"env.kwargs.url={shown}"
    assert Secrets(()).hide(f"cannot reach {url}") == f"cannot reach {shown}"


def test_a_flag_is_no_secret() -> None:
    assert redact({"use_keyboard": True, "token": None}) == {"use_keyboard": True, "token": None}


def test_text_loses_every_secret_of_the_settings_and_the_key_of_wandb() -> None:
    tree = {"api_key": "long-secret", "login": {"tokens": ["abcd", 123456, 7]}, "url": "ftp://me:pass@host", "lr": 0.5}
    secrets = Secrets.of(tree, environ={"WANDB_API_KEY": "w&b-key"})
    assert secrets.hide("long-secret abcd 123456 me:pass pass w&b-key 7 0.5") == f"{' '.join([HIDDEN] * 6)} 7 0.5"


def test_an_exception_loses_them_in_its_notes_and_causes_too() -> None:
    error = ValueError("no abcd", 3)
    error.add_note("told abcd")
    error.__cause__ = KeyError("abcd")
    Secrets(("abcd",)).hide_in(error)
    assert (error.args, error.__notes__) == ((f"no {HIDDEN}", 3), [f"told {HIDDEN}"])
    assert error.__cause__.args == (HIDDEN,)


def test_what_was_hidden_can_be_put_back_and_nothing_else() -> None:
    own = {"size": 3, "login": {"user": "me", "key": "k"}, "list": [{"token": "t"}]}
    saved = redact(own)
    assert hidden_keys(saved, "env.kwargs") == ["env.kwargs.login.key", "env.kwargs.list"]
    assert restored(saved, {**own, "size": 4}) == own
    assert hidden_keys(restored(saved, {"login": {"key": "k"}})) == ["list"]
