"""a2c: a GPU-batched synchronous advantage actor-critic trainer.

The public names load on first use, so that worker processes, ``--help`` and a bad
override never wait for torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a2c.api import load_config, train
    from a2c.envs.spaces import Spaces
    from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
    from a2c.errors import (
        A2CError,
        CallbackFailure,
        CheckpointError,
        ConfigError,
        EnvironmentFailure,
        NumericError,
        RunIOError,
        StoppedError,
    )
    from a2c.maths.losses import actor_critic_loss
    from a2c.maths.returns import lambda_returns, n_step_returns
    from a2c.playing.evaluation import EvalResult, evaluate
    from a2c.playing.policy import Policy, load_policy
    from a2c.run.progress import Progress
    from a2c.run.summary import Summary
    from a2c.settings.config import Config

__version__ = "0.1.0"

# The OpenMP that comes with torch reads this when torch is loaded. Otherwise its threads spin for milliseconds after
# every operation, on the cores where workers want to step environments: Pong trains 18 % faster without that.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

_HOME = {
    "A2CError": "a2c.errors",
    "CallbackFailure": "a2c.errors",
    "CheckpointError": "a2c.errors",
    "Config": "a2c.settings.config",
    "ConfigError": "a2c.errors",
    "EnvironmentFailure": "a2c.errors",
    "EvalResult": "a2c.playing.evaluation",
    "NumericError": "a2c.errors",
    "Policy": "a2c.playing.policy",
    "Progress": "a2c.run.progress",
    "RunIOError": "a2c.errors",
    "StoppedError": "a2c.errors",
    "ShardedAsyncVectorEnv": "a2c.envs.vector.sharded",
    "Spaces": "a2c.envs.spaces",
    "Summary": "a2c.run.summary",
    "actor_critic_loss": "a2c.maths.losses",
    "evaluate": "a2c.playing.evaluation",
    "lambda_returns": "a2c.maths.returns",
    "load_config": "a2c.api",
    "load_policy": "a2c.playing.policy",
    "n_step_returns": "a2c.maths.returns",
    "train": "a2c.api",
}

__all__ = [
    "A2CError",
    "CallbackFailure",
    "CheckpointError",
    "Config",
    "ConfigError",
    "EnvironmentFailure",
    "EvalResult",
    "NumericError",
    "Policy",
    "Progress",
    "RunIOError",
    "ShardedAsyncVectorEnv",
    "Spaces",
    "StoppedError",
    "Summary",
    "actor_critic_loss",
    "evaluate",
    "lambda_returns",
    "load_config",
    "load_policy",
    "n_step_returns",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'a2c' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
