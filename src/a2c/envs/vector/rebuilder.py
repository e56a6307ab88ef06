"""The main process rebuilds episodes in the shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from a2c.envs.rebuilding.beginnings import KEPT
from a2c.envs.rebuilding.in_flight import Episode
from a2c.envs.rebuilding.origins import Origin
from a2c.envs.rebuilding.pulse import Pulse
from a2c.envs.rebuilding.trial import Rebuilding
from a2c.envs.vector.shard import ShardMemory, StepNews
from a2c.machine.processes.failure_report import EnvironmentTimeoutError


class ShardRebuilder:
    """Asks every shard; :class:`a2c.envs.rebuilding.in_flight.Rebuilder` has the contract.

    Args:
        memory: of all shards.
        shares: the environments of each.
        ask: sends each shard a command of :data:`a2c.envs.vector.shard_worker.COMMANDS` with its own data, and
            returns their answers; calls the last argument every now and then while it waits.
        gather: the batch of observations from what the shards report.
    """

    def __init__(
        self,
        memory: ShardMemory,
        shares: Sequence[range],
        ask: Callable[[str, Sequence[Any], Callable[[], None]], list[Any]],
        gather: Callable[[list[StepNews]], Any],
    ) -> None:
        self.step_timeout: float | None = None
        self._origins, self._shares, self._ask, self._gather = memory.arrays["origins"], shares, ask, gather
        self._calls, self._current = memory.arrays["calls"], memory.arrays["current"]
        self._states: dict[int, dict[int, Any]] = {}  # environment -> number of an episode -> its state

    def try_out(self, seed: int, alone: bool) -> Rebuilding:
        found: Rebuilding = self._watching("try_out", [(seed, alone)] + [None] * (len(self._shares) - 1))[0]
        return found

    def prepare(self, kind: str) -> None:
        self._watching("note_beginnings", [kind] * len(self._shares))

    def told(self, news: Sequence[StepNews]) -> None:
        """Keep the states that shards report."""
        for _, _, _, states in news:
            for (env, number), state in states.items():
                known = self._states.setdefault(env, {})
                known[number] = state
                known.pop(number - KEPT, None)

    def origins(self, numbers: Sequence[int], between: bool) -> list[Origin | None]:
        found: list[Origin | None] = []
        for env, number in enumerate(numbers):
            known, one, two, three, four, five, six = self._origins[number % KEPT, env].tolist()
            state = self._states.get(env, {}).get(number)
            found.append(Origin((one, two, three, four, five, six), state) if known == number else None)
        return found

    def rebuild(self, episodes: Mapping[int, Episode]) -> tuple[dict[int, str], Any]:
        for env, episode in episodes.items():
            if episode.origin.state is not None:
                self._states[env] = {episode.number: episode.origin.state}
        each = [{env: episodes[env] for env in share if env in episodes} for share in self._shares]
        answers: list[tuple[dict[int, str], StepNews]] = self._watching("rebuild", each)
        failed = {env: why for found, _ in answers for env, why in found.items()}
        news = [news for _, news in answers]
        self.told(news)
        return failed, self._gather(news)

    def _watching(self, command: str, data: Sequence[Any]) -> list[Any]:
        pulse = Pulse(self._calls, self.step_timeout)

        def look() -> None:
            for shard in pulse.late():
                text = f"environment {self._current[shard]} did not answer in {pulse.limit:g} s"
                raise EnvironmentTimeoutError(f"{text} (worker {shard}, env.step_timeout)")

        return self._ask(command, data, look)
