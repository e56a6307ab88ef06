"""Where environments are stepped, chosen by what a step costs: in this process or in K workers.

Both follow the same trajectories, so that a choice that depends on the clock changes speed and never results. A native
vector environment draws its own random numbers: it is never chosen, only pointed at.
"""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 0.9  # workers must take less than this share of the time: near a tie, no processes are better than some
NEGLIGIBLE = 0.02  # signals below this share cost nothing: workers cannot lose, however busy the cores are just now
POOL = 15e-6  # seconds of our own code around each worker's signal, measured with environments that do nothing


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured, in seconds."""

    step: float  # one step of one environment in this process, resets included
    signal: float  # to wake one process and hear from it
    each: float  # what each further process adds to that
    slowdown: float  # of work in all processes at once against that in one alone: 1 where each has a core of its own

    def in_process(self, num_envs: int) -> float:
        """Seconds of a lockstep step in this process."""
        return num_envs * self.step

    def in_workers(self, num_envs: int, workers: int, cores: int) -> float:
        """Seconds of a lockstep step in 2 or more workers on as many cores or more."""
        slower = 1.0 + (self.slowdown - 1.0) * (workers - 1) / (cores - 1)
        return -(-num_envs // workers) * self.step * slower + self.overhead(workers)

    def overhead(self, workers: int) -> float:
        """Seconds of a lockstep step that go into signals."""
        return self.signal + (workers - 1) * self.each + workers * POOL


@dataclass(frozen=True, slots=True)
class Choice:
    """What steps the environments, and why."""

    vectorization: str  # sync, sharded, async, native or device
    num_workers: int | None
    why: str  # for the start panel
    hint: str = ""  # what the user might choose instead


def choose(costs: Costs, num_envs: int, cores: int) -> Choice:
    """The quickest of this process and 2 to min(cores, num_envs) workers; there must be two of each.

    The learner waits while environments step, so that workers may use every core, also where it learns on the CPU.
    """
    most = min(num_envs, cores)
    here = costs.in_process(num_envs)
    times = {k: costs.in_workers(num_envs, k, cores) for k in range(2, most + 1)}
    if costs.overhead(most) < NEGLIGIBLE * here:
        why = f"a step costs {_text(costs.step)}, all signals {_text(costs.overhead(most))}"
        return Choice("sharded", most, f"{most} workers: {why}")
    workers = min(times, key=lambda k: times[k])
    why = f"a step costs {_text(costs.step)}; {num_envs} take {_text(here)} here, {_text(times[workers])} in"
    if times[workers] < GAIN * here:
        return Choice("sharded", workers, f"{workers} workers: {why} workers")
    return Choice("sync", None, f"in this process: {why} {workers} workers")


def _text(seconds: float) -> str:
    """``6.3 us``, ``410 us``, ``1.2 ms``: at least two digits."""
    value, unit = next(
        ((seconds / size, unit) for size, unit in ((1e-6, "us"), (1e-3, "ms")) if seconds < 1000 * size), (seconds, "s")
    )
    return f"{value:.{0 if value >= 10 else 1}f} {unit}"
