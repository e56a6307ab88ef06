"""Plan what steps the environments: what the settings say, or what is quickest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from a2c.envs.choosing.choose import Plan, choose, team, with_workers
from a2c.envs.choosing.timing import time_processes, time_steps
from a2c.envs.foreign import close_in_time, users_own
from a2c.envs.single.from_envpool import is_envpool
from a2c.envs.single.make_env import Env, make_env
from a2c.envs.single.registry import find_spec
from a2c.envs.vector.lent import ready
from a2c.machine.cores import usable_cores
from a2c.settings.config import Config


def plan(cfg: Config, look: Callable[[Env], object] = lambda env: None) -> Plan:
    """Plan what steps the environments: what ``cfg.vectorization`` says; for ``auto`` the quicker of sync and workers.

    Except for ``native``, ``device`` and ``env.isolate``, this makes and closes one environment, so that what is wrong
    with it shows before any process starts.

    Args:
        cfg: the settings.
        look: called with that environment before any time is spent on it.

    Raises:
        ConfigError, EnvironmentFailure: as :func:`a2c.envs.make_env`.
    """
    spec = find_spec(cfg.env.id)
    if ready(spec) is not None:
        return Plan("native", None, "the vector environment that env= gave")
    if is_envpool(spec) and cfg.vectorization == "auto" and not _for_single_ones(cfg):
        return Plan("native", cfg.num_workers, "threads of EnvPool in this process")
    if cfg.vectorization in ("native", "device"):
        where = " on the learner's device" if cfg.vectorization == "device" else ""
        return Plan(cfg.vectorization, cfg.num_workers, f"the vector environment that {spec.id} registers{where}")
    if cfg.env.isolate:
        return _workers(cfg, ": env.isolate")
    env = make_env(cfg.env)
    try:
        look(env)
        if cfg.vectorization == "auto":
            native = spec.vector_entry_point is not None
            hint = f"vectorization=native: {spec.id} has a vector environment that draws its own random numbers"
            return replace(_quickest(cfg, env), hint=hint if native else "")
    finally:
        close_in_time(env.close, cfg.env.id)
    if cfg.vectorization == "workers":
        return _workers(cfg)
    why = {"sync": "in this process", "async": "one process each"}[cfg.vectorization]
    return Plan(cfg.vectorization, cfg.num_workers, why)


def _for_single_ones(cfg: Config) -> bool:
    """Whether the settings ask for what only single environments can do."""
    return bool(cfg.env.isolate or cfg.env.wrappers or cfg.env.reset_options or cfg.env.step_timeout is not None)


def _workers(cfg: Config, because: str = "") -> Plan:
    """Plan as many workers as asked for, or one process for each core; this process steps a shard too where it can.

    It never does with env.isolate, nor with env.step_timeout, because nothing can interrupt an environment in this
    process, nor with groups, because it acts for one group while the others step. By default it does only where workers
    leave it a core.
    """
    cores, workers = _cores(cfg), cfg.num_workers
    forbids = "env.step_timeout" if cfg.env.step_timeout is not None else "env_groups" if cfg.env_groups > 1 else ""
    forbids = "env.isolate" if cfg.env.isolate else forbids
    here = cfg.main_shard if cfg.main_shard is not None else (workers or 1) < cores
    if here and forbids:
        here = False
        because += f", and no shard in this process because of {forbids}" if cfg.main_shard else ""
    count = min(workers or max(1, cores - here), cfg.num_envs - here)
    if count < 1:  # a single environment
        count, here = 1, False
    return Plan("workers", count, (with_workers(count) if here else team(count)) + because, main_shard=here)


def _quickest(cfg: Config, env: Env) -> Plan:
    """Plan by a rule where one applies, else by timing ``env``."""
    if cfg.num_workers is not None:
        return _workers(cfg, ", as num_workers says")
    if cfg.env.step_timeout is not None:
        return _workers(cfg, ": env.step_timeout needs processes, which can be ended")
    cores, in_group = _cores(cfg), -(-cfg.num_envs // cfg.env_groups)
    most = min(in_group, cores)
    if most < 2:
        one = "one environment" if in_group == 1 else "there is one usable core"
        return Plan("sync", None, f"in this process: {one}")
    try:
        step = time_steps(env)
    except BaseException as error:
        if users_own(error):
            raise
        # The run reports it with its index, step and traceback, unless only random actions break it.
        return _workers(cfg, f": the environment raised {type(error).__name__} while it was timed")
    if cfg.env_groups == 1 and cfg.main_shard is not False:
        return choose(time_processes(step, most), in_group, cores)
    # This process serves one group while the others step, and workers sleep between their turns.
    return choose(time_processes(step, most, spin=0.0), in_group, cores, main_shard=False)


def _cores(cfg: Config) -> int:
    return max(1, usable_cores() // cfg.env_groups)  # groups share the cores
