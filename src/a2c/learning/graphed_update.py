"""An update as one CUDA graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from a2c.learning.coefficients import Coefficients
from a2c.machine.graphs import Graphs
from a2c.maths.trees import leaves
from a2c.rollout import Rollout

Improve = Callable[[Rollout, Coefficients], None]
Place = tuple[object, ...]

MOST = 8  # rollouts in other memory: beyond that, whoever gives them makes new memory each time


class GraphedUpdate:
    """Captures an update in a CUDA graph when it first sees a rollout's memory, and replays the graph afterwards.

    Args:
        improve: the update.
        state: returns every tensor that the update changes.
        graphs: captures it.
    """

    def __init__(self, improve: Improve, state: Callable[[], list[Tensor]], graphs: Graphs) -> None:
        self._improve, self._state, self._graphs = improve, state, graphs
        # The rollouts are kept, because a graph reads their memory: nobody else may get it.
        self._known: dict[Place, tuple[Rollout, Callable[[], None]]] = {}
        self._told = False

    def __call__(self, rollout: Rollout, coefficients: Coefficients) -> None:
        place = place_of(rollout)
        if place in self._known:
            self._known[place][1]()
        elif len(self._known) == MOST:
            if not self._told:
                others = "updates on further ones run without a CUDA graph, slower"
                self._graphs.notify(f"more than {MOST} rollout buffers: {others}")
            self._told = True
            self._improve(rollout, coefficients)
        else:
            read = [*tensors_of(rollout), *(one for one in coefficients if isinstance(one, Tensor))]
            run = self._graphs.capture(lambda: self._improve(rollout, coefficients), self._state(), "updates", read)
            self._known[place] = rollout, run


def place_of(rollout: Rollout) -> Place:
    """Where the tensors of a rollout lie, and how: equal only if a graph of one serves the other."""
    layouts = ((part.data_ptr(), part.shape, part.stride(), part.dtype) for part in tensors_of(rollout))
    return (rollout.weight is None, *layouts)


def tensors_of(rollout: Rollout) -> list[Tensor]:
    """Every tensor of a rollout."""
    parts = (getattr(rollout, field.name) for field in dataclasses.fields(rollout) if field.name != "transitions")
    return [tensor for tree in parts if tree is not None for tensor in leaves(tree)]
