"""An episode begins again from what was written down before it, in another instance, to the bit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from a2c.envs.rebuilding.origins import CannotRebuildError, Origin, begin_again, play_again, renewed, state_of, words_of
from rebuilding_toys import Dice, KeptDice, UntoldDice

ACTIONS = np.array([0, 2, 1])


def lasting(env: Dice) -> Dice:
    """Its episodes do not end."""
    step = env.step
    env.step = lambda action: (*step(action)[:2], False, False, {})  # type: ignore[method-assign]
    return env


def played(env: Any, actions: Any = ACTIONS) -> Any:
    return [env.step(action)[0] for action in actions][-1]


@pytest.mark.parametrize("seed", [7, None])
def test_a_seed_or_the_generator_says_it_all(seed: int | None) -> None:
    env = lasting(Dice())
    env.reset(seed=1)
    env.step(0)
    env.np_random.integers(3, dtype=np.int32)  # half of a 64-bit number is left over
    origin = Origin(words_of(env, seed))
    env.reset(seed=seed)
    other = lasting(Dice())
    other.reset(seed=99)
    assert np.array_equal(play_again(other, origin, ACTIONS), played(env))
    assert env.np_random.bit_generator.state == other.np_random.bit_generator.state  # so is the next episode


def test_every_number_of_a_generator_is_in_the_words() -> None:
    env, other = Dice(), Dice()
    env.reset(seed=5)
    for _ in range(100):
        env.np_random.integers(3, dtype=np.int32)
        before = env.np_random.bit_generator.state
        words = words_of(env, None)
        assert all(0 <= word < 2**64 for word in words)
        begin_again(other, Origin(words))
        env.np_random.normal(size=3)  # as its reset does
        assert other.np_random.bit_generator.state == env.np_random.bit_generator.state
        env.np_random.bit_generator.state = before


def test_what_was_not_made_yet_is_not_made() -> None:
    env = Dice()
    assert words_of(env, None)[0] == 3
    assert env._np_random is None


@pytest.mark.parametrize("reason", ["options", "another generator"])
def test_what_cannot_be_written_down_is_not_begun_again(reason: str) -> None:
    env = Dice()
    env.reset(seed=1)
    if reason == "another generator":
        env.np_random = np.random.Generator(np.random.MT19937(1))
    words = words_of(env, None, {"level": 2} if reason == "options" else None)
    with pytest.raises(CannotRebuildError, match="not known"):
        begin_again(env, Origin(words))


def test_an_episode_that_ends_early_is_not_the_same() -> None:
    env = gym.make("CartPole-v1")
    origin = Origin(words_of(env, 3))
    with pytest.raises(CannotRebuildError, match=r"its episode ends 9\d steps early"):
        play_again(env, origin, [0] * 100)


def test_a_state_is_a_copy_and_comes_before_the_reset() -> None:
    env = lasting(KeptDice())
    env.reset(seed=1)
    origin = Origin(words_of(env, None), state_of(env))
    before = origin.state["place"].copy()
    env.place += 1
    assert np.array_equal(origin.state["place"], before)
    env.place -= 1
    env.reset()
    expected = played(env)
    for _ in range(2):  # what it is given is a copy too
        other = lasting(KeptDice())
        assert np.array_equal(play_again(other, origin, ACTIONS), expected)
        other.place += 1
    assert np.array_equal(origin.state["place"], before)


def test_a_state_needs_an_environment_that_takes_it_and_a_checkpoint_that_holds_it() -> None:
    assert state_of(Dice()) is None
    with pytest.raises(CannotRebuildError, match="no get_state and set_state any more"):
        begin_again(Dice(), Origin((1, 0, 0, 0, 0, 0), {"own": 1}))
    with pytest.raises(TypeError, match="a Generator is no plain data"):
        state_of(UntoldDice())


def test_a_new_instance_goes_on_with_the_generator_of_the_old_one() -> None:
    closed: list[bool] = []
    old = Dice()
    old.reset(seed=4)
    generator = old.np_random
    old.close = lambda: closed.append(True)  # type: ignore[method-assign]
    new = renewed(old, Dice)
    assert new is not old
    assert new.np_random is generator
    assert closed == [True]
