"""InProcessVectorEnv gives what Gymnasium's SyncVectorEnv gives, and names what an environment does wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers.vector import ClipReward

from a2c.envs.backends import Backend, InPlaceBackend, backend_of
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.errors import EnvironmentFailure
from envs.sharded_toys import SPACES, DiceEnv, FaultyEnv, StepCounter, faulty
from envs.vector.test_sharded_trajectories import MODES, N, play, same

ACTIONS = np.zeros(4, np.int64)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("copy", [True, False])
def test_same_seeds_give_the_same_trajectories_as_gymnasium(space: str, mode: AutoresetMode, copy: bool) -> None:
    env_fns = [partial(DiceEnv, space)] * N
    reference = SyncVectorEnv(env_fns, autoreset_mode=mode)
    envs = InProcessVectorEnv(env_fns, copy, autoreset_mode=mode)
    if copy:
        assert same(play(reference, mode, 25), play(envs, mode, 25))
    else:  # the observations of a step last until the next one
        assert same(play(reference, mode, 25)[-1], play(envs, mode, 25)[-1])
    assert envs.observation_space == reference.observation_space
    assert envs.metadata == reference.metadata
    reference.close()
    envs.close()


@pytest.mark.parametrize(
    ("action_space"),
    [
        Box(-1, 1, (2, 2), np.float32),
        Box(-1, 1, (), np.float64),
        Discrete(4, start=-1),
        MultiDiscrete([2, 3]),
        Tuple((Discrete(4), Discrete(4))),
    ],
    ids=str,
)
def test_every_kind_of_action_arrives(action_space: Any) -> None:
    env_fns = [partial(DiceEnv, "box", action_space)] * N
    reference, envs = SyncVectorEnv(env_fns), InProcessVectorEnv(env_fns)
    assert same(play(reference, AutoresetMode.NEXT_STEP, 10), play(envs, AutoresetMode.NEXT_STEP, 10))


@pytest.mark.parametrize("mode", ["different", (Box(-1, 1, (2, 3), np.float32), Box(-1, 1, (3,), np.float32))], ids=str)
def test_observation_modes_are_gymnasiums(mode: Any) -> None:
    envs = InProcessVectorEnv([StepCounter] * 2, observation_mode=mode)
    assert envs.observation_space == SyncVectorEnv([StepCounter] * 2, observation_mode=mode).observation_space
    assert envs.reset()[0].tolist() == [[0, 0, 0]] * 2


def test_spaces_that_differ_are_refused() -> None:
    with pytest.raises(RuntimeError, match="observation spaces are not equivalent"):
        InProcessVectorEnv([StepCounter, partial(DiceEnv, "image")])


def test_final_observations_are_those_before_the_reset() -> None:
    # The environment writes its observations into one buffer, reset included: at step 3 the final one is 3, the next 0.
    envs = InProcessVectorEnv([partial(StepCounter, 3), partial(StepCounter, 2)], False, autoreset_mode="SameStep")
    envs.reset()
    envs.step(np.zeros((2, 2), np.float32))
    obs, _, _, truncated, infos = envs.step(np.zeros((2, 2), np.float32))
    assert truncated.tolist() == [False, True]
    assert obs.tolist() == [[2, 2, 2], [0, 0, 0]]
    assert infos["final_obs"].tolist()[0] is None
    assert infos["final_obs"][1].tolist() == [2, 2, 2]
    envs.step(np.zeros((2, 2), np.float32))
    assert envs.final_observations is not None
    assert envs.final_observations.tolist() == [[3, 3, 3], [2, 2, 2]]


def test_an_environment_may_keep_its_action_and_the_caller_its_batch() -> None:
    envs = InProcessVectorEnv([StepCounter] * 3)
    envs.reset()
    batch = np.arange(6, dtype=np.float32).reshape(3, 2)
    envs.step(batch)
    batch += 10
    np.testing.assert_array_equal(envs.get_attr("first_action"), np.arange(6).reshape(3, 2))


def test_attributes_and_masks_reach_their_environment() -> None:
    envs = InProcessVectorEnv([partial(StepCounter, length) for length in (7, 8, 9)])
    envs.set_attr("length", [4, 5, 6])
    assert envs.get_attr("length") == (4, 5, 6)
    envs.reset()
    envs.step(np.zeros((3, 2), np.float32))
    options = {"reset_mask": np.array([True, False, True])}
    assert envs.reset(options=options)[0][:, 0].tolist() == [0, 1, 0]
    assert list(options) == ["reset_mask"]


# ---- what breaks ----


@pytest.mark.parametrize("where", ["constructor", "reset", "step"])
def test_whatever_raises_is_named_with_its_traceback(where: str) -> None:
    doing = {"constructor": "its constructor", "step": "step 1"}.get(where, where)
    with pytest.raises(ValueError, match="the wheel came off") as caught:
        run(InProcessVectorEnv(faulty(4, 2, fault="value_error", where=where)))
    line, trace = caught.value.__notes__
    assert line == f"environment 2 raised ValueError in {doing}; its traceback follows"
    assert trace.startswith("Traceback (most recent call last):")
    assert "in _value_error" in trace


def test_the_trainer_tells_it_in_one_line() -> None:
    envs = LockstepEnvs(InProcessVectorEnv(faulty(4, 2, fault="value_error", on_step=3), autoreset_mode="SameStep"))
    envs.reset([0] * 4)
    envs.step(ACTIONS)
    envs.step(ACTIONS)
    with pytest.raises(EnvironmentFailure) as caught:
        envs.step(ACTIONS)
    assert str(caught.value) == (
        "environment error: environment 2 raised ValueError in step 3: the wheel came off: 100 %s % done; "
        "its traceback follows"
    )
    assert "in _value_error" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((np.zeros(3, np.float32), None), "returned the reward None, which is no real number,"),
        ((np.zeros(4, np.float32), 0.0), "returned an observation of shape (4,), but its space has (3,),"),
        ((np.zeros(3, np.int64), 0.0), "returned an observation of dtype int64, but its space has float32,"),
    ],
    ids=str,
)
def test_a_broken_contract_is_named(answer: Any, said: str) -> None:
    with pytest.raises(EnvironmentFailure) as caught:
        run(InProcessVectorEnv(faulty(4, 2, answer=answer)))
    assert str(caught.value) == f"environment error: environment 2 {said} in step 1"


def test_actions_of_a_wrong_number_are_refused_before_anyone_steps() -> None:
    envs = InProcessVectorEnv([FaultyEnv] * 4)
    envs.reset()
    with pytest.raises(ValueError, match="3 actions for 4 environments"):
        envs.step(ACTIONS[:3])
    assert envs.get_attr("steps") == (0, 0, 0, 0)


def test_one_environment_that_cannot_be_closed_does_not_keep_the_others_open() -> None:
    class Closes(FaultyEnv):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    envs = InProcessVectorEnv([partial(Closes, "value_error", "close"), Closes])
    made: Any = envs.envs
    envs.close()
    assert [env.closed for env in made] == [True, True]


def run(envs: InProcessVectorEnv) -> None:
    envs.reset()
    envs.step(ACTIONS)


# ---- in place ----


@pytest.mark.parametrize("kind", [InProcessVectorEnv, partial(ShardedAsyncVectorEnv, num_workers=2)])
def test_only_the_infos_that_are_read_are_told(kind: Any) -> None:
    envs = kind([DiceEnv] * 4, autoreset_mode="SameStep")
    envs.keep_infos(("t",))
    said: set[str] = set(envs.reset(seed=1)[1])
    for _ in range(20):
        said |= set(envs.step(ACTIONS)[4])
    assert said == {"t", "_t", "final_info", "_final_info", "final_obs", "_final_obs"}
    envs.keep_infos(())
    assert not envs.reset(seed=1)[1]
    envs.keep_infos(None)
    assert "began" in envs.reset(seed=1)[1]
    envs.close()


def test_only_our_own_are_stepped_in_place() -> None:
    class Double(InProcessVectorEnv):
        def step(self, actions: Any) -> Any:
            obs, rewards, *rest = super().step(actions)
            return obs, 2 * rewards, *rest

    env_fns = [partial(FaultyEnv, answer=(np.zeros(3, np.float32), 5.0))] * 2
    for envs, reward in (
        (InProcessVectorEnv(env_fns, autoreset_mode="SameStep"), 5.0),
        (Double(env_fns, autoreset_mode="SameStep"), 10.0),
        (VectorWrapper(Double(env_fns, autoreset_mode="SameStep")), 10.0),
        (ClipReward(InProcessVectorEnv(env_fns, autoreset_mode="SameStep"), -1, 1), 1.0),
    ):
        own = type(envs) is InProcessVectorEnv
        assert type(backend_of(envs, None, ())) is (InPlaceBackend if own else Backend)
        steps = LockstepEnvs(envs)
        steps.reset([0, 0])
        assert steps.step(ACTIONS[:2]).rewards.tolist() == [reward, reward]


def test_what_a_step_gave_is_the_callers_to_keep() -> None:
    # Observations are a view until the next step; rewards and flags stay, those of a step without an end too.
    envs = LockstepEnvs(InProcessVectorEnv([partial(StepCounter, 2)] * 2, autoreset_mode="SameStep"))
    envs.reset([0, 0])
    steps = [envs.step(np.zeros((2, 2), np.float32)) for _ in range(4)]
    assert [step.truncated.tolist() for step in steps] == [[False] * 2, [True] * 2] * 2
    assert [step.final_obs.tolist() for step in steps] == [[], [[2, 2, 2]] * 2] * 2
    assert all(step.rewards.tolist() == [1, 1] for step in steps)
