"""A ready vector environment: trained on as it is, in whichever mode it resets, and left open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import a2c
import own_toys
from a2c.errors import ConfigError
from a2c.storage.checkpoint import load_checkpoint
from builders import LIGHT
from registrations import forgetting_own

SETTINGS = ("env.id=Any-v0", *LIGHT, "total_steps=120", "num_envs=3", "n_step=5", "vectorization=auto")


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with forgetting_own():
        yield


def weights(summary: Any) -> torch.Tensor:
    tensors = load_checkpoint(Path(summary.folder) / "checkpoints" / "last.pt")["learner"]["model"].values()
    return torch.cat([tensor.flatten().double() for tensor in tensors])


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv, a2c.ShardedAsyncVectorEnv])
def test_it_trains_as_environments_of_ours_do_and_stays_open(kind: Any) -> None:
    envs = kind([own_toys.Walk] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    try:
        found = a2c.train(a2c.load_config(*SETTINGS), env=envs, eval_env=own_toys.Walk)
        own = a2c.train(a2c.load_config(*SETTINGS, "vectorization=sync", env=own_toys.Walk))
        assert torch.equal(weights(found), weights(own))
        assert (found.eval_mean, found.num_envs) == (own.eval_mean, 3)
        obs, _ = envs.reset(seed=5)  # another training may follow
        assert obs.shape == (3, 2)
    finally:
        envs.close()


def test_where_it_resets_in_a_step_of_its_own_that_step_is_no_transition() -> None:
    envs = SyncVectorEnv([own_toys.Walk] * 3)  # NEXT_STEP, Gymnasium's default
    wrapped = gym.wrappers.vector.TransformReward(envs, lambda rewards: rewards + 1.0)

    def one() -> gym.Env[Any, Any]:
        return own_toys.shifted(own_toys.Walk())

    found = a2c.train(a2c.load_config(*SETTINGS, "seed=2"), env=wrapped, eval_env=one)
    assert found.env_steps >= 120
    assert found.env_steps % 15 != 0  # whole rollouts would be a multiple of 3 x 5


def test_without_an_environment_for_it_there_is_no_evaluation_and_that_is_said(capsys: Any) -> None:
    envs = SyncVectorEnv([own_toys.Walk] * 2)
    found = a2c.train(a2c.load_config(*SETTINGS), env=envs)
    said = capsys.readouterr().err
    assert "no evaluation: env= is a ready vector environment, and eval_env= makes none for it" in said
    assert "num_envs=2, as the vector environment has; the settings said 3" in said
    assert found.eval_mean is None
    assert found.env_id == "gymnasium.vector.sync_vector_env:<SyncVectorEnv>"
    with pytest.raises(ConfigError, match="vector environment only"):
        a2c.evaluate(a2c.load_policy(found.folder), 2)
    assert len(a2c.evaluate(a2c.load_policy(found.folder), 2, env=own_toys.Walk).rewards) == 2


def test_a_resumed_run_is_given_it_again() -> None:
    envs = SyncVectorEnv([own_toys.Walk] * 3)
    folder = a2c.train(a2c.load_config(*SETTINGS), env=envs, eval_env=own_toys.Walk).folder
    cfg = a2c.load_config(f"resume={folder}", "total_steps=200")
    with pytest.raises(ConfigError, match="registers no vector environment"):
        a2c.train(cfg)
    assert a2c.train(cfg, env=envs, eval_env=own_toys.Walk).env_steps >= 200


class Images(gym.vector.VectorEnv[Any, Any, Any]):
    """Of a space that no policy here takes as it is."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  # as Gymnasium writes it
    num_envs = 2
    single_observation_space = gym.spaces.Text(4)
    single_action_space = gym.spaces.Discrete(2)


class Modeless(Images):
    metadata = {}  # noqa: RUF012
    single_observation_space = gym.spaces.Box(0, 1, (2,), np.float32)  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("settings", "envs", "more", "said"),
    [
        (["algo=a3c"], None, {}, "algo=a3c does not go with a ready vector environment"),
        (["env_groups=2"], None, {}, "env_groups=2 does not go with"),
        (["vectorization=workers"], None, {}, "vectorization=workers does not go with"),
        (["env.wrappers=[own_toys:Repeat]"], None, {}, "env.wrappers does not go with"),
        (["env.reset_options.a=1"], None, {}, "env.reset_options does not go with"),
        (["env.kwargs.width=3"], None, {}, "env.kwargs does not go with"),
        (["env.step_timeout=3"], None, {}, "env.step_timeout does not go with"),
        ([], None, {"eval_env": own_toys.Parts}, r"has .* in evaluation, but its vector environment has"),
        ([], Images(), {}, "observation space Text"),
        ([], Modeless(), {}, "autoreset_mode"),
    ],
)
def test_what_does_not_go_with_it_is_refused_in_a_line(settings: Any, envs: Any, more: Any, said: str) -> None:
    ready = envs or SyncVectorEnv([own_toys.Walk] * 3)
    with pytest.raises(ConfigError, match=said) as raised:
        a2c.train(a2c.load_config(*SETTINGS, *settings), env=ready, **more)
    assert "\n" not in str(raised.value)
    assert not Path("runs").exists()


def test_an_evaluation_environment_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="eval_env= goes with a ready vector environment"):
        a2c.train(a2c.load_config(*SETTINGS), env=own_toys.Walk, eval_env=own_toys.Walk)
