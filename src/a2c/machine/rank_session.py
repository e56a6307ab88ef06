"""A name that all ranks of one start share, and no earlier start.

The store may outlive a restart, and with it what was said before. How often a machine has restarted its ranks says
nothing: a machine that replaces another one counts from 0, and one that only sees others come does not count.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, Protocol

from a2c.errors import RankFailure

EVERY = 0.02  # seconds between looks


class Store(Protocol):
    """What all ranks see: a store of torch.distributed."""

    def set(self, key: str, value: Any, /) -> None: ...
    def get(self, key: str, /) -> bytes: ...
    def check(self, keys: list[str], /) -> bool: ...
    def delete_key(self, key: str, /) -> bool: ...


def agree(store: Store, rank: int, size: int, timeout: float) -> str:
    """Find the name.

    Every other rank says a word that nobody has said before. The first rank makes the name, and says it together with
    the words that it has heard. Who finds its own word there takes the name and says so.

    Args:
        store: of the rendezvous, which all see.
        rank, size: of this process.
        timeout: seconds in which all have to come.

    Raises:
        RankFailure: not all came.
        RuntimeError: the store is gone.
    """
    own, deadline = uuid.uuid4().hex, time.monotonic() + timeout
    if rank > 0:
        store.set(f"word/{rank}", own)
    said: dict[str, str | None] | None = None
    while time.monotonic() < deadline:
        if rank > 0:
            found = _read(store, "name")
            if found is not None and (name := json.loads(found))["words"].get(str(rank)) == own:
                store.set(f"took/{name['name']}/{rank}", "")
                return str(name["name"])
        else:
            words = {str(other): _read(store, f"word/{other}") for other in range(1, size)}
            if words != said:  # some may be of ranks that have died: theirs change
                said = words
                store.set("name", json.dumps({"name": own, "words": said}))
            if size == 1 or store.check([f"took/{own}/{other}" for other in range(1, size)]):
                return own
        time.sleep(EVERY)
    raise RankFailure(f"the {size} ranks did not meet in {timeout:g} s")


def _read(store: Store, key: str) -> str | None:
    return bytes(store.get(key)).decode() if store.check([key]) else None


def told(store: Store, key: str, deadline: float) -> str:
    """What a rank says under a key, once it does.

    Args:
        store: which all see.
        key: under which it says it.
        deadline: on the monotonic clock.

    Raises:
        TimeoutError: nobody has said it by then.
    """
    while (said := _read(store, key)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody has said {key}")
        time.sleep(EVERY)
    return said
