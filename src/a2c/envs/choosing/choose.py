"""Where environments are stepped, chosen by what a step costs: in this process alone or with K workers.

All follow the same trajectories, so that a choice that depends on the clock changes speed and never results. A native
vector environment draws its own random numbers: it is never chosen, only pointed at.
"""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 0.9  # with workers it must take less than this share of the time: near a tie, none are better than some
NEGLIGIBLE = 0.02  # signals below this share cost nothing: workers cannot lose, however busy the cores are just now
POOL = 8e-6  # seconds of our own code around each worker's signal, measured with environments that do nothing


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured, in seconds."""

    step: float  # one step of one environment in this process, resets included
    signal: float  # to have one other process do something and hear from it
    each: float  # what each further process adds to that
    slowdown: float  # of work in all processes at once against that in one alone: 1 where each has a core of its own

    def in_process(self, num_envs: int) -> float:
        """Seconds of a lockstep step in this process."""
        return num_envs * self.step

    def shared_out(self, num_envs: int, processes: int, workers: int, cores: int) -> float:
        """Seconds of a lockstep step in 2 or more processes, as many or all but one of them workers."""
        slower = 1.0 + (self.slowdown - 1.0) * (processes - 1) / (cores - 1)
        return -(-num_envs // processes) * self.step * slower + self.overhead(workers)

    def overhead(self, workers: int) -> float:
        """Seconds of a lockstep step that go into signals."""
        return self.signal + (workers - 1) * self.each + workers * POOL


@dataclass(frozen=True, slots=True)
class Plan:
    """What steps the environments, and why."""

    vectorization: str  # sync, workers, async, native or device
    num_workers: int | None  # of workers; threads of Atari games where native, None: one for each core
    why: str  # for the start panel
    main_shard: bool = False  # of workers: whether this process steps environments too
    hint: str = ""  # what the user might choose instead

    def facts(self) -> dict[str, str]:
        """The lines of the start panel about it."""
        return {"environments": self.why, **({"hint": self.hint} if self.hint else {})}

    def processes(self, num_envs: int) -> int:
        """How many processes step ``num_envs`` environments."""
        if self.vectorization == "async":
            return num_envs
        if self.vectorization != "workers":
            return 1
        return min((self.num_workers or 0) + self.main_shard, num_envs)


def choose(costs: Costs, num_envs: int, cores: int, main_shard: bool = True) -> Plan:
    """The quickest of 1 to min(cores, num_envs) processes; there must be two of each.

    The learner waits while environments step, so that they may use every core, also where it learns on the CPU; and so
    that this process may be one of those that step.

    Args:
        costs: what was measured.
        num_envs: N.
        cores: that environments may use.
        main_shard: whether this process may step one of several shards; otherwise all of them are workers'.
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
    """Such as ``this process and 1 worker``."""
    return f"this process and {team(workers)}" if workers else "in this process"


def _text(seconds: float) -> str:
    """``6.3 us``, ``410 us``, ``1.2 ms``: at least two digits."""
    value, unit = next(
        ((seconds / size, unit) for size, unit in ((1e-6, "us"), (1e-3, "ms")) if seconds < 1000 * size), (seconds, "s")
    )
    return f"{value:.{0 if value >= 10 else 1}f} {unit}"
