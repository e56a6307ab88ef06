"""Environments that fail in a step are made anew, a few times an hour, and brought to where they were."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from a2c.envs.backends import Backend, Stepped
from a2c.envs.rebuilding.calls import History
from a2c.envs.rebuilding.in_flight import Episode, InFlight
from a2c.envs.seeding import TRAIN, env_seed
from a2c.errors import A2CError
from a2c.machine.processes.failure_report import FOLLOWS

HOUR = 3600.0  # seconds

log = logging.getLogger("a2c")


class Restarts:
    """How often failed environments may be made anew, whichever group they are in.

    Args:
        limit: in an hour.
        seed: of the run.
        notify: called with one line for each restart.
        clock: seconds; for tests.
    """

    def __init__(
        self, limit: int, seed: int, notify: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit, self._seed, self.notify, self._clock = limit, seed, notify, clock
        self._times: deque[float] = deque()  # of the restarts of the last hour
        self._count = 0

    def allow(self, failure: A2CError) -> bool:
        """Whether the environments of this failure may be made anew; if so, it counts and says so in one line."""
        now = self._clock()
        while self._times and now - self._times[0] > HOUR:
            self._times.popleft()
        if len(self._times) >= self._limit:
            if self._limit:
                failure.add_note(f"it was restarted {self._limit} times within an hour; env.restarts allows no more")
            return False
        self._times.append(now)
        self._count += 1
        line = str(failure.args[0]).removesuffix(FOLLOWS)
        self.notify(f"{line}; restarted ({len(self._times)} of {self._limit} in an hour)")
        for note in getattr(failure, "__notes__", ()):
            log.warning(note)  # its own traceback, to train.log
        return True

    def seeds(self, envs: Sequence[int]) -> list[int]:
        """To reset environments with, by global index, that cannot be brought to where they were."""
        return [env_seed(self._seed, TRAIN, env, generation=2**31 + self._count) for env in envs]


class Healer:
    """Heals one lockstep.

    Args:
        restarts: that are left.
        backend: steps the environments, and rebuilds them.
        in_flight: keeps their episodes; None: nothing rebuilds those.
        first: global index of the first environment.
        calls: gives those that all environments had until the pending step.
    """

    def __init__(
        self,
        restarts: Restarts,
        backend: Backend,
        in_flight: InFlight | None,
        first: int,
        calls: Callable[[], History] = tuple,
    ) -> None:
        self._restarts, self._backend, self._in_flight, self._first = restarts, backend, in_flight, first
        self._calls = calls

    def finish(self, error: BaseException, named: Callable[[BaseException], A2CError]) -> tuple[Stepped, list[int]]:
        """Make the environments anew that failed in the pending step, and finish it.

        Args:
            error: what the step raised.
            named: the failure that names the environment, from what it raised.

        Returns:
            The step, and the environments that began another episode because theirs could not be rebuilt.

        Raises:
            A2CError: the failure, where nothing can be made anew, or not so often.
        """
        dropped: dict[int, str] = {}
        rebuilder = self._backend.rebuilder
        while True:
            envs = [] if rebuilder is None else rebuilder.failed()
            failure = named(error)
            if rebuilder is None or not envs or not self._restarts.allow(failure):
                raise failure from error
            try:
                dropped |= rebuilder.revive(self._episodes(envs), self._backend.kept_infos, self._calls())
                stepped = self._backend.finish()
            except Exception as again:
                error = again
                continue
            if dropped:
                self._tell(dropped)
            return stepped, sorted(dropped)

    def _episodes(self, envs: list[int]) -> dict[int, Episode]:
        seeds = self._restarts.seeds([self._first + env for env in envs])
        if self._in_flight is not None:
            return self._in_flight.episodes(envs, seeds)
        return {env: Episode(0, None, None, None, seed) for env, seed in zip(envs, seeds, strict=True)}

    def _tell(self, dropped: dict[int, str]) -> None:
        if self._in_flight is not None:
            self._in_flight.restart(list(dropped))
        listed = ", ".join(str(self._first + env) for env in sorted(dropped))
        why = next(iter(dropped.values()))
        self._restarts.notify(f"another episode begins in environment {listed} ({why}); this rollout goes without it")
