"""A shard notes what its episodes begin from, and brings an environment back to where one was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from a2c.envs.rebuilding.beginnings import KEPT, Beginnings
from a2c.envs.rebuilding.in_flight import Episode
from a2c.envs.rebuilding.origins import RENEW, REPLAY, STATE, WORDS, Origin
from a2c.envs.rebuilding.pulse import Pulse
from rebuilding_toys import Dice, KeptDice, LeakyDice

CELL = np.zeros(1, np.int64)


def beginnings(kind: str, of: Callable[[], Dice], count: int = 2) -> tuple[Beginnings, list[Any], Any]:
    """... of environments whose episodes do not end."""

    def make() -> Any:
        env = of()
        step = env.step
        env.step = lambda action: (*step(action)[:2], False, False, {})  # type: ignore[method-assign]
        return env

    envs = [make() for _ in range(count)]
    memory = np.zeros((KEPT, count, 1 + WORDS), np.uint64)
    return Beginnings(kind, envs, [make] * count, memory), envs, memory


def origin(memory: Any, row: int, number: int, state: Any = None) -> Origin | None:
    known, *words = memory[number % KEPT, row].tolist()
    return Origin(tuple(words), state) if known == number else None  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "make"), [(REPLAY, Dice), (RENEW, LeakyDice), (STATE, KeptDice)])
def test_an_episode_is_brought_back_in_another_shard(kind: str, make: Callable[[], Dice]) -> None:
    noted, envs, memory = beginnings(kind, make)
    noted.reset(1, seed=3)
    states = noted.told()
    for _ in (2, 3):
        noted.reset(1)
        states |= noted.told()
    actions = [1, 2]
    obs = [envs[1].step(action)[0] for action in actions][-1]
    episode = Episode(3, origin(memory, 1, 3, states.get((1, 3))), np.array(actions), obs, seed=9)  # type: ignore[arg-type]
    other, others, memory = beginnings(kind, make)
    other.reset(1, seed=77)
    why, found = other.rebuild(1, episode, CELL)
    assert why is None
    assert np.array_equal(found, obs)
    assert np.array_equal(others[1].step(0)[0], envs[1].step(0)[0])
    again = origin(memory, 1, 3, other.told().get((1, 3)))  # to be saved again
    assert again is not None
    assert again.words == episode.origin.words
    if kind != STATE:
        assert origin(memory, 1, 1) is not None  # of the reset before; nobody asks


def test_where_it_was_is_checked_and_else_another_episode_begins_under_its_number() -> None:
    noted, _, memory = beginnings(REPLAY, Dice)
    noted.reset(0, seed=1)
    words = origin(memory, 0, 1)
    assert words is not None
    wrong = Episode(5, words, np.array([1]), np.zeros(3, np.float32), seed=9)
    why, obs = noted.rebuild(0, wrong, CELL)
    assert why == "played again, it does not come to where it was"
    expected = Dice()
    assert np.array_equal(obs, expected.reset(seed=9)[0])
    assert origin(memory, 0, 5) == Origin((1, 9, 0, 0, 0, 0))
    assert origin(memory, 0, 6) is None


def test_of_more_episodes_than_are_kept_the_oldest_are_not_known_rather_than_others() -> None:
    noted, _, memory = beginnings(REPLAY, Dice, count=1)
    noted.reset(0, seed=1)
    for _ in range(KEPT):
        noted.reset(0)
    assert origin(memory, 0, 1) is None
    assert all(origin(memory, 0, number) is not None for number in range(2, KEPT + 2))


def test_a_call_that_lasts_is_told_from_many_that_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("a2c.envs.rebuilding.pulse.time.monotonic", lambda: now[0])
    cells = np.zeros(3, np.int64)
    pulse = Pulse(cells, limit=5.0)
    late: list[list[int]] = []
    for k in range(4):
        cells[:] = 0, 7, k + 1  # none under way; always the same one; another one at every look
        late.append(list(pulse.late()))
        now[0] += 3.0
    assert late == [[], [], [1], [1]]
    assert list(Pulse(cells, None).late()) == []
