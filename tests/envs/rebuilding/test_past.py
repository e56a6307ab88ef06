"""The actions of every episode in flight, kept for as long as it needs them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2c.envs.rebuilding import past as module
from a2c.envs.rebuilding.past import Past, longest


def begin(past: Past, *rows: int) -> None:
    past.begin(np.isin(np.arange(len(past.mark().began)), rows))


def since(past: Past, *rows: int) -> list[list[int] | None]:
    mark = past.mark()
    found = [past.since(mark, row) for row in rows]
    return [None if actions is None else actions.tolist() for actions in found]


def test_the_actions_of_an_episode_are_those_since_it_began() -> None:
    past = Past(2)
    begin(past, 0, 1, 2)
    assert since(past, 0, 1) == [[], []]
    past.record(np.array([1, 10]))
    past.record(np.array([2, 20]))
    past.begin(np.array([True, False]))
    assert since(past, 0, 1) == [[], [10, 20]]
    past.record(np.array([3, 30]))
    assert since(past, 0, 1) == [[3], [10, 20, 30]]
    assert past.mark().numbers.tolist() == [2, 1]


def test_a_mark_stays_where_it_was() -> None:
    past = Past(1)
    begin(past, 0, 1, 2)
    past.record(np.array([1]))
    mark = past.mark()
    past.record(np.array([2]))
    begin(past, 0)
    past.record(np.array([3]))
    assert past.since(mark, 0) == [1]
    assert mark.numbers.tolist() == [1]


def test_what_is_loaded_goes_on_as_if_it_had_been_recorded() -> None:
    past = Past(3)
    begin(past, 0, 1, 2)  # the reset before
    past.load({0: (7, np.array([1, 2, 3])), 2: (4, np.array([9]))})
    past.record(np.array([4, 5, 6]))
    assert since(past, 0, 1, 2) == [[1, 2, 3, 4], [5], [9, 6]]
    assert past.mark().numbers.tolist() == [7, 1, 4]


def test_memory_grows_with_the_longest_episode_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START", 4)
    past = Past(2)
    begin(past, 0, 1, 2)
    for step in range(100):
        past.record(np.array([step, -step]))
        begin(past, step % 2)
    assert len(past._kept) == 4
    for step in range(100):
        past.record(np.array([step, -step]))
        begin(past, 1)
    assert 101 <= len(past._kept) <= 256
    assert since(past, 0, 1) == [[98 + 1, *range(100)], []] or since(past, 0)[0][-100:] == list(range(100))


def test_too_long_an_episode_is_lost_and_only_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START", 4)
    past = Past(2, limit=16 * 16)  # 16 rows of two int64
    begin(past, 0, 1, 2)
    for step in range(1000):
        past.record(np.array([step, step]))
        if step % 8 == 0:
            begin(past, 1)
    assert len(past._kept) == 16
    assert since(past, 0, 1) == [None, list(range(993, 1000))]
    begin(past, 0)
    past.record(np.array([5, 5]))
    assert since(past, 0) == [[5]]
    assert longest(8, 2, limit=16 * 16) == 8


def test_what_a_held_mark_needs_is_kept_though_its_episode_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START", 4)
    past = Past(1)
    begin(past, 0)
    for step in range(3):
        past.record(np.array([step]))
    mark = past.mark()
    past.hold(mark)
    for step in range(3, 20):
        begin(past, 0)
        past.record(np.array([step]))
    assert past.since(mark, 0).tolist() == [0, 1, 2]  # type: ignore[union-attr]
    past.hold(None)
    for step in range(20, 40):
        begin(past, 0)
        past.record(np.array([step]))
    assert past.since(mark, 0) is None


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 2)), st.booleans()), max_size=120),
    st.sampled_from([(), (2,)]),
)
def test_it_is_a_list_of_lists(script: list[tuple[set[int], bool]], shape: tuple[int, ...]) -> None:
    """Against lists that are never dropped; now and then everything is saved and loaded into another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "START", 4)
        past, naive, numbers = Past(3), [[], [], []], [1, 1, 1]  # type: ignore[var-annotated]
        begin(past, 0, 1, 2)
        for step, (ends, load) in enumerate(script):
            actions = np.arange(3 * max(1, *shape, 1)).reshape(3, *shape) + 100 * step
            past.record(actions)
            for row in range(3):
                naive[row].append(actions[row].tolist())
            mask = np.array([row in ends for row in range(3)])
            past.begin(mask)
            for row in ends:
                naive[row], numbers[row] = [], numbers[row] + 1
            if load:
                kept = {row: (numbers[row], past.since(past.mark(), row)) for row in range(3)}
                past = Past(3)
                begin(past, 0, 1, 2)
                past.load(kept)  # type: ignore[arg-type]
            assert since(past, 0, 1, 2) == naive
            assert past.mark().numbers.tolist() == numbers
