"""Environments: make them, seed them, step them side by side, with one step semantics for all.

The names load on first use, so that a worker process imports its own module and nothing else of this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a2c.envs.episodes import Episode
    from a2c.envs.lockstep import LockstepEnvs
    from a2c.envs.single.make_env import make_env
    from a2c.envs.step import Step
    from a2c.envs.vector.sharded import ShardedAsyncVectorEnv

_HOME = {
    "Episode": "a2c.envs.episodes",
    "LockstepEnvs": "a2c.envs.lockstep",
    "ShardedAsyncVectorEnv": "a2c.envs.vector.sharded",
    "Step": "a2c.envs.step",
    "make_env": "a2c.envs.single.make_env",
}

__all__ = ["Episode", "LockstepEnvs", "ShardedAsyncVectorEnv", "Step", "make_env"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'a2c.envs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
