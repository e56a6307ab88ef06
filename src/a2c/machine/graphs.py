"""CUDA graphs: a sequence of kernels launched as one, checked against running it kernel by kernel.

A graph repeats the same kernels with the same numbers on the same addresses, and no Python runs. So a function that is
captured takes its inputs from tensors that never move, changes tensors in place, and never waits for the device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

WARM_UP = 3  # runs before capture: libraries choose their kernels and allocate their workspaces
TOLERANCE = 1e-3  # largest error of a tensor, relative to its norm, between a graph and its function


class Graphs:
    """Captures functions in CUDA graphs, all on one stream and with one pool of memory.

    The graphs share memory for what they compute on the way, so they must not run at the same time: replay them on one
    stream. After the first refusal no other function is captured: a capture that fails may leave the driver in a state
    that spoils the next one.

    Args:
        notify: called with one line when something runs without a graph.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.notify = notify
        self._refused = False
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def capture(
        self, function: Callable[[], None], state: Sequence[Tensor], name: str, inputs: Sequence[Tensor] = ()
    ) -> Callable[[], None]:
        """Run ``function`` once, and return what runs it again: a graph, or ``function`` itself.

        A graph that cannot be captured, or whose results differ from those of ``function``, is not used. The plain runs
        leave right numbers in memory, and a graph that skips a kernel would find them there. So before the capture
        state and inputs are spoiled and ``function`` runs on them, which spoils all that it computes on the way; then
        they are put back, and the graph has to get everything right again.

        Args:
            function: reads and writes tensors in place.
            state: every tensor that it changes; on return they are as after one run.
            name: of the function, for the message.
            inputs: tensors that it only reads and that all it computes depends on, where ``state`` alone has none.
        """
        if self._refused:
            function()
            return function
        before, given = ([tensor.detach().clone() for tensor in tensors] for tensors in (state, inputs))
        with self._aside():
            for _ in range(WARM_UP):
                function()
                _put(state, before)
            function()
        expected = [tensor.clone() for tensor in state]
        _spoil([*state, *inputs])
        graph = torch.cuda.CUDAGraph()
        try:
            with self._aside():
                function()
            with self._aside(), self._capturing(graph):
                function()
            _put([*state, *inputs], [*before, *given])
            graph.replay()
            torch.cuda.synchronize()
            reason = _difference(state, expected)
        except Exception as error:  # what a capture raises depends on the kernel that refused
            reason = " ".join(str(error).split())[:200]
        if not reason:
            return graph.replay
        self._refused = True
        torch.cuda.synchronize()
        _release_generator()
        _put([*state, *inputs], [*expected, *given])
        self.notify(f"no CUDA graph for {name}: {reason}; going on without it, slower")
        return function

    def _capturing(self, graph: torch.cuda.CUDAGraph) -> contextlib.AbstractContextManager[None]:
        # Thread-local: other threads (JAX's, for one) may go on using the device meanwhile.
        return torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local")

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Run on our own stream, after all that was launched before; whatever happens, the current stream comes back.

        ``torch.cuda.graph`` alone leaves its stream the current one if ending the capture fails; acting would then wait
        for another stream than the one its kernels run on.
        """
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            torch.cuda.set_stream(current)
        torch.cuda.synchronize()


def _release_generator() -> None:
    """Let CUDA's random generator go on: a capture that fails leaves it waiting for the capture's end."""
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(generator.clone_state())  # a copy waits for nothing


@torch.no_grad()
def _put(state: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(state, values, strict=True):
        tensor.copy_(value)


@torch.no_grad()
def _spoil(tensors: Sequence[Tensor]) -> None:
    """Put in numbers that are wrong but valid: from the neighbours'. NaN as an index would take the device down."""
    for tensor in tensors:
        axis = next((axis for axis, size in enumerate(tensor.shape) if size > 1), None)
        if axis is not None:
            tensor.copy_(tensor.roll(1, axis))
        if tensor.is_floating_point():
            tensor.mul_(0.5).add_(0.25)  # zeros, too, become something else


def _difference(state: Sequence[Tensor], expected: Sequence[Tensor]) -> str:
    """What is wrong with a graph's results, by tensor; empty if nothing is."""
    errors = [relative_error(found, right) for found, right in zip(state, expected, strict=True)]
    # Not their maximum: NaN would hide behind the tensors before it.
    off = [error for error in errors if not error <= TOLERANCE]
    return f"{len(off)} of its {len(errors)} results differ from the plain ones, by {off[0]:.1e}" if off else ""


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of ``expected``; numbers that both are infinite or NaN alike are equal.

    NaN if ``found`` is not finite where ``expected`` is another number.
    """
    same = (found == expected) | (found.isnan() & expected.isnan())
    if bool(same.all()):
        return 0.0
    difference = (found.double() - expected.double()).masked_fill(same, 0.0)
    scale = expected.double().masked_fill(~expected.isfinite(), 0.0).norm().clamp(min=1e-12)
    return float(difference.norm() / scale)
