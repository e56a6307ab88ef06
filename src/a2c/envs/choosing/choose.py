"""Choose by what a step costs whether environments step in this process alone or with K workers.

Trajectories are the same either way, so that a choice that depends on the clock changes speed and never results. A
native vector environment draws its own random numbers, so we never choose it and only point it out.
"""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 0.9  # workers must take less than this share of the time: near a tie, no workers are better
NEGLIGIBLE = 0.02  # below this share signals cost nothing: workers cannot lose, however busy the cores are just now
POOL = 8e-6  # seconds of our own code around each worker's signal, measured with environments that do nothing


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured costs, in seconds."""

    step: float  # one step of one environment in this process, resets included
    signal: float  # to signal one other process and hear from it
    each: float  # what each further process adds to that
    slowdown: float  # time of work in all processes at once over its time in one alone: 1 if each has its own core

    def in_process(self, num_envs: int) -> float:
        """Seconds of a lockstep step in this process."""
        return num_envs * self.step

    def shared_out(self, num_envs: int, processes: int, workers: int, cores: int) -> float:
        """Seconds of a lockstep step in 2 or more processes, of which all, or all but this one, are workers."""
        slower = 1.0 + (self.slowdown - 1.0) * (processes - 1) / (cores - 1)
        return -(-num_envs // processes) * self.step * slower + self.overhead(workers)

    def overhead(self, workers: int) -> float:
        """Seconds of a lockstep step that go into signals."""
        return self.signal + (workers - 1) * self.each + workers * POOL


@dataclass(frozen=True, slots=True)
class Plan:
    """What steps the environments, and why."""

    vectorization: str  # sync, workers, async, native or device
    num_workers: int | None  # workers: how many; native: threads of Atari games or EnvPool, None: one for each core
    why: str  # for the start panel
    main_shard: bool = False  # workers: whether this process steps environments too
    hint: str = ""  # what the user might choose instead

    def facts(self) -> dict[str, str]:
        """Its lines in the start panel."""
        return {"environments": self.why, **({"hint": self.hint} if self.hint else {})}

    def processes(self, num_envs: int) -> int:
        """How many processes step ``num_envs`` environments."""
        if self.vectorization == "async":
            return num_envs
        if self.vectorization != "workers":
            return 1
        return min((self.num_workers or 0) + self.main_shard, num_envs)


def choose(costs: Costs, num_envs: int, cores: int, main_shard: bool = True) -> Plan:
    """Choose the quickest of 1 to min(cores, num_envs) processes.

    The learner waits while environments step. So they may use every core, even where it learns on the CPU, and this
    process may step some of them.

    Args:
        costs: what was measured.
        num_envs: N, at least 2.
        cores: how many environments may use, at least 2.
        main_shard: whether this process may step one of several shards; otherwise workers step all of them.
    """
    most = min(num_envs, cores)
    here = costs.in_process(num_envs)
    times = {k: costs.shared_out(num_envs, k, k - main_shard, cores) for k in range(2, most + 1)}
    cannot_lose = costs.overhead(most - main_shard) < NEGLIGIBLE * here
    count = most if cannot_lose else min(times, key=lambda k: times[k])
    workers = count - main_shard
    who = with_workers(workers) if main_shard else team(workers)
    why = f"a step costs {_text(costs.step)}"
    if cannot_lose:
        why += f", all signals {_text(costs.overhead(workers))}"
    else:
        why += f"; {num_envs} take {_text(here)} here, {_text(times[count])} in {count} processes"
    if cannot_lose or times[count] < GAIN * here:
        return Plan("workers", workers, f"{who}: {why}", main_shard=main_shard)
    return Plan("sync", None, f"in this process: {why}")


def team(workers: int) -> str:
    """``1 worker``, ``4 workers``."""
    return f"{workers} workers" if workers != 1 else "1 worker"


def with_workers(workers: int) -> str:
    """Such as ``this process and 1 worker``; ``in this process`` without workers."""
    return f"this process and {team(workers)}" if workers else "in this process"


def _text(seconds: float) -> str:
    """``6.3 us``, ``410 us``, ``1.2 ms``: at least two digits."""
    value, unit = next(
        ((seconds / size, unit) for size, unit in ((1e-6, "us"), (1e-3, "ms")) if seconds < 1000 * size), (seconds, "s")
    )
    return f"{value:.{0 if value >= 10 else 1}f} {unit}"
