"""Gymnasium's AsyncVectorEnv, a process for each environment, behind the same checks as our own workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from gymnasium import Env
from gymnasium.envs.registration import registry
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from a2c.envs.single.checked import Checked, named_failure
from a2c.envs.single.wrappers import KeepFinalObservation
from a2c.errors import A2CError
from a2c.machine.processes.launch import registered_elsewhere, single_threaded, without_main_module
from a2c.machine.processes.pickles import Pickled

EnvFn = Callable[[], Env[Any, Any]]


def one_process_each(env_fns: Sequence[EnvFn]) -> AsyncVectorEnv[Any, Any]:
    """Start a process for each environment; they reset in the same step.

    Its own class lets through what ours refuse (text as a reward, an observation of another shape), hangs on an
    exception that cannot be pickled, and runs an unguarded script again in every process.

    Args:
        env_fns: N functions that each make one environment.

    Raises:
        EnvironmentFailure: an environment raised; the message names it.
    """
    registered = Pickled(registered_elsewhere())
    made = [_CheckedEnvFn(env_fn, index, registered, os.getpid()) for index, env_fn in enumerate(env_fns)]
    # fork after torch has started its threads deadlocks the workers
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    with without_main_module(), single_threaded():
        return AsyncVectorEnv(made, context=method, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)


class _CheckedEnvFn:
    """Makes environment ``index``, in its own process or, for its spaces, in the main one."""

    def __init__(self, env_fn: EnvFn, index: int, registered: Pickled, main_pid: int) -> None:
        self._env_fn, self._name, self._registered, self._main_pid = (
            env_fn,
            f"environment {index}",
            registered,
            main_pid,
        )

    def __call__(self) -> Env[Any, Any]:
        if os.getpid() != self._main_pid:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the main process decides
            registry.update(self._registered.open())
        try:
            env = self._env_fn()
        except A2CError:
            raise
        except (Exception, SystemExit) as error:
            raise named_failure(error, self._name, "its constructor") from None
        return Checked(KeepFinalObservation(env), self._name)
