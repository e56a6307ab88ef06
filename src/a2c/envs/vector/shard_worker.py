"""The process that steps one shard of the environments; :mod:`a2c.machine.processes.life` has the protocol."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from a2c.envs.vector.shard import Shard, ShardMemory
from a2c.envs.vector.shard_rebuilding import call_all, note_beginnings, rebuild, try_out_first
from a2c.machine.processes.failure_report import report_failure
from a2c.machine.processes.launch import Registered
from a2c.machine.processes.life import COMMAND, DONE, STEP, answer, become_worker, tell_failure
from a2c.machine.processes.pickles import Pickled, loads
from a2c.machine.processes.spin import SpinWait

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from gymnasium import Env, Space


@dataclass(slots=True)
class WorkerSpec:
    """All that a worker needs to build its shard."""

    worker: int
    first: int  # global index of its first environment
    num_envs: int  # in this shard
    env_fns: Pickled  # list[Callable[[], Env]]
    spaces: Pickled  # (observation_mode, single_observation_space, single_action_space)
    registered: Registered  # environments that the main process registered
    environ: dict[str, str]
    autoreset: str
    memory: ShardMemory
    parent_pid: int
    spin: float  # seconds to wait awake for the next command


def run_worker(spec: WorkerSpec, pipe: Connection, life_line: Connection) -> None:
    """Build the shard, then do what the main process sends until it sends close; report every exception to it."""
    become_worker(life_line, spec.parent_pid, spec.environ)
    shard = Shard(spec.worker, spec.first, spec.num_envs, spec.autoreset, spec.memory)
    try:
        _serve(shard, spec, pipe)
    except (BrokenPipeError, ConnectionResetError, EOFError):
        pass  # the main process is gone
    except BaseException as error:
        tell_failure(pipe, report_failure(error, shard.at_fault(), spec.worker, os.getpid(), shard.doing))
    finally:
        shard.close()


def _serve(shard: Shard, spec: WorkerSpec, pipe: Connection) -> None:
    spec.registered.register()
    answer(pipe, COMMANDS["set_up"](shard, (spec.env_fns.open(), spec.spaces.open())))
    shard.rest()

    fd = pipe.fileno()
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    spin = SpinWait(poller, spec.spin)
    read, write = os.read, os.write
    step = shard.step
    while True:
        spin()
        code = read(fd, 1)
        if code == STEP:
            news = step(None)
            shard.rest()
            if news is None:
                write(fd, DONE)
            else:
                answer(pipe, news)
        elif code == COMMAND:
            name, data = loads(pipe.recv_bytes())
            if name == "close":
                return
            result = COMMANDS[name](shard, data)
            shard.rest()
            answer(pipe, result)
        else:
            return  # end of file: the main process closed its end


COMMANDS: dict[str, Callable[[Shard, Any], Any]] = {
    "set_up": lambda shard, data: _set_up(shard, *data),
    "step": lambda shard, actions: shard.step(actions),
    "reset": lambda shard, data: shard.reset(*data),
    "call": lambda shard, data: shard.call(*data),
    "keep_infos": lambda shard, data: shard.keep_infos(*data),
    "try_out": lambda shard, data: None if data is None else try_out_first(shard, *data),
    "note_beginnings": note_beginnings,
    "rebuild": lambda shard, data: rebuild(shard, *data),
    "call_all": call_all,
    "set_attr": lambda shard, data: shard.set_attribute(*data),
}


def _set_up(shard: Shard, env_fns: Sequence[Callable[[], Env[Any, Any]]], spaces: tuple[Any, ...]) -> Any:
    """Make the environments of a shard; returns how their spaces compare with the vector environment's."""
    shard.build(env_fns)
    return _compare_spaces(shard.envs, *spaces)


def _compare_spaces(
    envs: list[Env[Any, Any]], mode: Any, observation_space: Space[Any], action_space: Space[Any]
) -> tuple[list[bool], list[bool], list[Space[Any]] | None]:
    """Whether each environment's spaces fit: observation, action; with mode "different" also its observation space."""
    from gymnasium.spaces.utils import is_space_dtype_shape_equiv

    if isinstance(mode, str) and mode == "same":
        fits = [bool(env.observation_space == observation_space) for env in envs]
    else:
        fits = [bool(is_space_dtype_shape_equiv(observation_space, env.observation_space)) for env in envs]
    different = [env.observation_space for env in envs] if isinstance(mode, str) and mode == "different" else None
    return fits, [bool(env.action_space == action_space) for env in envs], different
