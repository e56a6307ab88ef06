"""A shard tries out how its episodes can be rebuilt, and rebuilds them, with the calls that its environments had."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from numpy.typing import NDArray

from a2c.envs.foreign import users_own
from a2c.envs.rebuilding.beginnings import Beginnings, begun, calls_again
from a2c.envs.rebuilding.calls import Call, History
from a2c.envs.rebuilding.in_flight import Episode
from a2c.envs.rebuilding.origins import RESTART
from a2c.envs.rebuilding.pulse import marked
from a2c.envs.rebuilding.trial import Rebuilding, try_out_watched
from a2c.envs.vector.shard import Shard, StepNews


def try_out_first(shard: Shard, seed: int, alone: bool) -> Rebuilding:
    """Try out how episodes of the shard's first environment can be rebuilt.

    What it raises meanwhile is left to training to report.

    Args:
        shard: before its first reset.
        seed: of the trial.
        alone: there may be no second instance: the trial plays in the environment itself.
    """
    shard.begin(shard.first, "the trial of exact resume")
    try:
        return try_out_watched(shard.envs[0], None if alone else shard.env_fns[0], seed, _cell(shard))
    except BaseException as error:
        if users_own(error):
            raise
        return Rebuilding(RESTART, f"it raised {type(error).__name__} in a trial")


def note_beginnings(shard: Shard, kind: str) -> None:
    """From the next reset on, note what episodes begin from, so that they can be rebuilt in the way ``kind``."""
    memory = shard.memory.arrays["origins"][:, shard.first : shard.first + shard.num_envs]
    shard.beginnings = None if kind == RESTART else Beginnings(kind, shard.envs, shard.env_fns, memory, shard.calls)


def call_all(shard: Shard, call: Call) -> list[Any]:
    """Make a call of every environment; returns what they gave."""
    results = []
    for env, index in zip(shard.envs, range(shard.first, shard.first + shard.num_envs), strict=True):
        shard.begin(index, f"the call of {call.name!r}")
        results.append(marked(_cell(shard), partial(call.on, env)))
    shard.calls.append(call)
    return results


def rebuild(shard: Shard, episodes: Mapping[int, Episode], history: History) -> tuple[dict[int, str], StepNews]:
    """Bring environments to where their episodes were; returns why not, where it cannot be done, and what is new.

    Args:
        shard: nobody needs the episodes under way in it.
        episodes: by environment; one that cannot be rebuilt is reset.
        history: the calls that all environments had; those of the shard have had none.

    Raises:
        Exception: what an environment raises.
    """
    failed: dict[int, str] = {}
    shard.calls[:] = [call for _, call in history]
    for env, episode in episodes.items():
        row = env - shard.first
        shard.begin(env, "playing its episode again")
        why: str | None
        if shard.beginnings is None:
            again = calls_again(shard.envs[row], episode, _cell(shard), history)
            reset = partial(shard.envs[row].reset, seed=episode.seed)
            why, (obs, _) = "nothing rebuilds it", begun(again, episode, reset)
        else:
            why, obs = shard.beginnings.rebuild(row, episode, _cell(shard), history)
        if why is not None:
            failed[env] = why
        shard.must_reset[row] = False
        shard.store(row, obs)
    return failed, shard.news([])


def _cell(shard: Shard) -> NDArray[Any]:
    return shard.memory.arrays["calls"][shard.worker : shard.worker + 1]
