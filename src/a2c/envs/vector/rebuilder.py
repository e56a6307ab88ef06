"""The main process rebuilds episodes in the shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from a2c.envs.rebuilding.beginnings import KEPT
from a2c.envs.rebuilding.calls import Call, History
from a2c.envs.rebuilding.in_flight import Episode, KeptInfos
from a2c.envs.rebuilding.origins import RESTART, Origin
from a2c.envs.rebuilding.pulse import Pulse
from a2c.envs.rebuilding.trial import Rebuilding
from a2c.envs.vector.exchange import Exchange
from a2c.envs.vector.gathering import gather_observations
from a2c.envs.vector.own_shard import OwnShard
from a2c.envs.vector.shard import ShardMemory, StepNews
from a2c.machine.processes.failure_report import EnvironmentTimeoutError


class ShardRebuilder:
    """Asks every shard; :class:`a2c.envs.rebuilding.in_flight.Rebuilder` has the contract.

    Args:
        memory: of all shards.
        shares: the environments of each.
        shards: take commands of :data:`a2c.envs.vector.shard_worker.COMMANDS`.
        observations: the batch of the vector environment; a bound method of that instead would make a cycle, and its
            shared memory would wait for the garbage collector.
    """

    def __init__(
        self,
        memory: ShardMemory,
        shares: Sequence[range],
        shards: Exchange | OwnShard,
        observations: Any,
    ) -> None:
        self.step_timeout: float | None = None
        self._memory, self._shares, self._shards, self._observations = memory, shares, shards, observations
        self._origins = memory.arrays["origins"]
        self._kind = RESTART
        self._states: dict[int, dict[int, Any]] = {}  # environment -> number of an episode -> its state

        self._calls, self._current = memory.arrays["calls"], memory.arrays["current"]

    def try_out(self, seed: int, alone: bool) -> Rebuilding:
        data = [(seed, alone)] + [None] * (len(self._shares) - 1)
        found: Rebuilding = self._shards.ask("try_out", data, self._watch())[0]
        return found

    def prepare(self, kind: str) -> None:
        self._kind = kind
        self._shards.ask("note_beginnings", [kind] * len(self._shares), self._watch())

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

    def call(self, call: Call) -> list[Any]:
        answers = self._shards.ask("call_all", [call] * len(self._shares), self._watch())
        return [result for answer in answers for result in answer]

    def rebuild(self, episodes: Mapping[int, Episode], history: History) -> tuple[dict[int, str], Any]:
        for env, episode in episodes.items():
            if episode.origin is not None and episode.origin.state is not None:
                self._states[env] = {episode.number: episode.origin.state}
        each = [({env: episodes[env] for env in share if env in episodes}, history) for share in self._shares]
        answers: list[tuple[dict[int, str], StepNews]] = self._shards.ask("rebuild", each, self._watch())
        failed = {env: why for found, _ in answers for env, why in found.items()}
        news = [news for _, news in answers]
        self.told(news)
        return failed, gather_observations(self._memory, news, self._observations, copy=False)[1]

    def failed(self) -> list[int]:
        return [env for shard in self._shards.failed for env in self._shares[shard]]

    def revive(self, episodes: Mapping[int, Episode], infos: KeptInfos, history: History) -> dict[int, str]:
        lost: dict[int, str] = {}

        def bring_back(shard: int) -> None:
            mine = {env: episodes[env] for env in self._shares[shard]}
            self._shards.ask_one(shard, "keep_infos", infos)
            self._shards.ask_one(shard, "note_beginnings", self._kind)
            found, news = self._shards.ask_one(shard, "rebuild", (mine, history), self._watch())
            self.told([news])
            lost.update(found)

        self._shards.revive(bring_back)
        return lost

    def _watch(self) -> Callable[[], None]:
        """What to call every now and then while shards are at it: it raises for an environment that hangs."""
        pulse = Pulse(self._calls, self.step_timeout)

        def look() -> None:
            for shard in pulse.late():
                text = f"environment {self._current[shard]} did not answer in {pulse.limit:g} s"
                raise EnvironmentTimeoutError(f"{text} (worker {shard}, env.step_timeout)")

        return look
