"""What an episode begins from: enough to begin it again, in this process, in another one, or tomorrow.

Gymnasium resets without a seed between episodes, so that an episode is a function of the environment's generator before
its reset, and of the actions since.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from a2c.envs.foreign import close_in_time
from a2c.envs.rebuilding.calls import NO_CALLS, CallsAgain
from a2c.envs.single.atari import state_door_of_game
from a2c.storage.plain import plain

Env = gym.Env[Any, Any]

# How the episodes of an environment can be rebuilt
REPLAY = "replay"  # its generator and its actions say it all
RENEW = "renew"  # so they do if every episode begins in a new instance
STATE = "state"  # so they do together with what its get_state gives before a reset
RESTART = "restart"  # nothing does: another episode begins

WORDS = 6  # uint64 numbers that say what an episode began from
_SEED, _GENERATOR, _NOTHING, _UNKNOWN = 1, 2, 3, 0  # first word: what the others are
_LOW = 2**64 - 1

Words = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Origin:
    """What one episode began from."""

    words: Words
    state: Any = None  # STATE: what get_state gave


class CannotRebuildError(Exception):
    """An episode cannot be played again; the text says why."""


def words_of(env: Env, seed: int | None, options: Any = None) -> Words:
    """What a reset begins from; ask before it.

    Args:
        env: the environment, wrapped or not.
        seed: of the reset; None: it draws from the environment's generator.
        options: of the reset; with any, the episode cannot be begun again.
    """
    if options:
        return (_UNKNOWN, 0, 0, 0, 0, 0)
    if seed is not None:
        return (_SEED, int(seed), 0, 0, 0, 0)
    generator = getattr(env.unwrapped, "_np_random", None)  # the property would make one
    if generator is None:
        return (_NOTHING, 0, 0, 0, 0, 0)
    now = generator.bit_generator.state
    if now["bit_generator"] != "PCG64":  # Gymnasium's; an environment may bring another
        return (_UNKNOWN, 0, 0, 0, 0, 0)
    at, step = now["state"]["state"], now["state"]["inc"]
    return (_GENERATOR, at & _LOW, at >> 64, step & _LOW, step >> 64, now["has_uint32"] << 32 | now["uinteger"])


def state_of(env: Env) -> Any:
    """A copy of what get_state gives now, None where there is no such thing.

    Raises:
        TypeError: it gives something else than plain data.
        Exception: what it raises.
    """
    door = state_door(env)
    return None if door is None else plain(door[0]())


def begin_again(env: Env, origin: Origin) -> Any:
    """Begin an episode again; returns its first observation.

    Raises:
        CannotRebuildError: nothing is known of what it began from.
        Exception: what the environment raises.
    """
    if origin.state is not None:
        door = state_door(env)
        if door is None:
            raise CannotRebuildError("it has no get_state and set_state any more")
        door[1](deepcopy(origin.state))  # it may keep what it gets
    what, one, two, three, four, five = origin.words
    if what == _UNKNOWN:
        raise CannotRebuildError("what its episode began from is not known")
    if what == _SEED:
        return env.reset(seed=one)[0]
    if what == _GENERATOR:
        # In place: an environment may hold the generator under another name.
        env.unwrapped.np_random.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": one | two << 64, "inc": three | four << 64},
            "has_uint32": five >> 32,
            "uinteger": five & (2**32 - 1),
        }
    return env.reset()[0]


def play_again(env: Env, origin: Origin, actions: Any, calls: CallsAgain = NO_CALLS) -> Any:
    """Play an episode again as far as it was; returns the observation there.

    Args:
        env: one that has no episode under way that anyone needs.
        origin: what it began from.
        actions: as the environment took them, in order.
        calls: that it has had; those after the last action are not made.

    Raises:
        CannotRebuildError: the episode ends before the last action.
        Exception: what the environment raises.
    """
    calls.up_to(-1)
    obs = begin_again(env, origin)
    for k, action in enumerate(actions, start=1):
        calls.up_to(k - 1)
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            raise CannotRebuildError(f"its episode ends {len(actions) - k} steps early")
    return obs


def renewable(env: Env) -> bool:
    """Whether a new instance for every episode changes nothing but what a reset leaves behind by mistake.

    Gymnasium's Box2D environments keep their world across resets. Another environment may keep something on purpose,
    such as the stage of a curriculum, which new instances would lose.
    """
    return type(env.unwrapped).__module__.startswith("gymnasium.envs.box2d")


def renewed(env: Env, make: Callable[[], Env]) -> Env:
    """Another instance in the place of ``env``, which is closed first, with its generator."""
    generator = getattr(env.unwrapped, "_np_random", None)
    close_in_time(env.close, "an environment that another takes the place of")
    made = make()
    if generator is not None:
        made.unwrapped.np_random = generator
    return made


def state_door(env: Env) -> tuple[Callable[[], Any], Callable[[Any], Any]] | None:
    """How to get and set the whole state of an environment: the emulator's, or its own ``get_state`` and ``set_state``.

    docs/reliability.md has the protocol.
    """
    base: Any = env.unwrapped
    game = state_door_of_game(base)
    if game is not None:
        return game
    get, put = getattr(base, "get_state", None), getattr(base, "set_state", None)
    return (get, put) if callable(get) and callable(put) else None
