"""Processes that train one agent together, started by torchrun: sums over them, and what the first tells the others.

The tensors that they add and gather travel by NCCL; those on the CPU by Gloo, or by memory that the ranks of a machine
share. Everything else goes through the store of the rendezvous, where a rank can wait for the first one for as long as
that has to do.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from a2c.errors import RankFailure
from a2c.machine.one_rank import rows_of
from a2c.machine.processes.pickles import dumps, loads
from a2c.machine.rank_session import Store
from a2c.machine.shared_sums import MissedError, SharedSums

GRACE = 2.0  # seconds in which the other ranks say that they miss one, too
EVERY = 0.02  # seconds between looks at what the first rank tells
SILENCE = 20.0  # seconds that the first one may take to save, once a rank has been asked to stop


class Ranks:
    """One of K processes.

    Args:
        rank: its number, from 0.
        size: K.
        group: of torch.distributed, with ``allreduce`` and ``allgather``.
        store: of the rendezvous.
        timeout: seconds that a rank may let the others wait in the middle of training.
        local: its number on its machine.
        shared: what adds and gathers tensors on the CPU, where all ranks are on one machine; None: ``group`` does that.

    Attributes:
        rank, size, store, timeout, local: as above.
        wants_to_stop: this rank has been asked to end the run.
        stopping: some rank has; all know it after the same update.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        group: Any,
        store: Store,
        timeout: float,
        local: int = 0,
        shared: SharedSums | None = None,
    ) -> None:
        self.rank, self.size, self.local = rank, size, local
        self.store, self.timeout, self._group, self._shared = store, timeout, group, shared
        self._orders, self._cleared, self._sums = 0, 0, 0
        self._stops: Callable[[], bool] = lambda: False
        self.stopping = False

    @property
    def leads(self) -> bool:
        """Whether this is the rank that keeps the run: its folder, records and screen."""
        return self.rank == 0

    @property
    def wants_to_stop(self) -> bool:
        return self._stops()

    def stop_when(self, stops: Callable[[], bool]) -> None:
        """Ask ``stops`` in every update whether this rank has been asked to end the run."""
        self._stops = stops

    def rows(self, count: int) -> range:
        """Of ``count`` things in order, those of this rank; the numbers of two ranks differ by at most one."""
        return rows_of(self.rank, self.size, count)

    def add(self, tensor: Tensor) -> None:
        """Add the tensors of all ranks, in place; raises :class:`RankFailure` if one does not come."""
        self._sums += 1
        if self.size == 1:  # the sum of one is itself
            return
        with self._together():
            if self._shared is not None and not tensor.is_cuda:
                self._shared.add(tensor)
            else:
                self._group.allreduce([tensor]).wait()

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, ``[K, *]``; raises as :meth:`add`."""
        if self.size == 1:
            return tensor.unsqueeze(0)
        with self._together():
            if self._shared is not None and not tensor.is_cuda:
                return self._shared.gather(tensor)
            parts = [torch.empty_like(tensor) for _ in range(self.size)]
            self._group.allgather([parts], [tensor.contiguous()]).wait()
        return torch.stack(parts)

    def hand_in(self, data: Any) -> list[Any]:
        """On the first rank, what every rank has given, in order; on the others, nothing; raises as :meth:`add`."""
        raw = b"" if self.leads else dumps(data)
        sizes = self.gather(torch.tensor([len(raw)])).flatten().tolist()
        with self._together():
            if not self.leads:
                self._group.send([torch.frombuffer(bytearray(raw), dtype=torch.uint8)], 0, 0).wait()
                return []
            given = [data]
            for rank in range(1, self.size):
                buffer = torch.empty(sizes[rank], dtype=torch.uint8)
                self._group.recv([buffer], rank, 0).wait()
                given.append(loads(buffer.numpy().tobytes()))
        self._clear()
        return given

    def _clear(self) -> None:
        """Delete the orders so far, which all ranks have heard that answered the last one."""
        with contextlib.suppress(RuntimeError):  # a store that cannot delete keeps them
            for order in range(self._cleared, self._orders):
                self.store.delete_key(f"order/{order}")
        self._cleared = self._orders

    def tell(self, order: Any) -> None:
        """From the first rank, to all others, each of which :meth:`hear` it; nobody waits."""
        self.store.set(f"order/{self._orders}", dumps(order))
        self._orders += 1

    def hear(self) -> Any:
        """What the first rank tells next, however long that takes.

        Raises:
            RankFailure: it has failed; or this rank has been asked to stop, and the first one does not say how.
        """
        key, asked = f"order/{self._orders}", None
        while not self._known(key):
            self.heed(0)
            if asked is None and self._stops():
                asked = time.monotonic()
            if asked is not None and time.monotonic() - asked > SILENCE:
                raise RankFailure(f"rank 0 has not spoken for {SILENCE:g} s, and this rank is to stop")
            time.sleep(EVERY)  # a store's own way of waiting ends differently in each
        self._orders += 1
        return loads(self.store.get(key))

    def heed(self, rank: int) -> None:
        """Raise :class:`RankFailure` if a rank has said why it ends."""
        if (said := self._said(rank)) is not None:
            raise _ended(rank, said)

    def read(self, key: str) -> str | None:
        """What the store has under a key; None: nothing. Raises :class:`RankFailure` if the store is gone."""
        return bytes(self.store.get(key)).decode() if self._known(key) else None

    def write(self, key: str, text: str) -> None:
        """Let all ranks :meth:`read` it; raises likewise."""
        try:
            self.store.set(key, text)
        except RuntimeError as error:
            raise self._lost(error) from error

    def leave(self, patience: float) -> None:
        """Say that this rank has ended well; the first one waits for the others, for so many seconds at most."""
        self.write(f"left/{self.rank}", "")
        deadline, others = time.monotonic() + patience, [f"left/{rank}" for rank in range(1, self.size)]
        while self.leads and others and time.monotonic() < deadline:
            others = [key for key in others if not self._known(key)]
            time.sleep(EVERY)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """If the block raises, let the others know why this rank ends."""
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(RuntimeError):
                self.store.set(f"failed/{self.rank}", str(error) or type(error).__name__)
            self.close()
            raise

    def close(self) -> None:
        """Add no more; who waits for this rank learns it."""
        self._group = None  # Gloo's connections end with the last one who holds it
        if self._shared is not None:
            self._shared.close()

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except MissedError as error:
            raise self._missing(error, time.monotonic() - began, error.ranks) from error
        except RuntimeError as error:  # of torch.distributed
            raise self._missing(error, time.monotonic() - began) from error

    def _known(self, key: str) -> bool:
        try:
            return self.store.check([key])
        except RuntimeError as error:
            raise self._lost(error) from error

    def _lost(self, error: RuntimeError) -> RankFailure:
        return RankFailure(f"rank {self.rank} has lost the others: {_first_line(error)}")

    def _missing(self, error: Exception, waited: float, lost: Sequence[int] = ()) -> RankFailure:
        """Who did not come to a sum in which this rank was, for so many seconds: ``lost``, or who does not say so."""
        here = f"sum {self._sums:,} of this session"
        with contextlib.suppress(RuntimeError):
            self.store.set(f"misses/{self.rank}", here)
            time.sleep(GRACE)
            said = {rank: text for rank in range(self.size) if (text := self._said(rank)) is not None}
            for rank in sorted(said, key=lambda rank: said[rank].startswith(RankFailure.label)):  # causes first
                return _ended(rank, said[rank])
            lost = lost or [rank for rank in range(self.size) if not self.store.check([f"misses/{rank}"])]
            if lost:
                who = ", ".join(map(str, lost))
                hangs = f"has kept the others waiting for {self.timeout:g} s (rank_timeout)"
                return RankFailure(f"rank {who} {hangs if waited >= self.timeout else 'did not come'} to {here}")
        return RankFailure(f"the ranks have lost each other: {_first_line(error)}")

    def _said(self, rank: int) -> str | None:
        key = f"failed/{rank}"
        with contextlib.suppress(RuntimeError):
            if self.store.check([key]):
                return bytes(self.store.get(key)).decode()
        return None


def _ended(rank: int, said: str) -> RankFailure:
    error = RankFailure(f"rank {rank} has ended: {said}")
    error.ended = True
    return error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
