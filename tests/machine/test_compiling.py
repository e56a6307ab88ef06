"""Compiled updates are the plain ones; what cannot be compiled says so and runs as it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from a2c.learning.learner import Learner
from a2c.machine.compiling import compiled_or_plain
from a2c.network.passes import AutogradPass
from builders import IMAGE, VECTOR, config, make_model, random_rollout, relative_error


@pytest.fixture
def waited_for() -> Iterator[None]:
    """The compiler runs in the foreground: a test that ends, however it ends, leaves none running."""
    from torch._inductor import config as inductor  # takes a second

    with inductor.patch(compile_threads=1):
        yield


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own modules
@pytest.mark.usefixtures("waited_for")
def test_compiled_updates_are_the_plain_ones_also_while_coefficients_change() -> None:
    changes = {"lr": 1e-2, "lr_schedule": "linear", "beta": 0.1, "beta_schedule": "linear", "total_steps": 100}
    weights, metrics, told = [], [], []
    for choice in (False, True):
        cfg = config(compile=choice, n_step=4, num_envs=3, max_grad_norm=0.5, **changes)
        model = make_model(VECTOR, cfg)
        learner = Learner(model, cfg, notify=told.append)
        for update in range(5):
            learner.update(random_rollout(model, steps=4, count=3, seed=update)[0], env_steps=12 * update)
        weights.append(learner.weights.detach())
        metrics.append(learner.drain_metrics(60))
    assert told == []
    assert relative_error(weights[1], weights[0]) < 1e-6
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-4)


def test_what_cannot_be_compiled_says_so_and_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        def fail(*_: Any) -> None:
            raise RuntimeError("no compiler\nhere")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    told: list[str] = []
    calls: list[int] = []
    call = compiled_or_plain(calls.append, told.append)
    call(1)
    call(2)
    assert calls == [1, 2]
    assert told == ["updates are not compiled: no compiler here"]


def test_an_error_of_a_compiled_function_is_no_reason_to_run_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    calls: list[int] = []

    def fails_later(number: int) -> None:
        calls.append(number)
        if number:
            raise ValueError("late")

    call = compiled_or_plain(fails_later, lambda _: None)
    call(0)
    with pytest.raises(ValueError, match="late"):
        call(1)
    assert calls == [0, 1]


def test_other_networks_compile_their_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: [compiled.append(function), function][1])
    cfg = config(compile=True)
    model = make_model(IMAGE, cfg)
    learner = Learner(model, cfg)
    assert isinstance(learner._pass, AutogradPass)
    assert compiled == [model.forward]
