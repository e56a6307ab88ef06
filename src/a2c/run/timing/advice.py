"""What would make a run faster, from where its time went: a pure function that gives at most two lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from a2c.settings.config import Config

MUCH_EVALUATION = 0.2
MUCH_REPORTING = 0.15
MUCH_TRANSFER = 0.4  # of the loop
BOUND = 0.5  # of the loop

# FLOPs of an update. With fewer, at least a third of its time is overhead, which a larger batch would share. Measured
# on one core (an update of 80 transitions of CartPole has 4e6 and takes 1.0 ms, one of 320 takes 2.0 ms); for a GPU,
# 0.2 ms of launches at 30 TFLOP/s.
SMALL = {"cpu": 2e7, "gpu": 6e9}
ACTING = 0.25  # acting launches fewer kernels: its limit is this share of SMALL


@dataclass(frozen=True, slots=True)
class Setup:
    """The facts about a run that its speed depends on."""

    device: str  # cpu, cuda:0, mps
    cuda: bool  # a CUDA device is there, used or not
    cores: int
    threads: int  # of torch, on the CPU
    vectorization: str  # sync, workers, async, native or device: what auto became
    processes: int  # that step environments; 1 if only this one does
    main_shard: bool  # whether this process is one of them
    native: bool  # the environment registers a vector environment that was not used
    images: bool
    flops: float  # of one transition, forward and backward pass
    env_rate: float  # env steps per second of waiting for environments


def advise(shares: Mapping[str, float], cfg: Config, setup: Setup) -> list[str]:
    """At most two lines: one about what is not training, one about what training waits for.

    Args:
        shares: of the time, for each part of :mod:`a2c.machine.clock`; together 1.
        cfg: the settings.
        setup: what they ran on.

    Returns:
        The lines; none where nothing would clearly help.
    """
    lines = [_overhead(shares, cfg, core_left=setup.cores > (setup.threads if setup.device == "cpu" else 1))]
    if cfg.algo == "a3c":  # its workers wait for nothing that a setting could change
        return [line for line in lines if line]
    loop = sum(shares[part] for part in ("env", "transfer", "act", "update"))
    if loop > 0:
        env, transfer, act, update = (shares[part] / loop for part in ("env", "transfer", "act", "update"))
        if transfer >= MUCH_TRANSFER:
            lines.append(_transfer(transfer, setup))
        elif env >= BOUND:
            lines.append(_environments(env, cfg, setup))
        elif act + update >= BOUND:
            lines.append(_network(act, update, cfg, setup))
    return [line for line in lines if line]


def _overhead(shares: Mapping[str, float], cfg: Config, *, core_left: bool) -> str:
    if shares["eval"] >= MUCH_EVALUATION:
        takes = f"evaluation takes {shares['eval']:.0%} of the run"
        if cfg.eval.apart == "false" and core_left:
            return f"{takes}: eval.apart=auto evaluates in a process of its own"
        if 0 < 2 * cfg.eval.every <= cfg.total_steps:
            return f"{takes}: raise eval.every ({cfg.eval.every:,}) or lower eval.episodes ({cfg.eval.episodes})"
        return f"{takes}: lower eval.episodes ({cfg.eval.episodes})"
    if shares["other"] >= MUCH_REPORTING:
        takes = f"reports and checkpoints take {shares['other']:.0%} of the run"
        return f"{takes}: raise log_every ({cfg.log_every:,}) or checkpoint.every ({cfg.checkpoint.every:,})"
    return ""


def _transfer(share: float, setup: Setup) -> str:
    if setup.images:
        return f"transfer-bound ({share:.0%} of training): smaller or fewer frames in an observation would help"
    return f"transfer-bound ({share:.0%} of training): try device=cpu, which copies nothing"


def _environments(share: float, cfg: Config, setup: Setup) -> str:
    bound = f"environment-bound ({share:.0%} of training)"
    cores, processes, count = setup.cores, setup.processes, cfg.num_envs
    rate = f"{cfg.env.id} steps at {_rate(setup.env_rate / processes)} on a core"
    if setup.vectorization == "device":
        return f"{bound}: raise num_envs ({count}): larger batches cost less a step" if count < 8192 else ""
    if setup.vectorization == "native":
        if not setup.images and count < 512:
            return f"{bound}: raise num_envs ({count}): larger batches cost less a step"
        if setup.images and cfg.num_workers is not None and cfg.num_workers < cores:
            return f"{bound}: {cfg.num_workers} threads on {cores} cores: num_workers={cores}"
        return f"{bound}: more cores would help" if setup.images else ""
    # First, what changes no result.
    if cfg.num_workers is not None and processes < min(cores, count):
        more = min(cores, count) - setup.main_shard
        return f"{bound}: {processes} process{'es' * (processes > 1)} on {cores} cores: num_workers={more}"
    if setup.native:
        return f"{bound}: vectorization=native steps {cfg.env.id} as a batch, with random numbers of its own"
    if cores == 1:
        return f"{bound}: {rate}; more cores would help"
    auto_is_another = cfg.num_workers is None and cfg.env.step_timeout is None and cfg.env_groups == 1
    alone = cfg.vectorization == "workers" and not setup.main_shard
    if count > 1 and (cfg.vectorization in ("sync", "async") or (alone and auto_is_another)):
        return f"{bound}: vectorization=auto may do better than {cfg.vectorization} on {cores} cores"
    if processes < cores:  # too few environments, or each too cheap, to use them all
        return f"{bound}: raise num_envs: {count} keep {processes} of {cores} cores busy"
    return f"{bound}: {rate}, and all {cores} are in use; more would help"


def _network(act: float, update: float, cfg: Config, setup: Setup) -> str:
    acts = act > update
    share = max(act, update)
    if share >= BOUND:
        bound = f"{'acting' if acts else 'update'}-bound ({share:.0%} of training)"
    else:
        bound = f"acting and updates take {act + update:.0%} of training"
    on_cpu = setup.device == "cpu"
    small = SMALL["cpu" if on_cpu else "gpu"]
    work = cfg.num_envs * setup.flops * (1 / 3 if acts else cfg.n_step)  # backward costs two forward passes
    limit = ACTING if acts else 1.0
    if work < limit * small:
        if not on_cpu and not cfg.cuda_graphs and setup.device.startswith("cuda"):
            return f"{bound}: cuda_graphs=true launches kernels together"
        if not on_cpu and work < limit * SMALL["cpu"]:
            return f"{bound}: too little work for a GPU: raise num_envs ({cfg.num_envs}), or try device=cpu"
        return f"{bound}: raise num_envs ({cfg.num_envs}): larger batches cost less a step"
    if not on_cpu:
        return ""  # the GPU is busy with arithmetic
    if setup.cuda:
        return f"{bound}: try device=cuda"
    if setup.threads < setup.cores:
        return f"{bound}: {setup.threads} of {setup.cores} cores compute: try threads={setup.cores}"
    return f"{bound}: a GPU or more cores than {setup.cores} would help"


def _rate(steps: float) -> str:
    """A rate as ``850/s`` or ``9k/s``."""
    return f"{steps / 1000:.0f}k/s" if steps >= 1000 else f"{steps:.0f}/s"
