"""A GPU-batched synchronous advantage actor-critic trainer.

::

    import a2c

    cfg = a2c.load_config("env=cartpole", "total_steps=100_000")  # key=value, as on the command line
    summary = a2c.train(cfg)                                      # a run, in a folder of its own
    policy = a2c.load_policy(summary.folder)                      # its best checkpoint, to act in any loop
    print(a2c.evaluate(policy, episodes=20).mean)

What there is; ``help(a2c.train)`` says more of each:

    load_config             settings: a preset, and what you change
    train                   train an agent, also with an environment, a network and a callback of your own
    load_policy             the policy of a run
    evaluate                play whole episodes with a policy, and score them

    Config                  all settings of a run; plain fields, ``a2c train --help`` explains each
    Summary                 what ``train`` returns: scores, folder, speed
    Policy                  what ``load_policy`` returns: ``act``, ``value``, ``reset``
    EvalResult              what ``evaluate`` returns: rewards and lengths of episodes
    Progress                what a callback gets with every report of a run
    Spaces                  what a function that makes a network gets: observations and actions

    A2CError                whatever goes wrong, in one line; one class for each kind:
    ConfigError             a setting is unknown, of the wrong type or out of range
    EnvironmentFailure      an environment raised, died, hung or broke its contract
    CallbackFailure         a callback raised, or gave what it may not
    NumericError            a number is not finite
    CheckpointError         a checkpoint is missing, damaged or of another setup
    RunIOError              the run folder cannot be written
    StoppedError            a signal came before there was anything to save

    n_step_returns          the mathematics alone, as functions of tensors [T, N]: returns of n steps,
    lambda_returns          of generalised advantage estimation,
    actor_critic_loss       and the loss
    ShardedAsyncVectorEnv   Gymnasium's AsyncVectorEnv with many environments in each of a few workers
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
    from a2c.playing.loading import load_policy
    from a2c.playing.policy import Policy
    from a2c.run.progress import Progress
    from a2c.run.summary import Summary
    from a2c.settings.config import Config

__version__ = "0.1.0"

# The OpenMP that comes with torch reads this when torch is loaded. Otherwise its threads spin for milliseconds after
# every operation, on the cores where workers want to step environments: Pong trains 18 % faster without that.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

# Each public name loads on first use, so that worker processes, ``--help`` and a wrong override never wait for torch.
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
    "load_policy": "a2c.playing.loading",
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


if not TYPE_CHECKING:  # to a type checker every name would be there

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            return getattr(importlib.import_module(_HOME[name]), name)
        raise AttributeError(f"module 'a2c' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
