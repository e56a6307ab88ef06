"""Sums over ranks of one machine, in memory that they share.

Gloo sends tensors over the network's sockets, by threads of its own. Ranks of one machine can read each other's memory
instead: all that travels is a byte that says that a part is there. Each adds up the parts by itself, in the order of
the ranks, so that all have the same bits.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import tempfile
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from a2c.machine.processes.shared_arrays import anonymous_file
from a2c.machine.processes.spin import SpinWait
from a2c.machine.rank_session import Store

HERE = b"."  # all that a rank says
DOOR = "door"  # under which the store has the place of the first one's socket
LONGEST = 60  # characters of a folder whose socket's name is not too long


class Table:
    """Where the ranks of one machine lay out tensors on the CPU, each in its place, twice: one half is read while the
    other is written.

    Who is one sum ahead cannot overwrite what others still read: for the sum after that, it waits for them.

    Args:
        rank: of this process.
        others: a connected socket to each other rank, by number.
        timeout: seconds that a rank may let the others wait.
        spin: seconds to wait awake.
    """

    def __init__(self, rank: int, others: Mapping[int, socket.socket], timeout: float, spin: float) -> None:
        self._rank, self._others, self._waits = rank, others, {}
        for number, other in others.items():
            other.settimeout(timeout)
            poller = select.poll()
            poller.register(other, select.POLLIN)
            self._waits[number] = SpinWait(poller, spin)
        self._half, self._parts = 0, torch.empty(2, len(others) + 1, 0, dtype=torch.uint8)

    def add(self, tensor: Tensor) -> None:
        """Add the tensors of all ranks, contiguous and of one shape, in place.

        Raises:
            RuntimeError: a rank did not come, or has gone.
        """
        parts, sums = self._laid_out(tensor), tensor.view(-1)
        sums.copy_(parts[0])
        for part in parts[1:]:
            sums += part

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, ``[K, *]``; raises as :meth:`add`."""
        return torch.stack(self._laid_out(tensor)).view(-1, *tensor.shape)

    def close(self) -> None:
        """Let the other ranks know that this one has gone."""
        for other in self._others.values():
            other.close()

    def _laid_out(self, tensor: Tensor) -> list[Tensor]:
        """The parts of all ranks, each ``[n]``, once all have laid out theirs."""
        size = tensor.numel() * tensor.element_size()
        try:
            if size > self._parts.shape[2]:
                self._make_room(size)
            self._half ^= 1
            parts = [part[:size].view(tensor.dtype) for part in self._parts[self._half]]
            parts[self._rank].copy_(tensor.reshape(-1))
            for other in self._others.values():
                other.send(HERE)
            for number, other in self._others.items():
                self._waits[number]()
                if not other.recv(1):  # asleep
                    raise RuntimeError(f"rank {number} has gone")
        except OSError as error:
            raise RuntimeError(str(error)) from error
        return parts

    def _make_room(self, size: int) -> None:
        """New memory, for parts of ``size`` bytes; what others still read of the old one stays theirs."""
        room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        ranks = len(self._others) + 1
        if self._rank == 0:
            file = anonymous_file(2 * ranks * room)
            for other in self._others.values():
                _send(other, [file])
        else:
            [file] = _received(self._others[0], 1)
        memory = np.frombuffer(mmap.mmap(file, 2 * ranks * room), np.uint8)
        os.close(file)
        self._parts = torch.from_numpy(memory).view(2, ranks, room)


def sit_down(rank: int, size: int, store: Store, timeout: float, spin: float) -> Table:
    """The table of all ranks of this machine, who are all that there are.

    The first one opens a socket where the others find it, and connects all with each other; then nothing of it is left
    in any folder.

    Args:
        rank, size: of this process.
        store: that all see.
        timeout, spin: as :class:`Table` has them.

    Raises:
        OSError: not all came.
    """
    if rank == 0:
        return Table(0, _hand_out(size, store, timeout), timeout, spin)
    own = socket.socket(socket.AF_UNIX)
    own.settimeout(timeout)
    own.connect(store.get(DOOR).decode())
    own.send(rank.to_bytes(4))
    numbers = [other for other in range(1, size) if other != rank]
    ends = zip(numbers, _received(own, len(numbers)), strict=True)
    return Table(rank, {0: own} | {other: socket.socket(fileno=end) for other, end in ends}, timeout, spin)


def _hand_out(size: int, store: Store, timeout: float) -> dict[int, socket.socket]:
    """On the first rank: connect all with each other; returns its own connections."""
    place = tempfile.gettempdir() if len(tempfile.gettempdir()) < LONGEST else "/tmp"
    found: dict[int, socket.socket] = {}
    with tempfile.TemporaryDirectory(prefix="a2c-", dir=place) as folder, socket.socket(socket.AF_UNIX) as door:
        door.settimeout(timeout)
        door.bind(f"{folder}/door")
        door.listen(size)
        store.set(DOOR, f"{folder}/door")
        while len(found) < size - 1:
            other, _ = door.accept()
            other.settimeout(timeout)
            found[int.from_bytes(other.recv(4))] = other
    ends: dict[int, list[socket.socket]] = {number: [] for number in sorted(found)}
    for low, high in combinations(ends, 2):
        one, another = socket.socketpair()
        ends[low].append(one)
        ends[high].append(another)
    for number, own in ends.items():
        _send(found[number], [end.fileno() for end in own])
        for end in own:
            end.close()
    return {number: found[number] for number in ends}


def _send(to: socket.socket, files: Sequence[int]) -> None:
    if files:
        socket.send_fds(to, [HERE], files)


def _received(by: socket.socket, count: int) -> list[int]:
    """As many file descriptors; raises OSError."""
    if not count:
        return []
    _, files, _, _ = socket.recv_fds(by, 1, count)
    if len(files) != count:
        raise ConnectionError("rank 0 has gone")
    for file in files:
        os.set_inheritable(file, False)
    return files
