"""Gymnasium's AsyncVectorEnv, one process for each environment, with the same checks as our own workers."""

from __future__ import annotations

import atexit
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gymnasium import Env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from a2c.envs.failures import force_close
from a2c.envs.foreign import named_failure, users_own
from a2c.envs.single.checked import Checked
from a2c.envs.single.wrappers import KeepFinalObservation
from a2c.envs.vector.rebuilt_alone import ProcessRebuilder, Rebuildable, shared_memory
from a2c.errors import A2CError
from a2c.machine.processes.launch import Registered, shield_resource_tracker, single_threaded, without_main_module
from a2c.machine.processes.life import leave_signals_to_parent
from a2c.machine.processes.life_line import close_at_exit, leave_with_process
from a2c.machine.processes.shared_arrays import SharedArrays

EnvFn = Callable[[], Env[Any, Any]]


class OneProcessEach(AsyncVectorEnv[Any, Any]):
    """N environments in N processes; they reset in the same step.

    Gymnasium's own class accepts what ours refuse (text as a reward, an observation of another shape), hangs on an
    exception that cannot be pickled, and runs an unguarded script again in every process. This one does not.

    Args:
        env_fns: N functions that each make one environment.

    Attributes:
        rebuilder: rebuilds episodes (:class:`a2c.envs.rebuilding.in_flight.Rebuilder`).

    Raises:
        EnvironmentFailure, NumericError: an environment raised or broke its contract; the message names it.
    """

    def __init__(self, env_fns: Sequence[EnvFn]) -> None:
        self._at_exit = close_at_exit(self)
        shield_resource_tracker()
        registered, memory = Registered(), shared_memory(len(env_fns))
        made = [_CheckedEnvFn(env_fn, index, registered, memory) for index, env_fn in enumerate(env_fns)]
        # fork after torch has started its threads deadlocks the workers
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        try:
            with without_main_module(), single_threaded():
                super().__init__(
                    made,
                    context=method,
                    copy=False,
                    autoreset_mode=AutoresetMode.SAME_STEP,
                    worker=_tell_of_constructor,
                )
            self.rebuilder = ProcessRebuilder(self, memory)
        except BaseException as error:
            if hasattr(self, "processes"):  # some have started
                force_close(self)
            raise error.with_traceback(None) from None  # whose frames keep Gymnasium's semaphores
        finally:
            memory.close_file()

    def late(self) -> list[int]:
        """The environments that have not answered yet."""
        pipes = enumerate(self.parent_pipes)
        return [index for index, pipe in pipes if pipe is not None and not pipe.closed and not pipe.poll(0)]

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """As in Gymnasium; it also frees the error queue's semaphores, even if someone still refers to this object."""
        atexit.unregister(self._at_exit)
        for process in self.processes:
            process.terminate = process.kill  # type: ignore[method-assign]  # they ignore Gymnasium's SIGTERM
        try:
            super().close_extras(timeout, terminate)
        finally:
            self.error_queue: Any = None

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        """Raise what the first environment at fault raised, unchanged; Gymnasium would make a new exception."""
        failed = sum(not success for success in successes)
        if not failed:
            return
        found = sorted((self.error_queue.get() for _ in range(failed)), key=lambda report: report[0])
        for index, *_ in found:
            self.parent_pipes[index].close()
            self.parent_pipes[index] = None  # type: ignore[call-overload]  # as Gymnasium marks it
        self._state = AsyncState.DEFAULT
        try:
            raise found[0][2]
        finally:
            del found  # with the exception it would be a cycle


def _tell_of_constructor(
    index: int, env_fn: EnvFn, pipe: Any, parent_pipe: Any, memory: Any, queue: Any, *rest: Any
) -> None:
    """Gymnasium's worker, which lets an error of the constructor end the process without a word."""
    made: list[Env[Any, Any]] = []
    try:
        made.append(env_fn())
    except Exception as error:
        parent_pipe.close()
        queue.put((index, type(error), error, ""))
        pipe.recv()  # the first command, which this answers
        pipe.send((None, False))
        return
    _async_worker(index, made.pop, pipe, parent_pipe, memory, queue, *rest)


class _CheckedEnvFn:
    """Makes environment ``index`` in its own process or, to learn its spaces, in the main process."""

    def __init__(self, env_fn: EnvFn, index: int, registered: Registered, memory: SharedArrays) -> None:
        self._env_fn, self._index, self._registered, self._memory = env_fn, index, registered, memory
        self._name = f"environment {index}"
        self._main_pid = os.getpid()

    def __call__(self) -> Env[Any, Any]:
        if os.getpid() != self._main_pid:
            leave_signals_to_parent()
            leave_with_process(self._main_pid)
            self._registered.register()
        try:
            env = Rebuildable(self._env_fn, self._index, self._memory)
        except A2CError:
            raise
        except BaseException as error:
            if users_own(error):
                raise
            raise named_failure(error, self._name, "its constructor") from None
        return Checked(KeepFinalObservation(env), self._name)
