"""Every autoreset mode and backend gives one and the same stream of transitions."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from a2c.envs.episodes import Episode, LifeCounter
from a2c.envs.frames import Frames
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.single.wrappers import KeepFinalObservation
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.errors import ConfigError, EnvironmentFailure, NumericError
from envs.films import film
from envs.toys import ENDS, CountingVectorEnv, FaultyEnv, IdentityEnv, ScriptedEnv, TargetEnv

MODES = ("SameStep", "NextStep", "Disabled")


class Transition(NamedTuple):
    obs: tuple[float, ...]
    action: int
    reward: float
    terminated: bool
    truncated: bool
    successor: tuple[float, ...] | None  # the true next observation; None after termination


def choose(obs: np.ndarray) -> int:
    """An action that depends on where the environment is, not on how many rows have gone by."""
    index, episode, step = (int(x) for x in obs)
    return (index + 2 * episode + 3 * step) % 5


def reference(env: gym.Env, steps: int, *, life_loss: bool) -> tuple[list[Transition], list[tuple[float, int]]]:
    """One environment, stepped the obvious way."""
    stream, episodes, total, length = [], [], 0.0, 0
    obs, info = env.reset(seed=0)
    obs, lives = np.array(obs), info.get("lives", 0)
    for _ in range(steps):
        action = choose(obs)
        after, reward, terminated, truncated, info = env.step(np.int64(action))
        after = np.array(after)
        total, length = total + reward, length + 1
        over = terminated or truncated
        lost = life_loss and not over and (info.get("life_lost", False) or info.get("lives", 99) < lives)
        lives = info.get("lives", 0)
        death = terminated or lost
        stream.append(
            Transition(
                tuple(obs), action, np.float32(reward), death, truncated and not death, None if death else tuple(after)
            )
        )
        if over:
            episodes.append((total, length))
            total, length = 0.0, 0
            after, info = env.reset()
            after, lives = np.array(after), info.get("lives", 0)
        obs = after
    return stream, episodes


def drive(envs: LockstepEnvs, steps: int) -> tuple[list[list[Transition]], list[Episode]]:
    """The valid transitions of every environment, and all episodes."""
    streams: list[list[Transition]] = [[] for _ in range(envs.num_envs)]
    episodes: list[Episode] = []
    obs = envs.reset([0] * envs.num_envs).copy()
    for _ in range(steps):
        actions = np.array([choose(row) for row in obs])
        step = envs.step(actions)
        finals = dict(zip(step.final_rows.tolist(), step.final_obs, strict=True))
        assert sorted(finals) == np.flatnonzero(step.truncated).tolist()
        assert not (step.terminated & step.truncated).any()
        for i in range(envs.num_envs):
            if not step.valid[i]:
                assert step.rewards[i] == 0
                assert not step.terminated[i]
                assert not step.truncated[i]
                continue
            death = bool(step.terminated[i])
            after = None if death else tuple(finals[i] if i in finals else step.obs[i])
            reward = step.rewards[i]
            streams[i].append(Transition(tuple(obs[i]), int(actions[i]), reward, death, bool(step.truncated[i]), after))
        episodes += envs.drain_episodes()
        obs = step.obs.copy()
    return streams, episodes


def scripted(scripts: Sequence[Sequence[str]], rewards: Sequence[float], lives: str) -> list[Callable[[], gym.Env]]:
    return [functools.partial(scripted_env, i, tuple(s), tuple(rewards), lives) for i, s in enumerate(scripts)]


def scripted_env(index: int, script: tuple[str, ...], rewards: tuple[float, ...], lives: str) -> gym.Env:
    return KeepFinalObservation(ScriptedEnv(index, script, rewards, lives))


def same_as_reference(envs: LockstepEnvs, makers: list[Callable[[], gym.Env]], steps: int, *, life_loss: bool) -> None:
    streams, episodes = drive(envs, steps)
    for i, make in enumerate(makers):
        expected, expected_episodes = reference(make(), steps, life_loss=life_loss)
        # NEXT_STEP spends rows on resets: fewer transitions, the same ones.
        assert streams[i] == expected[: len(streams[i])]
        assert len(streams[i]) >= steps // 2
        mine = [(e.reward, e.length) for e in episodes if e.env == i]
        assert mine == expected_episodes[: len(mine)]  # float64 sums, bit for bit
        assert len(mine) == sum(
            t.truncated or (t.terminated and not _was_life(makers[i], k)) for k, t in enumerate(streams[i])
        )


def _was_life(make: Callable[[], gym.Env], step: int) -> bool:
    script = make().unwrapped.script  # type: ignore[attr-defined]
    return script[step % len(script)] == "life"


EVENTS = st.sampled_from(["go", "go", "go", "terminated", "truncated", "both", "life"])
SCRIPTS = st.lists(st.lists(EVENTS, min_size=1, max_size=9), min_size=1, max_size=4)
REWARDS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=5)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=60, deadline=None)
@given(scripts=SCRIPTS, rewards=REWARDS, lives=st.sampled_from(["event", "count"]), life_loss=st.booleans())
def test_every_mode_gives_the_transitions_of_one_environment_at_a_time(mode, scripts, rewards, lives, life_loss):
    makers = scripted(scripts, rewards, lives)
    envs = LockstepEnvs(SyncVectorEnv(makers, copy=False, autoreset_mode=mode), life_loss=life_loss)
    same_as_reference(envs, makers, 24, life_loss=life_loss)
    envs.close()


FIXED = [
    ["go", "life", "truncated"],
    ["terminated"],
    ["go", "both", "go", "go", "truncated"],
    ["truncated", "go", "life"],
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", [AsyncVectorEnv, ShardedAsyncVectorEnv])
@pytest.mark.parametrize("copy", [True, False])
def test_every_mode_gives_the_same_transitions_through_processes(backend, mode, copy):
    makers = scripted(FIXED, [1.0, -2.5, 0.1], "event")
    workers = {"num_workers": 2} if backend is ShardedAsyncVectorEnv else {}
    vector = backend(makers, context="forkserver", copy=copy, autoreset_mode=mode, **workers)
    envs = LockstepEnvs(vector, life_loss=True, step_timeout=600)
    try:
        same_as_reference(envs, makers, 30, life_loss=True)
    finally:
        envs.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ENDS)
def test_counting_in_every_mode(mode, end):
    # lengths 2 and 3; per transition (obs, terminated, truncated, final observation)
    envs = LockstepEnvs(CountingVectorEnv([2, 3], end, mode))
    obs = envs.reset([0, 0]).copy()
    rows: list[list[Any]] = [[], []]
    for _ in range(9):
        step = envs.step(np.zeros(2, np.int64))
        final = dict(zip(step.final_rows.tolist(), step.final_obs[:, 0].tolist(), strict=True))
        for i in range(2):
            if step.valid[i]:
                rows[i].append((obs[i, 0], bool(step.terminated[i]), bool(step.truncated[i]), final.get(i)))
        obs = step.obs.copy()
    dies = end != "truncated"  # both: terminated wins
    two = [(0, False, False, None), (1, dies, not dies, None if dies else 2)]
    three = [(0, False, False, None), (1, False, False, None), (2, dies, not dies, None if dies else 3)]
    assert rows[0][:6] == 3 * two
    assert rows[1][:6] == 2 * three
    episodes = [(e.env, e.reward, e.length) for e in envs.drain_episodes()]
    assert episodes[:3] == [(0, 2.0, 2), (1, 3.0, 3), (0, 2.0, 2)]
    assert envs.drain_episodes() == []
    # 9 rows: SAME_STEP and DISABLED lose none; NEXT_STEP loses one row an episode
    assert [len(r) for r in rows] == ([6, 7] if mode == "NextStep" else [9, 9])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ENDS)
def test_a_step_says_where_an_episode_has_begun(mode, end):
    envs = LockstepEnvs(CountingVectorEnv([2, 3], end, mode))
    envs.reset([0, 0])
    for _ in range(9):
        step = envs.step(np.zeros(2, np.int64))
        np.testing.assert_array_equal(step.began, step.obs[:, 0] == 0)  # only a reset gives 0


@pytest.mark.parametrize("mode", MODES)
def test_no_episode_begins_where_only_a_life_was_lost(mode):
    makers = scripted([["go", "life", "go", "truncated"]], [1.0], "event")
    envs = LockstepEnvs(SyncVectorEnv(makers, autoreset_mode=mode), life_loss=True)
    envs.reset([0])
    steps = [envs.step(np.zeros(1, np.int64)) for _ in range(5)]
    assert [bool(step.terminated[0]) for step in steps] == [False, True, False, False, False]
    begins = 4 if mode == "NextStep" else 3
    assert [bool(step.began[0]) for step in steps] == [t == begins for t in range(5)]


def test_with_frames_the_space_is_of_stacks_and_a_step_of_frames():
    makers = [functools.partial(film, 1)] * 2
    envs = LockstepEnvs(SyncVectorEnv(makers, autoreset_mode="SameStep"), frames=Frames(3, repeated=True))
    assert envs.observation_space == Box(0, 255, (3, 36, 36), np.uint8)
    assert envs.reset([0, 1]).shape == (2, 1, 36, 36)
    step = envs.step(np.zeros(2, np.int64))
    assert step.obs.shape == (2, 1, 36, 36)
    assert step.final_obs.shape[1:] == (1, 36, 36)


@pytest.mark.parametrize("mode", MODES)
def test_episodes_come_in_order_of_step_then_environment(mode):
    envs = LockstepEnvs(CountingVectorEnv([3, 2, 3], mode=mode))
    envs.reset([0, 0, 0])
    for _ in range(3):
        envs.step(np.zeros(3, np.int64))
    assert [e.env for e in envs.drain_episodes()] == [1, 0, 2]


def test_a_reset_forgets_half_an_episode():
    envs = LockstepEnvs(CountingVectorEnv([3], mode="NextStep"))
    envs.reset([0])
    for _ in range(3):
        envs.step(np.zeros(1, np.int64))
    envs.drain_episodes()
    assert envs.reset([0])[0] == 0
    assert envs.step(np.zeros(1, np.int64)).valid.all()  # the pending reset of NEXT_STEP is forgotten too
    for _ in range(2):
        envs.step(np.zeros(1, np.int64))
    assert envs.drain_episodes() == [Episode(0, 3.0, 3)]


def test_clipping_takes_the_sign_for_the_learner_and_leaves_the_score():
    makers = scripted([["go", "go", "terminated"]], [5.0, -0.25, 0.0], "event")
    envs = LockstepEnvs(SyncVectorEnv(makers, autoreset_mode="SameStep"), clip_reward=True)
    envs.reset([0])
    rewards = [envs.step(np.zeros(1, np.int64)).rewards[0] for _ in range(3)]
    assert rewards == [1.0, -1.0, 0.0]
    assert envs.drain_episodes() == [Episode(0, 4.75, 3)]


def test_a_return_is_summed_in_float64():
    # 2**24 + 1 has no float32: a float32 sum would lose every one of the following ones
    makers = scripted([["go", "go", "terminated"]], [2.0**24, 1.0, 1.0], "event")
    envs = LockstepEnvs(SyncVectorEnv(makers, autoreset_mode="SameStep"))
    envs.reset([0])
    for _ in range(3):
        assert envs.step(np.zeros(1, np.int64)).rewards.dtype == np.float32
    assert envs.drain_episodes()[0].reward == 2.0**24 + 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lives", ["event", "count"])
def test_a_lost_life_ends_the_return_and_not_the_game(mode, lives):
    makers = scripted([["go", "life", "go", "truncated"], ["go", "go", "truncated", "go"]], [1.0], lives)
    envs = LockstepEnvs(SyncVectorEnv(makers, autoreset_mode=mode), life_loss=True)
    envs.reset([0, 0])
    cuts, counts = [], []
    for _ in range(4):
        step = envs.step(np.zeros(2, np.int64))
        cuts.append(bool(step.terminated[0]))
        counts.append(float(step.obs[0, 2]))
    assert cuts == [False, True, False, False]
    assert counts[:3] == [1, 2, 3]  # no reset after the lost life
    assert [(e.env, e.length) for e in envs.drain_episodes()] == [(1, 3), (0, 4)]


def test_without_life_loss_a_lost_life_is_an_ordinary_step():
    makers = scripted([["life", "terminated"]], [1.0], "event")
    envs = LockstepEnvs(SyncVectorEnv(makers, autoreset_mode="SameStep"))
    envs.reset([0])
    assert not envs.step(np.zeros(1, np.int64)).terminated[0]


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
def test_final_observations_are_copies(mode):
    envs = LockstepEnvs(CountingVectorEnv([2], "truncated", mode))
    envs.reset([0])
    envs.step(np.zeros(1, np.int64))
    final = envs.step(np.zeros(1, np.int64)).final_obs
    envs.step(np.zeros(1, np.int64))
    envs.step(np.zeros(1, np.int64))
    assert final.tolist() == [[2.0]]


def test_discrete_actions_count_from_zero_whatever_the_space_starts_at():
    envs = LockstepEnvs(SyncVectorEnv([functools.partial(IdentityEnv, n=3, start=-1)] * 2, autoreset_mode="SameStep"))
    obs = envs.reset([1, 2])
    for _ in range(5):
        step = envs.step(obs.argmax(axis=1))
        assert step.rewards.tolist() == [1.0, 1.0]
        obs = step.obs


def test_continuous_actions_are_clipped_at_the_door_and_stay_unclipped_with_the_learner():
    env = functools.partial(TargetEnv, low=-0.5, high=np.inf)
    envs = LockstepEnvs(SyncVectorEnv([env], autoreset_mode="SameStep"))
    envs.reset([0])
    actions = np.array([[-3.0, 7.0]], np.float32)
    assert envs.step(actions).obs.tolist() == [[-0.5, 7.0]]
    assert actions.tolist() == [[-3.0, 7.0]]


def test_a_finite_upper_bound_clips_too():
    envs = LockstepEnvs(
        SyncVectorEnv([functools.partial(TargetEnv, low=-np.inf, high=0.25)], autoreset_mode="SameStep")
    )
    envs.reset([0])
    assert envs.step(np.array([[-3.0, 7.0]], np.float32)).obs.tolist() == [[-3.0, 0.25]]


def test_the_clipped_action_has_the_type_of_the_space():
    seen = []

    class Spy(SyncVectorEnv):
        def step(self, actions: Any) -> Any:
            seen.append(actions.dtype)
            return super().step(actions)

    envs = LockstepEnvs(Spy([TargetEnv], autoreset_mode="SameStep"))
    envs.reset([0])
    envs.step(np.zeros((1, 2), np.float64))
    assert seen == [np.float32]


def test_a_vector_environment_must_say_how_it_resets():
    envs = CountingVectorEnv([2])
    envs.metadata = {}
    with pytest.raises(ConfigError, match="autoreset_mode"):
        LockstepEnvs(envs)


def test_same_step_without_final_observations_is_an_error_only_where_one_is_needed():
    class Forgetful(CountingVectorEnv):
        def step(self, actions: Any) -> Any:
            return *super().step(actions)[:4], {}

    for end in ("terminated", "truncated"):
        envs = LockstepEnvs(Forgetful([1], end))
        envs.reset([0])
        if end == "terminated":
            envs.step(np.zeros(1, np.int64))
        else:
            with pytest.raises(EnvironmentFailure, match="final_obs"):
                envs.step(np.zeros(1, np.int64))


def test_a_buffer_of_final_observations_is_read_without_infos():
    class Buffered(CountingVectorEnv):
        final_observations = np.full((2, 1), -1, np.float32)

        def step(self, actions: Any) -> Any:
            *rest, infos = super().step(actions)
            for row in np.flatnonzero(infos.get("_final_obs", [])):
                self.final_observations[row] = infos["final_obs"][row]
            return *rest, {}

    envs = LockstepEnvs(Buffered([1, 2], "truncated"))
    envs.reset([0, 0])
    finals = [envs.step(np.zeros(2, np.int64)).final_obs for _ in range(2)]
    assert [f.tolist() for f in finals] == [[[1.0]], [[1.0], [2.0]]]  # copies: the buffer has moved on


def test_an_environment_that_is_silent_about_its_lives_has_lost_none():
    counter = LifeCounter(2)
    counter.restart({"lives": np.array([3, 2]), "_lives": np.array([True, True])})
    silent = {"lives": np.array([3, 0]), "_lives": np.array([True, False])}
    assert counter.lost(silent).tolist() == [False, False]
    assert counter.lost({"lives": np.array([3, 1])}).tolist() == [False, True]


def test_seeds_must_be_as_many_as_environments():
    with pytest.raises(ValueError, match="2 environments need as many seeds, got 1"):
        LockstepEnvs(CountingVectorEnv([2, 2])).reset([0])


# ---- what breaks ----


def faulty(fault: str, *, at: int = 3) -> list[Callable[[], gym.Env]]:
    return [functools.partial(FaultyEnv), functools.partial(FaultyEnv, fault=fault, at=at)]


def step_until(envs: LockstepEnvs, steps: int = 5) -> None:
    envs.reset([0] * envs.num_envs)
    for _ in range(steps):
        envs.step(np.zeros(envs.num_envs, np.int64))


def test_an_exception_becomes_one_line_and_keeps_its_cause():
    envs = LockstepEnvs(SyncVectorEnv(faulty("raise"), autoreset_mode="SameStep"))
    with pytest.raises(EnvironmentFailure, match="raised ValueError in step 3: joint 4 exploded") as caught:
        step_until(envs)
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_no_step_is_possible_after_a_failure():
    envs = LockstepEnvs(SyncVectorEnv(faulty("raise"), autoreset_mode="SameStep"))
    with pytest.raises(EnvironmentFailure):
        step_until(envs)
    with pytest.raises(EnvironmentFailure, match="failed before"):
        envs.step(np.zeros(2, np.int64))


def test_a_failing_reset_is_an_environment_failure():
    envs = LockstepEnvs(SyncVectorEnv(faulty("reset"), autoreset_mode="SameStep"))
    with pytest.raises(EnvironmentFailure, match="raised RuntimeError in reset: the map is missing"):
        envs.reset([0, 0])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nan reward", "environment 1 gave the reward nan in step 3"),
        ("inf reward", "environment 1 gave the reward inf in step 3"),
        ("no reward", "environment 1 gave the reward nan in step 3"),
        ("nan observation", r"environment 1 gave the observation \[ ?0\. nan\] in step 3"),
    ],
)
def test_numbers_that_are_not_finite_are_refused_and_named(fault, said):
    envs = LockstepEnvs(SyncVectorEnv(faulty(fault), autoreset_mode="SameStep"))
    with pytest.raises(NumericError, match=said):
        step_until(envs)


@pytest.mark.parametrize("mode", MODES)
def test_a_final_observation_that_is_not_finite_is_refused(mode):
    envs = LockstepEnvs(SyncVectorEnv(faulty("nan final"), autoreset_mode=mode))
    with pytest.raises(NumericError, match=r"environment 1 gave the (final )?observation \[ ?0\. nan\] in step 3"):
        step_until(envs)


def test_observations_of_another_shape_are_refused():
    envs = CountingVectorEnv([2, 2])
    envs.single_observation_space = Box(0, 9, (3,), np.float32)
    with pytest.raises(EnvironmentFailure, match=r"shape \(2, 1\), their space says \(2, 3\)"):
        LockstepEnvs(envs).reset([0, 0])


def test_rewards_of_another_shape_are_refused():
    class Column(CountingVectorEnv):
        def step(self, actions: Any) -> Any:
            obs, rewards, *rest = super().step(actions)
            return obs, rewards[:, None], *rest

    envs = LockstepEnvs(Column([2, 2]))
    with pytest.raises(EnvironmentFailure, match=r"\(2, 1\).* each must be \(2,\)"):
        step_until(envs)


@pytest.mark.filterwarnings("ignore:.*ERROR")  # Gymnasium tells a failure by warnings first
@pytest.mark.parametrize("backend", [AsyncVectorEnv, ShardedAsyncVectorEnv])
def test_a_worker_that_raises_is_named(backend):
    envs = LockstepEnvs(backend(faulty("raise"), context="forkserver", autoreset_mode="SameStep"))
    with pytest.raises(EnvironmentFailure, match=r"environment 1.* raised ValueError in step 3: joint 4 exploded"):
        step_until(envs)
    envs.close()
    assert_no_children(envs)


@pytest.mark.filterwarnings("ignore:.*(ERROR|WARN)")
@pytest.mark.parametrize("backend", [AsyncVectorEnv, ShardedAsyncVectorEnv])
def test_a_worker_that_hangs_is_given_up_after_the_timeout(backend):
    envs = LockstepEnvs(backend(faulty("hang"), context="forkserver", autoreset_mode="SameStep"), step_timeout=3)
    with pytest.raises(EnvironmentFailure, match=r"(timed out after|did not answer).* 3"):
        step_until(envs)
    with pytest.raises(EnvironmentFailure, match="failed before"):
        envs.step(np.zeros(2, np.int64))
    envs.close()  # would wait for the hanging worker if it were asked politely
    assert_no_children(envs)


@pytest.mark.filterwarnings("ignore:.*(ERROR|WARN)")
@pytest.mark.parametrize("backend", [AsyncVectorEnv, ShardedAsyncVectorEnv])
def test_a_killed_worker_is_named_and_close_returns(backend):
    vector = backend(faulty("none"), context="forkserver", autoreset_mode="SameStep")
    envs = LockstepEnvs(vector)
    envs.reset([0, 0])
    os.kill(vector.processes[1].pid, 9)
    vector.processes[1].join()
    with pytest.raises(EnvironmentFailure, match=r"environment.* 1\b"):
        envs.step(np.zeros(2, np.int64))
    envs.close()
    assert_no_children(envs)


def assert_no_children(envs: LockstepEnvs) -> None:
    assert not any(process.is_alive() for process in envs.envs.unwrapped.processes)  # type: ignore[attr-defined]


def test_unsupported_actions_are_refused_at_the_door():
    envs = CountingVectorEnv([2])
    envs.single_action_space = gym.spaces.MultiDiscrete([2, 2])
    with pytest.raises(ConfigError, match="supported: Discrete and Box"):
        LockstepEnvs(envs)


def test_discrete_is_passed_on_as_it_is():
    assert isinstance(LockstepEnvs(CountingVectorEnv([2])).action_space, Discrete)
    assert LockstepEnvs(CountingVectorEnv([2]))._mode is AutoresetMode.SAME_STEP
