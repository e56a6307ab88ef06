"""Whether updates were sound: what refuses one, and what it leaves for whoever looks for the reason.

An update is refused where its loss, its gradient or what it saw is not finite. Weights, optimizer and statistics then
keep their bits. On the CPU the learner raises at once. Elsewhere the host does not wait for the device: the first
refusal refuses all further updates too, on the device, and keeps the rollout; the host learns of it at the next report.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from a2c.errors import NumericError
from a2c.learning.graphed_update import tensors_of
from a2c.maths.trees import tree_map
from a2c.rollout import Rollout

ADVICE = "a lower lr or max_grad_norm may help"


class Soundness:
    """Remembers the first update that was refused.

    Args:
        device: of the learner.
        late: the host learns of a refusal only when it asks, by :meth:`check`.

    Attributes:
        flag: bool scalar on the device: no update has been refused so far. Updates clear it in place.
    """

    def __init__(self, device: torch.device, *, late: bool) -> None:
        self.late = late
        self.flag = torch.ones((), dtype=torch.bool, device=device)
        self._on_host = None if late else self.flag.numpy()  # the same memory: reading it costs next to nothing
        self._refused = torch.zeros((), dtype=torch.int64, device=device)  # updates, since and with the first
        self._steps: list[int] = []  # env steps before each update since the last check, where that is late
        self._kept: dict[tuple[object, ...], tuple[Rollout, Tensor]] = {}
        self._keeps: tuple[Rollout, Tensor] | None = None
        self._error: NumericError | None = None  # once it is known: no update is made after it

    @property
    def tensors(self) -> list[Tensor]:
        """What an update changes."""
        if self._keeps is None:
            return [self.flag]
        return [self.flag, self._refused, *tensors_of(self._keeps[0]), self._keeps[1]]

    def begin(self, rollout: Rollout, env_steps: int) -> None:
        """Note that an update begins; where refusals show late, see that there is memory for its rollout."""
        if not self.late:
            return
        self._steps.append(env_steps)
        layout = (rollout.weight is None, *((part.shape, part.dtype) for part in tensors_of(rollout)))
        if layout not in self._kept:
            self._kept[layout] = copied(rollout, torch.zeros_like), torch.zeros_like(self.flag)
        self._keeps = self._kept[layout]

    def find(self, evidence: Tensor) -> Tensor | None:
        """Within an update, refuse it if something is not finite; returns what :meth:`keep` takes.

        Args:
            evidence: scalar, not finite where a number that it stands for is not.
        """
        before = self.flag.clone() if self.late else None
        self.flag.logical_and_(evidence.abs() < torch.inf)
        return before

    def keep(self, rollout: Rollout, before: Tensor | None) -> None:
        """At the end of an update, keep its rollout on the device if it is the first that was refused.

        Args:
            rollout: of the update.
            before: from :meth:`find`.
        """
        if before is None or self._keeps is None:
            return
        memory, holds = self._keeps
        refused = self.flag.logical_not()
        self._refused.add_(refused)
        first = before.logical_and_(refused)
        for kept, part in zip(tensors_of(memory), tensors_of(rollout), strict=True):
            torch.where(first, part, kept, out=kept)
        holds.logical_or_(first)

    def refused_now(self, rollout: Rollout, env_steps: int) -> NumericError | None:
        """The error of the update that has just ended, where a refusal shows at once; the next one begins anew."""
        if self._on_host is None or self._on_host:
            return None
        self.flag.fill_(True)
        return refusal(rollout, env_steps, counted=0)

    def refused_before(self) -> NumericError | None:
        """The error of the first update that was refused, where that shows late; waits for the device."""
        if self.late and self._error is None:
            steps, self._steps = self._steps, []
            refused = int(self._refused)
            if refused:
                rollout = next((memory for memory, holds in self._kept.values() if holds), None)
                self._error = refusal(rollout, steps[-refused], counted=refused)
        return self._error


def refusal(rollout: Rollout | None, env_steps: int, *, counted: int) -> NumericError:
    """The error of an update that was refused.

    Args:
        rollout: that it should have learned from.
        env_steps: before it.
        counted: updates that were refused, but which the run has counted by now.
    """
    error = NumericError(
        f"the loss or gradient of the update after {env_steps:,} steps is not finite; it was not applied; {ADVICE}"
    )
    error.evidence = {"env_steps": env_steps, "counted": counted}
    if rollout is not None:
        error.evidence["rollout"] = plain_rollout(rollout)
    return error


def plain_rollout(rollout: Rollout) -> dict[str, Any]:
    """Its parts by name, for a dump: each tensor on the CPU, on its own."""
    parts = copied(rollout, lambda part: part.detach().to("cpu", copy=True))
    return {field.name: getattr(parts, field.name) for field in dataclasses.fields(Rollout)}


def copied(rollout: Rollout, copy: Callable[[Tensor], Tensor]) -> Rollout:
    """A rollout of what ``copy`` makes of each tensor."""
    kept: dict[str, Any] = {field.name: getattr(rollout, field.name) for field in dataclasses.fields(Rollout)}
    for name, part in kept.items():
        if name != "transitions" and part is not None:
            kept[name] = tree_map(copy, part)
    return Rollout(**kept)
