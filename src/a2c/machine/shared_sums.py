"""Sums over ranks of one machine, in memory that they share.

Gloo sends tensors over the network's sockets, by threads of its own. Ranks of one machine can read each other's memory
instead: all that travels is a word that a part is there. Each adds up the parts by itself, in the order of the ranks,
so that all have the same bits.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import select
import shutil
import socket
import tempfile
import time
from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from a2c.machine.processes.life_line import hold_alone
from a2c.machine.processes.shared_arrays import anonymous_file
from a2c.machine.processes.spin import SpinWait
from a2c.machine.rank_session import Store, told

FOLDER = "folder"  # key of where the sockets are that the ranks find each other by
LONGEST = 60  # bytes of a folder's name: a socket's may have about a hundred in all
WORD = 8  # bytes
GROWN = b"new room"  # the word that comes with new memory; any other is the size of a part

log = logging.getLogger("a2c")


class MissedError(Exception):
    """Ranks did not come to a sum, or have gone.

    Attributes:
        ranks: their numbers.
    """

    def __init__(self, ranks: Collection[int]) -> None:
        super().__init__(f"rank {', '.join(map(str, sorted(ranks)))} did not come")
        self.ranks = sorted(ranks)


class SharedSums:
    """Memory with a place for each rank's tensor, twice: one half is written while others may still read the other.

    A rank may be one sum ahead of the others, and then writes the other half. It cannot be two ahead, since each sum
    waits for a word of every rank.

    Args:
        rank: of this process.
        others: a connected socket to each other rank, by number.
        timeout: seconds that a rank may let the others wait.
        spin: seconds to wait awake.
    """

    def __init__(self, rank: int, others: Mapping[int, socket.socket], timeout: float, spin: float) -> None:
        self._rank, self._others, self._timeout = rank, dict(others), timeout
        self._numbers = {other.fileno(): number for number, other in others.items()}
        self._poller = select.poll()
        self._awake = SpinWait(self._poller, spin)
        self._half, self._parts = 0, torch.empty(2, len(others) + 1, 0, dtype=torch.uint8)
        for other in others.values():
            other.settimeout(timeout)
        hold_alone(*others.values())

    @torch.no_grad()
    def add(self, tensor: Tensor) -> None:
        """Add the tensors of all ranks, contiguous and of one shape, in place.

        Raises:
            MissedError: a rank did not come, or has gone.
            ValueError: they are not of one size.
        """
        sums = tensor.view(-1)
        parts = self._exchanged(sums)
        sums.copy_(parts[0])
        for part in parts[1:]:
            sums += part

    @torch.no_grad()
    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, ``[K, *]``; raises as :meth:`add`."""
        parts = self._exchanged(tensor.reshape(-1))
        return torch.stack(parts).view(len(parts), *tensor.shape)

    def meet(self) -> None:
        """Wait until all are here; raises as :meth:`add`."""
        self._wait_for_all(0)

    def close(self) -> None:
        """Let the other ranks know that this one has gone."""
        for other in self._others.values():
            other.close()

    def _exchanged(self, tensor: Tensor) -> list[Tensor]:
        """The parts of all ranks, as ``tensor`` ``[n]`` is, once all have written theirs."""
        size = tensor.numel() * tensor.element_size()
        if not size:
            self.meet()
            return [tensor] * (len(self._others) + 1)
        if size > self._parts.shape[2]:
            self._make_room(size)
        self._half ^= 1
        parts = [part[:size].view(tensor.dtype) for part in self._parts[self._half]]
        parts[self._rank].copy_(tensor)
        self._wait_for_all(size)
        return parts

    def _wait_for_all(self, size: int) -> None:
        """Say that this rank's part of so many bytes is there, and wait until the others have said so."""
        word, gone = size.to_bytes(WORD), []
        for number, other in self._others.items():  # to all of them, so that none is missed for another's sake
            self._poller.register(other, select.POLLIN)
            try:
                other.send(word)
            except OSError:
                gone.append(number)
        if gone:
            raise MissedError(gone)
        waiting, deadline = set(self._others), time.monotonic() + self._timeout
        while waiting:
            events = self._awake() or self._poller.poll(max(0.0, 1e3 * (deadline - time.monotonic())))
            if not events:
                raise MissedError(waiting)
            for file, _ in events:
                number = self._numbers[file]
                self._hear(number, word)
                self._poller.unregister(file)  # it may be one sum ahead already
                waiting.remove(number)

    def _hear(self, number: int, word: bytes) -> None:
        try:
            heard = self._others[number].recv(WORD)
        except OSError:
            heard = b""
        if not heard:
            raise MissedError([number])
        if heard != word:
            raise ValueError(f"rank {number} does not sum what rank {self._rank} does: {heard!r} beside {word!r}")

    def _make_room(self, size: int) -> None:
        """New memory, with room for parts of ``size`` bytes; what others still read of the old one stays theirs."""
        room, ranks = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, len(self._others) + 1
        file = self._handed_out(2 * ranks * room) if self._rank == 0 else self._received()
        try:
            self._parts = _map(file, 2 * ranks * room).view(2, ranks, room)
        finally:
            os.close(file)

    def _handed_out(self, size: int) -> int:
        """On the first rank: a file of ``size`` zero bytes, which the others receive."""
        file, gone = anonymous_file(size), []
        for number, other in self._others.items():
            try:
                socket.send_fds(other, [GROWN], [file])
            except OSError:
                gone.append(number)
        if gone:
            os.close(file)
            raise MissedError(gone)
        return file

    def _received(self) -> int:
        """The file of the first rank."""
        try:
            word, files, _, _ = socket.recv_fds(self._others[0], WORD, 1)
        except OSError:
            word, files = b"", []
        if not word:
            raise MissedError([0])
        if word != GROWN or not files:
            raise ValueError(f"rank 0 has made no room for the part of rank {self._rank}: {word!r}")
        os.set_inheritable(files[0], False)
        return files[0]


