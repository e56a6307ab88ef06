"""CUDA graphs: a sequence of kernels launched as one, checked against running it kernel by kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3  # runs before capture: libraries choose their kernels and allocate their workspaces


def captured(
    function: Callable[[], None],
    state: Sequence[Tensor],
    name: str,
    notify: Callable[[str], None],
    tolerance: float = 1e-3,
) -> Callable[[], None]:
    """Run ``function`` once, and return what runs it again: a CUDA graph, or ``function`` itself.

    A graph repeats the same kernels on the same addresses, so ``function`` must take its inputs from tensors that never
    move, and must not wait for the device. A graph that cannot be captured, or whose results differ from those of
    ``function``, is not used.

    Args:
        function: reads and writes tensors in place.
        state: every tensor that it changes; on return they are as after one run.
        name: of the function, for the message.
        notify: called with one line when ``function`` itself is returned.
        tolerance: largest error, relative to each tensor's norm, between graph and function.
    """
    before = [tensor.clone() for tensor in state]

    def restore() -> None:
        for tensor, saved in zip(state, before, strict=True):
            tensor.copy_(saved)

    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            function()
            restore()
        function()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    expected = [tensor.clone() for tensor in state]

    def refuse(reason: str) -> Callable[[], None]:
        for tensor, right in zip(state, expected, strict=True):
            tensor.copy_(right)
        notify(f"no CUDA graph for {name}: {reason}; going on without it, slower")
        return function

    restore()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            function()
    except RuntimeError as error:
        torch.cuda.synchronize()
        return refuse(" ".join(str(error).split())[:200])
    graph.replay()
    torch.cuda.synchronize()
    worst = max(relative_error(found, right) for found, right in zip(state, expected, strict=True))
    if not worst <= tolerance:
        return refuse(f"its results differ from the plain ones by {worst:.1e}")
    return graph.replay


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of ``expected``; 0 where both are equal, infinities included."""
    if torch.equal(found, expected):
        return 0.0
    difference = (found.double() - expected.double()).norm()
    return float(difference / expected.double().norm().clamp(min=1e-12))
