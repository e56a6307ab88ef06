"""ShardedAsyncVectorEnv gives what Gymnasium's SyncVectorEnv gives, however many workers share the work."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from envs.sharded_toys import SPACES, DiceEnv, StepCounter

MODES = tuple(AutoresetMode)
N = 5
TEAMS: list[dict[str, Any]] = [
    {"num_workers": 1},
    {"num_workers": 2},
    {"num_workers": 3},
    {"num_workers": 1, "main_shard": True},
    {"num_workers": 2, "main_shard": True},
]


def play(envs: Any, mode: AutoresetMode, steps: int) -> list[Any]:
    """Everything that ``steps`` steps give; actions are the same for every vector environment of these spaces."""
    envs.action_space.seed(3)
    seen: list[Any] = [envs.reset(seed=11, options={"a": 1})]
    for _ in range(steps):
        obs, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
        seen.append((obs, rewards, terminated, truncated, infos))
        done = terminated | truncated
        if mode is AutoresetMode.DISABLED and done.any():
            seen.append(envs.reset(options={"reset_mask": done}))
    return seen


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("space", SPACES)
def test_same_seeds_give_the_same_trajectories_as_gymnasium(space: str, mode: AutoresetMode) -> None:
    env_fns = [partial(DiceEnv, space)] * N
    reference = SyncVectorEnv(env_fns, autoreset_mode=mode)
    expected = play(reference, mode, steps=25)
    reference.close()
    for team in TEAMS:
        envs = ShardedAsyncVectorEnv(env_fns, autoreset_mode=mode, **team)
        given = play(envs, mode, steps=25)
        envs.close()
        for wanted, got in zip(expected, given, strict=True):
            assert same(wanted, got)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("space", ["box", "dict", "text"])
@pytest.mark.parametrize("main_shard", [False, True])
def test_observations_through_the_pipe_are_the_same(space: str, mode: AutoresetMode, main_shard: bool) -> None:
    env_fns = [partial(DiceEnv, space)] * N
    reference, envs = (
        SyncVectorEnv(env_fns, autoreset_mode=mode),
        ShardedAsyncVectorEnv(env_fns, autoreset_mode=mode, num_workers=2, shared_memory=False, main_shard=main_shard),
    )
    assert same(play(reference, mode, 20), play(envs, mode, 20))
    reference.close()
    envs.close()


@pytest.mark.parametrize(
    "action_space",
    [Box(-1, 1, (2, 2), np.float32), Box(-1, 1, (), np.float64), MultiDiscrete([2, 3]), SPACES["dict"]],
    ids=["box", "scalar", "multidiscrete", "dict"],
)
@pytest.mark.parametrize("main_shard", [False, True])
def test_every_kind_of_action_arrives(action_space: Any, main_shard: bool) -> None:
    env_fns = [partial(DiceEnv, "box", action_space)] * N
    mode = AutoresetMode.SAME_STEP
    if isinstance(action_space, gym.spaces.Dict):
        env_fns = [partial(DiceEnv, "box", gym.spaces.Tuple((Discrete(4), Discrete(4))))] * N
    reference, envs = (
        SyncVectorEnv(env_fns, autoreset_mode=mode),
        ShardedAsyncVectorEnv(env_fns, autoreset_mode=mode, num_workers=2, main_shard=main_shard),
    )
    assert same(play(reference, mode, 10), play(envs, mode, 10))
    reference.close()
    envs.close()


def test_actions_of_another_dtype_reach_the_environment_as_they_are() -> None:
    envs = ShardedAsyncVectorEnv([partial(DiceEnv, "box", Box(-1, 1, (2,), np.float32))] * 2, num_workers=1)
    envs.reset(seed=0)
    third = 1 / 3  # no float32 is equal to it
    _, rewards, *_ = envs.step(np.full((2, 2), third))
    envs.close()
    luck = [np.random.default_rng(seed).random() for seed in (0, 1)]
    np.testing.assert_array_equal(rewards, [2 * third + each for each in luck])


def test_final_observations_are_those_before_the_reset() -> None:
    # Episodes of 3 steps: at t = 3 the final observation is 3, and the first of the next episode 0.
    envs = ShardedAsyncVectorEnv(
        [partial(StepCounter, 3), partial(StepCounter, 2)], copy=False, autoreset_mode="SameStep", num_workers=2
    )
    envs.reset()
    steps = [envs.step(np.zeros((2, 2), np.float32)) for _ in range(2)]
    obs, _, _, truncated, infos = steps[-1]
    assert obs is envs.observations
    np.testing.assert_array_equal(truncated, [False, True])
    np.testing.assert_array_equal(obs, [[2, 2, 2], [0, 0, 0]])
    assert envs.final_observations is not None
    np.testing.assert_array_equal(envs.final_observations[1], [2, 2, 2])
    np.testing.assert_array_equal(infos["final_obs"][1], [2, 2, 2])
    kept = infos["final_obs"][1]
    envs.step(np.zeros((2, 2), np.float32))
    envs.step(np.zeros((2, 2), np.float32))  # environment 1 ends again: the row is overwritten, the infos are not
    np.testing.assert_array_equal(envs.final_observations, [[3, 3, 3], [2, 2, 2]])
    np.testing.assert_array_equal(kept, [2, 2, 2])
    envs.close()


@pytest.mark.parametrize("team", TEAMS, ids=str)
def test_an_environment_may_keep_its_action(team: dict[str, Any]) -> None:
    envs = ShardedAsyncVectorEnv([StepCounter] * 3, **team)
    envs.reset()
    first = np.arange(6, dtype=np.float32).reshape(3, 2)
    envs.step(first)
    envs.step(first + 10)
    np.testing.assert_array_equal(envs.get_attr("first_action"), first)
    envs.close()


def test_copies_are_the_callers_and_views_are_not() -> None:
    for copy in (True, False):
        envs = ShardedAsyncVectorEnv([StepCounter] * 2, copy=copy, num_workers=1)
        first, _ = envs.reset()
        envs.step(np.zeros((2, 2), np.float32))
        np.testing.assert_array_equal(first, np.zeros((2, 3)) if copy else np.ones((2, 3)))
        envs.close()


def test_the_observation_block_starts_on_a_page() -> None:
    # A page-aligned block can be locked for CUDA, so that it goes to the device without another copy.
    envs = ShardedAsyncVectorEnv([StepCounter] * 3, num_workers=1)
    assert envs.final_observations is not None
    for block in (envs.observations, envs.final_observations):
        assert block.flags.c_contiguous
        assert block.ctypes.data % 4096 == 0
    envs.close()


def test_the_callers_reset_options_stay_whole() -> None:
    envs = ShardedAsyncVectorEnv([StepCounter] * 2, num_workers=1)
    envs.reset()
    options = {"reset_mask": np.array([True, False])}
    envs.step(np.zeros((2, 2), np.float32))
    obs, _ = envs.reset(options=options)
    np.testing.assert_array_equal(obs, [[0, 0, 0], [1, 1, 1]])
    assert list(options) == ["reset_mask"]
    envs.close()


@pytest.mark.parametrize("team", TEAMS, ids=str)
def test_calls_and_attributes_reach_their_environment(team: dict[str, Any]) -> None:
    envs = ShardedAsyncVectorEnv([partial(StepCounter, length) for length in (1, 2, 3)], **team)
    assert envs.get_attr("length") == (1, 2, 3)
    envs.set_attr("length", [4, 5, 6])
    assert envs.get_attr("length") == (4, 5, 6)
    envs.set_attr("length", 9)
    assert envs.call("length") == (9, 9, 9)
    envs.close()


def test_more_environments_than_anyone_has_cores() -> None:
    env_fns = [partial(DiceEnv, "box", None, False)] * 1024
    envs = ShardedAsyncVectorEnv(env_fns, autoreset_mode="SameStep", num_workers=2)
    obs, infos = envs.reset(seed=0)
    assert obs.shape == (1024, 3)
    assert infos == {}
    obs, rewards, *_ = envs.step(np.zeros(1024, np.int64))
    # The reward is the first draw of the generator that the seed i makes.
    np.testing.assert_array_equal(rewards, [np.random.default_rng(i).random() for i in range(1024)])
    envs.close()


def same(one: Any, other: Any) -> bool:
    """Equal in structure, type and value; the order of a dictionary's keys says nothing."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray) and one.dtype == object:
        return one.shape == other.shape and all(map(same, one.tolist(), other.tolist()))
    return bool(data_equivalence(one, other, exact=True))
