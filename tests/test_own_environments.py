"""Training on what a program hands over: the same bytes as by name, whoever steps it and whatever stops it."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch

import a2c
import own_toys
from a2c.cli import main
from a2c.envs.look import decided
from a2c.errors import ConfigError
from a2c.storage.checkpoint import load_checkpoint
from builders import LIGHT
from registrations import forgetting_own
from sessions import Sessions, differences, left_by

Local, local = own_toys.made_here()
CHAIN = "env.wrappers=[gymnasium.wrappers.FlattenObservation,{own_toys:Repeat:{times:3}}]"
SHORT = (*LIGHT, "total_steps=100", "num_envs=2", "n_step=5")


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own; what a test makes known is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    with forgetting_own():
        yield


def weights(summary: Any = None) -> torch.Tensor:
    folder = Path("runs/latest" if summary is None else summary.folder)
    tensors = load_checkpoint(folder / "checkpoints" / "last.pt")["learner"]["model"].values()
    return torch.cat([tensor.flatten().double() for tensor in tensors])


def test_by_command_line_by_name_and_by_object_it_is_one_training() -> None:
    assert main(["train", "env.id=own_toys:Walk", *SHORT]) == 0
    expected = weights()
    assert torch.equal(weights(a2c.train(a2c.load_config("env.id=own_toys:Walk", *SHORT))), expected)
    by_object = a2c.train(a2c.load_config(*SHORT, env=own_toys.Walk))
    assert torch.equal(weights(by_object), expected)
    handed_over = a2c.train(a2c.load_config("env.id=own_toys:Walk", *SHORT), env=Local)  # equal code, another class
    assert torch.equal(weights(handed_over), expected)
    assert handed_over.env_id == "own_toys:made_here.<locals>.Local"
    assert by_object.env_id == "own_toys:Walk"
    assert not torch.equal(weights(a2c.train(a2c.load_config(*SHORT, "seed=2", env=own_toys.Walk))), expected)


@functools.cache
def with_chain() -> torch.Tensor:
    """The weights of the training that all ways must come to."""
    return weights(a2c.train(a2c.load_config(*SHORT, CHAIN, env=own_toys.Parts)))


WAYS = {
    "workers": ("vectorization=workers", "num_workers=2", "main_shard=false"),
    "main shard": ("vectorization=workers", "num_workers=1", "main_shard=true"),
    "async": ("vectorization=async",),
    "groups": ("vectorization=workers", "num_workers=1", "env_groups=2"),
    "isolated": ("vectorization=auto", "env.isolate=true"),
}


@pytest.mark.parametrize("way", WAYS)
def test_whoever_steps_it_an_object_with_wrappers_trains_the_same(way: str) -> None:
    class Here(own_toys.Parts):
        """Known to this function alone."""

    found = a2c.train(a2c.load_config(*SHORT, CHAIN, *WAYS[way], env=Here))
    assert torch.equal(weights(found), with_chain())


def test_a3c_takes_an_object_with_wrappers() -> None:
    class Here(own_toys.Parts):
        """Known to this function alone."""

    cfg = a2c.load_config(*SHORT, CHAIN, env=Here)
    one = dataclasses.replace(decided(cfg), algo="a3c", num_workers=1, vectorization="auto")
    assert torch.equal(weights(a2c.train(one)), with_chain())


@pytest.mark.parametrize("how", ["vectorization=sync", "vectorization=workers"])
def test_a_resumed_run_with_wrappers_and_options_goes_on_exactly(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(tmp_path, monkeypatch)
    run = (
        "env.id=own_toys:Parts",
        CHAIN,
        "env.reset_options.place=1",
        "num_envs=2",
        "n_step=5",
        "log_every=50",
        how,
    )
    whole = sessions.run(*run, until=13)
    resumed = sessions.interrupted(*run, stops=[3, 7], until=13)
    assert differences(left_by(resumed), left_by(whole)) == []
    assert sessions.told("episodes in flight go on where they were")


def test_another_session_is_given_the_object_again(tmp_path: Path) -> None:
    folder = a2c.train(a2c.load_config(*SHORT, env=local)).folder
    whole = a2c.train(a2c.load_config(*SHORT, "total_steps=200", env=local))
    gym.registry.pop("own_toys:made_here.<locals>.<lambda>")
    policy = a2c.load_policy(folder)
    with pytest.raises(ConfigError, match="was handed over by a program; do that again"):
        a2c.evaluate(policy, 2)
    with pytest.raises(ConfigError, match="was handed over by a program"):
        a2c.train(a2c.load_config(f"resume={folder}", "total_steps=200"))
    again = a2c.train(a2c.load_config(f"resume={folder}", "total_steps=200"), env=local)
    assert torch.equal(weights(again), weights(whole))
    assert a2c.evaluate(policy, 2, env=local) == a2c.evaluate(policy, 2, env=own_toys.Walk)


def test_the_commands_ask_for_what_a_program_had_handed_over(capsys: pytest.CaptureFixture[str]) -> None:
    a2c.train(a2c.load_config(*SHORT, env=local))
    gym.registry.pop("own_toys:made_here.<locals>.<lambda>")
    said = capsys.readouterr().out
    assert "a2c.evaluate(a2c.load_policy('runs/" in said
    for command in ("eval", "watch", "train resume=latest total_steps=200"):
        assert main(command.split()) == 2
        assert "was handed over by a program; do that again" in capsys.readouterr().err
    assert main(["eval", "episodes=2", "env.id=own_toys:Walk"]) == 0
    assert "own_toys:Walk" in capsys.readouterr().out
    assert main(["eval", "env.id=CartPole-v1", "episodes=2"]) != 0  # of other spaces


def test_a_preset_that_stays_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    a2c.train(a2c.load_config("env=cartpole", *SHORT), env=own_toys.Walk)
    assert "env= takes the place of CartPole-v1, whose other settings stay" in capsys.readouterr().err
    a2c.train(a2c.load_config(*SHORT, env=own_toys.Walk), env=own_toys.Walk)
    assert "takes the place" not in capsys.readouterr().err


def test_the_callers_settings_stay_as_they_are() -> None:
    cfg = a2c.load_config("env=cartpole", *SHORT)
    a2c.train(cfg, env=own_toys.Walk)
    assert cfg == a2c.load_config("env=cartpole", *SHORT)


def test_training_works_in_a_thread_that_is_not_the_main_one() -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(a2c.train(a2c.load_config(*SHORT, env=own_toys.Walk))))
    thread.start()
    thread.join(300)
    assert torch.equal(weights(found[0]), weights(a2c.train(a2c.load_config(*SHORT, env=own_toys.Walk))))