def _map(file: int, size: int) -> Tensor:
    """The bytes of a file."""
    return torch.from_numpy(np.frombuffer(mmap.mmap(file, size), np.uint8))


def shared_sums(rank: int, size: int, store: Store, timeout: float, spin: float) -> SharedSums | None:
    """The sums of all ranks of this machine, who are all that there are; None: they cannot be had, on any of them.

    Each rank opens a socket where the others find it. Once all are connected the folder of these sockets is deleted.

    Args:
        rank, size: of this process.
        store: that all see, with nothing in it yet.
        timeout, spin: as :class:`SharedSums` has them.

    Raises:
        OSError, MissedError: not all came.
    """
    deadline, folder = time.monotonic() + timeout, ""
    try:
        with contextlib.ExitStack() as stack:
            if rank == 0:
                folder = _folder_of_sockets()
                store.set(FOLDER, folder)
            where = told(store, FOLDER, deadline)
            if not where:
                return None
            door = stack.enter_context(socket.socket(socket.AF_UNIX))
            door.settimeout(timeout)
            door.bind(f"{where}/{rank}")
            door.listen(size)
            store.set(f"door/{rank}", "open")
            others: dict[int, socket.socket] = {}
            for low in range(rank):
                told(store, f"door/{low}", deadline)
                others[low] = stack.enter_context(socket.socket(socket.AF_UNIX))
                others[low].settimeout(timeout)
                others[low].connect(f"{where}/{low}")
                others[low].send(rank.to_bytes(WORD))
            while len(others) < size - 1:
                other = stack.enter_context(door.accept()[0])
                other.settimeout(timeout)
                others[int.from_bytes(other.recv(WORD))] = other
            sums = SharedSums(rank, others, timeout, spin)
            sums.meet()
            stack.pop_all()
            door.close()
            return sums
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _folder_of_sockets() -> str:
    """A new folder that only this user can enter, with a name that is short enough; empty: there is none."""
    place = tempfile.gettempdir()
    try:
        return tempfile.mkdtemp(prefix="a2c-", dir=place if len(os.fsencode(place)) < LONGEST else "/tmp")
    except OSError as error:
        log.warning("the ranks add by Gloo, not in shared memory: %s", error)
        return ""
