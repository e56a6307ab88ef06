"""Calls come where they came: between the same two steps of every environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from a2c.envs.rebuilding.beginnings import Beginnings, beginnings_memory
from a2c.envs.rebuilding.calls import Call, Calls, CallsAgain, call_of
from a2c.envs.rebuilding.in_flight import Episode
from a2c.envs.rebuilding.origins import RENEW, REPLAY, Origin, words_of
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.envs.vector.rebuilt_alone import Rebuildable, shared_memory

CELL = np.zeros(1, np.int64)


class Diary(gym.Env[Any, Any]):
    """Observes how many things have happened to it, and keeps all of them."""

    action_space = gym.spaces.Discrete(9)
    observation_space = gym.spaces.Box(0, 99, (1,), np.float32)

    def __init__(self) -> None:
        self.events: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.happened("reset"), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.happened(int(action)), 0.0, False, False, {}

    def mark(self, what: str) -> None:
        self.happened(what)

    def happened(self, what: Any) -> Any:
        self.events.append(what)
        return np.array([len(self.events)], np.float32)


def test_the_history_counts_steps_since_each_call() -> None:
    calls, one, two = Calls(), Call("one", (), {}), Call("two", (), {})
    calls.add(16, one)
    calls.add(48, two)
    history = calls.until(64)
    assert history == [(48, one), (16, two)]  # 64 - 16, 64 - 48
    resumed = Calls()
    resumed.load(5, history)  # as seen from step 5 of another session
    resumed.add(13, one)
    assert resumed.until(21) == [(64, one), (32, two), (8, one)]  # 16 steps later


def test_they_are_made_in_order_and_once() -> None:
    made: list[str] = []
    calls = CallsAgain([(k, Call(f"{k} ago", (), {})) for k in (9, 4, 3, 0)], 4, lambda call: made.append(call.name))
    calls.up_to(-1)
    assert made == ["9 ago"]  # 5 steps before the episode of 4 steps began
    calls.up_to(0)
    assert made[1:] == ["4 ago"]  # after its reset, before its first action
    calls.up_to(3)
    calls.up_to(3)
    assert made[2:] == ["3 ago"]
    calls.up_to(4)
    assert made[3:] == ["0 ago"]


@pytest.mark.parametrize("kind", [REPLAY, RENEW])
def test_an_episode_is_played_again_among_its_calls(kind: str) -> None:
    envs: list[Any] = [Diary()]
    origin = Origin(words_of(envs[0], 7))
    history = [(ago, Call("mark", (f"{ago} ago",), {})) for ago in (5, 3, 1, 0)]
    noted = Beginnings(kind, envs, [Diary], np.zeros(*beginnings_memory(1)))
    episode = Episode(1, origin, np.array([1, 2, 3]), np.array([7], np.float32), 0)
    assert noted.rebuild(0, episode, CELL, history)[0] is None
    # 3 steps: a call 5 steps ago came 2 before its reset, one 3 steps ago right after it.
    assert envs[0].events == ["5 ago", "reset", "3 ago", 1, 2, "1 ago", 3, "0 ago"]
    other = Episode(1, origin, np.array([1, 2, 3]), np.array([0], np.float32), 0)
    envs[0] = Diary()
    assert noted.rebuild(0, other, CELL, history)[0] == "played again, it does not come to where it was"
    fresh = ["5 ago", "3 ago", "1 ago", "reset", "0 ago"]
    assert envs[0].events[-len(fresh) :] == fresh if kind == RENEW else envs[0].events[-2:] == ["reset", "0 ago"]


def test_a_new_instance_for_every_episode_has_had_all_calls() -> None:
    calls: list[Call] = []
    envs: list[Any] = [Diary()]
    noted = Beginnings(RENEW, envs, [Diary], np.zeros(*beginnings_memory(1)), calls)
    noted.reset(0, 1)
    calls.append(Call("mark", ("one",), {}))
    noted.reset(0)
    calls.append(Call("mark", ("two",), {}))
    noted.reset(0)
    assert envs[0].events == ["one", "two", "reset"]


def test_so_it_has_whoever_steps_it() -> None:
    mark = Call("mark", ("one",), {})
    envs = InProcessVectorEnv([Diary, Diary], autoreset_mode="SameStep")
    envs.rebuilder.prepare(RENEW)
    envs.reset(seed=1)
    assert envs.rebuilder.call(mark) == [None, None]
    envs.reset()
    assert [env.events for env in envs.envs] == [["one", "reset"]] * 2  # type: ignore[attr-defined]
    envs.close()

    memory = shared_memory(1)
    alone = Rebuildable(Diary, 0, memory)
    alone.note_beginnings(RENEW)
    alone.reset(seed=1)
    alone.call_all(mark)
    alone.reset()
    assert alone.env.events == ["one", "reset"]  # type: ignore[attr-defined]
    memory.close_file()


def test_arguments_are_copied_and_must_be_plain() -> None:
    level = [1, 2]
    call = call_of("mark", (level,), {"by": np.float32(2)})
    level.append(3)
    assert call == Call("mark", ([1, 2],), {"by": 2.0})
    with pytest.raises(TypeError, match="no plain data"):
        call_of("mark", (object(),), {})
