"""An update as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from a2c.machine.graphs import captured
from a2c.maths.trees import leaves
from a2c.rollout import Rollout

Improve = Callable[[Rollout, Tensor | float, Tensor | float], None]  # rollout, learning rate, beta


class GraphedUpdate:
    """Captures an update in a CUDA graph when it first sees a rollout's memory, and replays the graph afterwards.

    Args:
        improve: the update.
        state: returns every tensor that the update changes.
        notify: called with one line when the graph cannot be used.
    """

    def __init__(self, improve: Improve, state: Callable[[], list[Tensor]], notify: Callable[[str], None]) -> None:
        self._improve, self._state, self._notify = improve, state, notify
        self._graphs: dict[tuple[int | None, ...], Callable[[], None]] = {}

    def __call__(self, rollout: Rollout, lr: Tensor | float, beta: Tensor | float) -> None:
        # A graph reads the memory that it was captured on: a rollout in other memory, or without weights, gets its own.
        weight = None if rollout.weight is None else rollout.weight.data_ptr()
        obs = (part.data_ptr() for part in leaves(rollout.obs))
        key = (*obs, rollout.rewards.data_ptr(), rollout.final_values.data_ptr(), weight)
        if key in self._graphs:
            self._graphs[key]()
        else:
            self._graphs[key] = captured(
                lambda: self._improve(rollout, lr, beta), self._state(), "updates", self._notify
            )
