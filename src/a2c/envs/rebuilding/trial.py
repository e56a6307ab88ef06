"""Try out how the episodes of an environment can be rebuilt exactly.

Some keep something across resets (BipedalWalker its world), some draw from another source than their generator. So
episodes are played in one instance and again in another, and every observation, reward and end is compared.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2c.envs.converting.masks import made_legal
from a2c.envs.foreign import close_in_time
from a2c.envs.rebuilding.origins import (
    RENEW,
    REPLAY,
    RESTART,
    STATE,
    CannotRebuildError,
    Env,
    Origin,
    begin_again,
    renewable,
    renewed,
    state_door,
    state_of,
    words_of,
)
from a2c.envs.rebuilding.pulse import Pulsing
from a2c.envs.single.atari import state_door_of_game

EPISODES = {REPLAY: 8, RENEW: 8, STATE: 3}  # of BipedalWalker half differ: that all of 8 agree has a chance of 1 in 250
STEPS = {REPLAY: 64, RENEW: 64, STATE: 24}  # at most, of an episode
SLOW = 1.0  # seconds that making an instance may take where every episode needs one
SECONDS, LEAST = 1.0, 3  # slow environments play for no longer than this, but this many episodes


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """How episodes can be rebuilt, and why not by replaying them where that is so."""

    kind: str  # REPLAY, RENEW, STATE or RESTART
    why: str = ""


def try_out(env: Env, make: Callable[[], Env] | None, seed: int) -> Rebuilding:
    """Find how to rebuild episodes of an environment.

    Args:
        env: nobody needs the episode that is under way in it.
        make: makes another instance; None: there may be no other one, so that ``env`` plays both parts.
        seed: of the episodes and of the actions in them.

    Raises:
        Exception: what the environment raises.
    """
    why, slow = "", False
    may_renew = make is not None and renewable(env)
    for kind in [STATE] * (state_door(env) is not None) + [REPLAY] + [RENEW] * may_renew:
        if kind == RENEW and slow:
            return Rebuilding(RESTART, f"{why}, and a new instance for each takes too long")
        begin = time.perf_counter()
        again = _Instance(env if make is None else make(), make)
        used = _Instance(make() if make is not None and kind == RENEW else env, make)
        slow = slow or time.perf_counter() - begin > SLOW
        try:
            departed = next(_departures(kind, used, again, seed), None)
        finally:
            if again.env is not env:
                again.close()
            if used.env is not env:
                used.close()
        if departed is None:
            return Rebuilding(kind, why)
        why = why or departed
    return Rebuilding(RESTART, why)


def try_out_watched(env: Env, make: Callable[[], Env] | None, seed: int, cell: NDArray[Any]) -> Rebuilding:
    """As :func:`try_out`, in an instance of its own where there may be another one.

    Args:
        env: of training, before its first reset.
        make: makes another instance; None, or if it raises: there may be no other one.
        seed: of the trial.
        cell: ``[1]``, of :class:`a2c.envs.rebuilding.pulse.Pulsing`.
    """

    def another() -> Env:
        assert make is not None
        try:
            return Pulsing(make(), cell)
        except Exception as error:
            raise _OnlyOneError from error

    # An emulator's state is all there is, and loading a game takes longer than the trial.
    if make is not None and state_door_of_game(env.unwrapped) is None:
        with contextlib.suppress(_OnlyOneError):
            scratch = _Instance(another(), another)
            try:
                return try_out(scratch.env, another, seed)
            finally:
                scratch.close()
    return try_out(Pulsing(env, cell), None, seed)


class _OnlyOneError(Exception):
    """There can be no other instance: a port is taken, or a licence."""


class _Instance:
    """An instance that can be replaced by a new one."""

    def __init__(self, env: Env, make: Callable[[], Env] | None) -> None:
        self.env, self._make = env, make

    def renew(self) -> None:
        assert self._make is not None
        self.env = renewed(self.env, self._make)

    def close(self) -> None:
        close_in_time(self.env.close, "the environment of the trial")


def _departures(kind: str, used: _Instance, again: _Instance, seed: int) -> Iterator[str]:
    """Play episodes in one instance and again in the other; yields what differs."""
    draws = deepcopy(used.env.action_space)
    draws.seed(seed)
    deadline = time.perf_counter() + SECONDS
    played: list[tuple[Origin, list[Any], list[Any]]] = []
    try:
        while len(played) < EPISODES[kind] and (len(played) < LEAST or time.perf_counter() < deadline):
            played.append(_played(kind, used, None if played else seed, draws))
        # Backwards, so that what came before is another history than it was then: of the first one, none at all.
        for origin, seen, actions in reversed(played):
            for step, (then, now) in enumerate(zip(seen, _replayed(kind, again, origin, actions), strict=True)):
                if not same(then, now):
                    yield f"step {step} of an episode differs when it is played again"
    except CannotRebuildError as error:
        yield str(error)
    except Exception as error:
        if kind != STATE:
            raise
        text = " ".join(str(error).split())
        yield f"get_state and set_state do not serve: {type(error).__name__}: {text}"  # meant for something else


def _played(kind: str, used: _Instance, seed: int | None, draws: Any) -> tuple[Origin, list[Any], list[Any]]:
    if kind == RENEW:
        used.renew()
    origin = Origin(words_of(used.env, seed), state_of(used.env) if kind == STATE else None)
    obs = used.env.reset(seed=seed)[0] if seed is not None else used.env.reset()[0]
    seen: list[Any] = [deepcopy(obs)]
    actions: list[Any] = []
    while len(actions) < STEPS[kind]:
        actions.append(made_legal(used.env, draws.sample(), obs))
        seen.append(deepcopy(used.env.step(actions[-1])[:4]))
        obs = seen[-1][0]
        if seen[-1][2] or seen[-1][3]:
            break
    return origin, seen, actions


def _replayed(kind: str, again: _Instance, origin: Origin, actions: list[Any]) -> Iterator[Any]:
    if kind == RENEW:
        again.renew()
    yield begin_again(again.env, origin)
    for action in actions:
        yield again.env.step(action)[:4]


def same(one: Any, other: Any) -> bool:
    """Whether two observations, or two tuples of what a step gave, are equal in every number."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    left, right = np.asarray(one), np.asarray(other)
    return left.dtype == right.dtype and bool(np.array_equal(left, right, equal_nan=left.dtype.kind in "fc"))


def agrees(obs: Any, saved: Any) -> bool:
    """Whether an observation is the one that was saved, in the dtype of its space."""
    if isinstance(saved, dict):
        return all(agrees(obs[key], saved[key]) for key in saved)
    if isinstance(saved, tuple):
        return all(map(agrees, obs, saved))
    return bool(np.array_equal(np.asarray(obs).astype(saved.dtype), saved, equal_nan=saved.dtype.kind == "f"))
