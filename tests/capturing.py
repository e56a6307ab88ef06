"""CUDA graphs without CUDA: what an update or a rollout asks the device for, and a tape that repeats it.

A tape keeps every operation with its numbers and the memory that it read and wrote. Playing it again runs the same
operations with the same numbers on the same memory, and no Python of ours: just what a CUDA graph does. A value that
Python computed anew for each run, or memory that is not where it was, shows as a difference.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import pytest
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from a2c.machine.graphs import Graphs
from a2c.network import acting, passes, recurrent_mlp_pass
from a2c.network.chain import Chain

# The host must know their result, or the shape of their result, before it goes on: on a GPU it waits.
WAITS = {
    "_local_scalar_dense", "item", "is_nonzero", "equal", "allclose", "nonzero", "argwhere", "masked_select",
    "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount", "repeat_interleave",
}  # fmt: skip
# They look at memory in another way, and launch nothing.
VIEWS = {
    "alias", "as_strided", "chunk", "detach", "diagonal", "expand", "expand_as", "flatten", "narrow", "permute",
    "reshape", "select", "slice", "split", "squeeze", "t", "transpose", "unbind", "unflatten", "unsqueeze",
    "view", "view_as", "empty", "empty_like", "new_empty", "empty_strided", "_unsafe_view", "_reshape_alias",
}  # fmt: skip


class Operations(TorchDispatchMode):
    """Counts operations by name.

    Attributes:
        counts: how often each ran that launches work.
        waits: those for which the host would wait for a GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.waits: list[str] = []

    @property
    def launched(self) -> int:
        return self.counts.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in WAITS:
            self.waits.append(func._schema.name)
        if name.startswith("index"):  # by a mask, which is a nonzero in disguise
            indices = [it for it in args[1] if it is not None] if isinstance(args[1], list | tuple) else []
            self.waits += [func._schema.name for it in indices if it.dtype in (torch.bool, torch.uint8)]
        if name not in VIEWS:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """Records operations; :meth:`replay` repeats them on the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    @torch.inference_mode()
    def replay(self) -> None:
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Stream:
    """A stream that does at once what it is told; it counts how often the host waited for it."""

    def __init__(self) -> None:
        self.waits = 0

    def wait_stream(self, other: Stream) -> None:
        pass

    def synchronize(self) -> None:
        self.waits += 1


class Generator:
    """A random generator that a failed capture leaves waiting."""

    waiting = False

    def clone_state(self) -> Generator:
        return Generator()

    def graphsafe_set_state(self, state: Generator) -> None:
        self.waiting = state.waiting


class TapeGraph:
    """A CUDA graph whose capture is a tape."""

    ends: str | None = None  # what ending a capture raises
    eager = False  # work ran during the capture and was not captured: the graph is empty
    drops: int | None = None  # this operation was not captured
    after: Any = staticmethod(lambda: None)  # runs after each replay

    dropped = ""

    def __init__(self) -> None:
        self.tape = Tape()
        FakeCuda.now.graphs.append(self)

    def capture_begin(self, *pool: Any, **options: Any) -> None:
        assert FakeCuda.now.current is not FakeCuda.now.first, "a capture on the stream that everything else uses"
        FakeCuda.now.captures.append((pool, options))
        self.tape.__enter__()

    def capture_end(self) -> None:
        self.tape.__exit__(None, None, None)
        if self.drops is not None:
            self.dropped = self.tape.calls.pop(self.drops)[0]._schema.name.removeprefix("aten::")
        if self.ends is not None:
            torch.cuda.default_generators[0].waiting = True  # type: ignore[attr-defined]
            raise RuntimeError(self.ends)

    def replay(self) -> None:
        FakeCuda.now.replays += 1
        if not self.eager:
            self.tape.replay()
        self.after()


class FakeCuda:
    """The parts of ``torch.cuda`` that graphs need, on the CPU.

    Attributes:
        graph: the class of its graphs, whose attributes make them fail.
        captures: pool and options of every capture.
        replays: how many there were.
        graphs: all that were made.
    """

    now: FakeCuda

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        FakeCuda.now = self
        self.first = self.current = Stream()
        self.captures: list[tuple[Any, dict[str, Any]]] = []
        self.replays = 0
        self.graphs: list[TapeGraph] = []
        self.graph = type("Graph", (TapeGraph,), {})
        self.pools = 0
        fakes: dict[str, Any] = {
            "Stream": Stream,
            "current_stream": lambda device=None: self.current,
            "set_stream": partial(setattr, self, "current"),
            "stream": self._within,
            "synchronize": lambda device=None: None,
            "empty_cache": lambda: None,
            "graph_pool_handle": self._pool,
            "CUDAGraph": self.graph,
            "current_device": lambda: 0,
            "default_generators": (Generator(),),
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        monkeypatch.setattr(torch._C, "_host_emptyCache", lambda: None, raising=False)

    @contextlib.contextmanager
    def _within(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield  # as torch's: no finally
        self.current = before

    def _pool(self) -> tuple[int, int]:
        self.pools += 1
        return (0, self.pools)


def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the written-out passes compute in torch alone: a tape does not see NumPy."""
    for module in (passes, recurrent_mlp_pass, acting):
        monkeypatch.setattr(module, "Chain", lambda *args, **kwargs: Chain(*args, **{**kwargs, "numpy": False}))


class KernelByKernel(Graphs):
    """What captures nothing: the same code, without graphs."""

    def __init__(self, notify: Callable[[str], None] = pytest.fail) -> None:
        self.notify = notify

    def capture(
        self, function: Callable[[], None], state: Sequence[Tensor], name: str, inputs: Sequence[Tensor] = ()
    ) -> Callable[[], None]:
        function()
        return function


def tensors_of(owner: Any, name: str) -> dict[str, Tensor]:
    """Every tensor that can be reached from an object of ours, by the way to it."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()

    def visit(thing: Any, path: str) -> None:
        if id(thing) in seen:
            return
        seen.add(id(thing))
        if isinstance(thing, Tensor):
            found[path] = thing
            if thing.grad is not None:
                found[f"{path}.grad"] = thing.grad
        elif isinstance(thing, dict):
            for key, part in thing.items():
                visit(part, f"{path}[{key!r}]")
        elif isinstance(thing, list | tuple | deque):
            for index, part in enumerate(thing):
                visit(part, f"{path}[{index}]")
        elif isinstance(thing, partial):
            visit([thing.func, thing.args, thing.keywords], path)
        elif isinstance(thing, MethodType):
            visit(thing.__self__, path)
        elif isinstance(thing, FunctionType):
            visit([cell.cell_contents for cell in thing.__closure__ or ()], path)
        elif type(thing).__module__.split(".")[0] in ("a2c", "torch") or isinstance(thing, VectorEnv):
            slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
            parts = getattr(thing, "__dict__", {}) | {slot: getattr(thing, slot, None) for slot in slots}
            for key, part in parts.items():
                visit(part, f"{path}.{key}")

    visit(owner, name)
    return found
