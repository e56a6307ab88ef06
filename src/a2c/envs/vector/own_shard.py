"""All environments in one shard of this process, commanded as the shards of workers are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from a2c.envs.vector.shard import Shard
from a2c.envs.vector.shard_worker import COMMANDS
from a2c.machine.processes.deadline import ticking


class OwnShard:
    """The shard, with the methods of :class:`a2c.envs.vector.exchange.Exchange` that rebuilding needs.

    Args:
        shard: it has its environments.
        fail: called with what an environment raised; names it and raises.
    """

    def __init__(self, shard: Shard, fail: Callable[[BaseException, int | None, str], NoReturn]) -> None:
        self._shard, self._fail = shard, fail
        self.failed: list[int] = []

    def do(self, command: str, data: Any) -> Any:
        """Obey a command."""
        try:
            return COMMANDS[command](self._shard, data)
        except BaseException as error:
            if command == "step":
                self.failed = [0]
            self._fail(error, self._shard.at_fault(), self._shard.doing)

    def ask(self, command: str, data: Sequence[Any], tick: Callable[[], None] | None = None) -> list[Any]:
        """As of the exchange; ``tick`` interrupts Python in the main thread."""
        with contextlib.nullcontext() if tick is None else ticking(tick):
            return [self.do(command, data[0])]

    def ask_one(self, shard: int, command: str, data: Any, tick: Callable[[], None] | None = None) -> Any:
        """As of the exchange; ``tick`` as in :meth:`ask`."""
        return self.ask(command, [data], tick)[0]

    def revive(self, bring_back: Callable[[int], None]) -> None:
        """Make the environments anew, as of the exchange; the caller steps them again."""
        try:
            self._shard.renew()
        except BaseException as error:
            self._fail(error, self._shard.at_fault(), self._shard.doing)
        bring_back(0)
        self.failed = []
