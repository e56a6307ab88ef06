"""Environments of EnvPool (the extra a2c[envpool])."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import a2c
from a2c.envs.choosing.choose import Plan
from a2c.envs.choosing.plan import plan
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.make_vector_env import make_vector_env
from a2c.envs.single.make_env import make_env
from a2c.errors import ConfigError
from builders import LIGHT
from envs.configs import env_config
from registrations import forgetting_own


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    with forgetting_own():
        yield


def test_without_envpool_its_ids_say_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "envpool", None)
    with pytest.raises(ConfigError, match=r"env.id=EnvPool/Pong-v5 needs EnvPool: pip install envpool \(the extra"):
        make_env(env_config("EnvPool/Pong-v5"))


def test_its_threads_are_what_steps_it_unless_something_asks_for_single_ones() -> None:
    pytest.importorskip("envpool")
    settings = ("env.id=EnvPool/CartPole-v1", "num_envs=4")
    assert plan(a2c.load_config(*settings)).vectorization == "native"
    assert plan(a2c.load_config(*settings, "vectorization=sync")).vectorization == "sync"
    wrapped = a2c.load_config(*settings, "env.wrappers=[gymnasium.wrappers.FlattenObservation]")
    assert plan(wrapped).vectorization in ("sync", "workers")


def test_the_step_after_an_end_is_no_transition_and_equal_seeds_give_equal_episodes() -> None:
    pytest.importorskip("envpool")

    def played() -> list[Any]:
        made = make_vector_env(env_config("EnvPool/CartPole-v1"), 3, Plan("native", 1, ""))
        envs = LockstepEnvs(made)
        seen = [envs.reset([4, 5, 6]).copy()]
        ended = valid = 0
        for _ in range(60):
            step = envs.step(np.zeros(3, np.int64))
            ended, valid = ended + int(step.terminated.sum()), valid + int(step.valid.sum())
            seen.append(step.obs.copy())
        lengths = [episode.length for episode in envs.drain_episodes()]
        assert ended == len(lengths) > 9
        assert 180 - valid in range(ended - 3, ended + 1)  # one row after each end, but for those in the last step
        assert all(8 <= length <= 12 for length in lengths)  # a pole pushed to one side falls after so many steps
        envs.close()
        return seen

    for one, other in zip(played(), played(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_single_one_has_its_spaces_its_limit_and_a_picture() -> None:
    pytest.importorskip("envpool")
    env = make_env(env_config("EnvPool/CartPole-v1", max_episode_steps=5), render_mode="rgb_array")
    together = make_vector_env(env_config("EnvPool/CartPole-v1"), 2, Plan("native", 1, ""))
    assert env.observation_space == together.single_observation_space
    first, _ = env.reset(seed=3)
    steps = [env.step(env.action_space.sample()) for _ in range(5)]
    assert [step[3] for step in steps] == [False] * 4 + [True]
    np.testing.assert_array_equal(env.reset(seed=3)[0], first)
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert picture.shape[2] == 3
    env.close()
    together.close()


def test_an_unknown_id_names_the_nearest_of_envpool() -> None:
    pytest.importorskip("envpool")
    with pytest.raises(ConfigError, match="'EnvPool/CartPol-v1'; did you mean 'EnvPool/CartPole-v1'"):
        make_env(env_config("EnvPool/CartPol-v1"))


def test_environment_i_of_many_is_the_single_one_of_its_seed() -> None:
    pytest.importorskip("envpool")
    together = make_vector_env(env_config("EnvPool/CartPole-v1"), 3, Plan("native", 2, ""))
    alone = make_env(env_config("EnvPool/CartPole-v1"))
    firsts, _ = together.reset(seed=[7, 8, 9])
    first, _ = alone.reset(seed=8)
    np.testing.assert_array_equal(firsts[1], first)
    for _ in range(5):
        np.testing.assert_array_equal(together.step(np.ones(3, np.int64))[0][1], alone.step(1)[0])
    together.close()
    alone.close()


def test_a_training_is_repeated_and_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("envpool")
    monkeypatch.chdir(tmp_path)
    settings = ("env.id=EnvPool/CartPole-v1", *LIGHT, "vectorization=auto", "total_steps=200", "num_envs=4")
    one, other = (a2c.train(a2c.load_config(*settings)) for _ in range(2))
    assert one.eval_mean == other.eval_mean
    assert a2c.evaluate(a2c.load_policy("latest"), 2).mean == one.eval_mean
