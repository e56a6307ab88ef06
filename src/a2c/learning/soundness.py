"""Whether updates were sound: what refuses one, and what it leaves for whoever looks for the reason.

An update is refused where its loss, its gradient or what it saw is not finite. Weights, optimizer and statistics then
keep their bits. On the CPU the learner raises at once. Elsewhere the host does not wait for the device: the first
refusal refuses all further updates too, on the device, and keeps the rollout; the host learns of it at the next report.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from a2c.errors import NumericError
from a2c.learning.graphed_update import tensors_of
from a2c.learning.kept_rollout import KeptRollout, plain_rollout
from a2c.rollout import Rollout

ADVICE = "a lower lr or max_grad_norm may help"


class Soundness:
    """Remembers the first update that was refused.

    Args:
        device: of the learner.
        late: the host learns of a refusal only when it asks, by :meth:`refused_before`.
        compiled: updates are compiled: the host may look after one, but not within.

    Attributes:
        flag: bool scalar on the device: no update has been refused so far. Updates clear it in place.
    """

    def __init__(self, device: torch.device, *, late: bool, compiled: bool = False) -> None:
        self.late, self._masked = late, late or compiled
        self.flag = torch.ones((), dtype=torch.bool, device=device)
        self._on_host = None if late else self.flag.numpy()  # the same memory: reading it costs next to nothing
        self._sound = torch.zeros((), dtype=torch.int64, device=device)  # updates since the last check, where late
        self._begun: list[tuple[int, KeptRollout]] = []  # env steps before each of all updates since then
        self._kept: dict[tuple[object, ...], KeptRollout] = {}
        self._error: NumericError | None = None  # once it is known: no update is made after it

    @property
    def tensors(self) -> list[Tensor]:
        """What an update changes."""
        return [self.flag, self._sound, *self._begun[-1][1].tensors] if self._begun else [self.flag]

    def begin(self, rollout: Rollout, env_steps: int) -> None:
        """Note that an update begins; where refusals show late, see that there is memory for its rollout."""
        if self.late:
            layout = (rollout.weight is None, *((part.shape, part.dtype) for part in tensors_of(rollout)))
            if layout not in self._kept:
                self._kept[layout] = KeptRollout(rollout)
            self._begun.append((env_steps, self._kept[layout]))

    def forget(self) -> None:
        """There was nothing to learn from in the update that began last."""
        if self._begun:
            self._begun.pop()

    def apply(
        self, change: Callable[[], None], changing: list[Tensor], evidence: Tensor, rollout: Rollout
    ) -> Tensor | bool:
        """Within an update, make a change, or refuse the update.

        Args:
            change: of tensors, in place.
            changing: the tensors.
            evidence: scalar, not finite where something is not that ``change`` depends on.
            rollout: of the update; kept on the device if this is the first refusal.

        Returns:
            Whether the change was made: the flag, where the host does not look.
        """
        if not self._masked:
            sound = math.isfinite(evidence.item())
            if sound:
                change()
            else:
                self.flag.fill_(False)
            return sound
        before, was_sound = [tensor.clone() for tensor in changing], self.flag.clone()
        self.flag.logical_and_(evidence.abs() < torch.inf)
        change()
        for tensor, old in zip(changing, before, strict=True):
            torch.where(self.flag, tensor, old, out=tensor)
        if self._begun:
            self._sound.add_(self.flag)
            self._begun[-1][1].keep(rollout, was_sound > self.flag)
        return self.flag

    def refused_now(self, rollout: Rollout, env_steps: int) -> NumericError | None:
        """The error of the update that has just ended, where a refusal shows at once; the next one begins anew."""
        if self._on_host is None or self._on_host:
            return None
        self.flag.fill_(True)
        return refusal(rollout, env_steps, counted=0)

    def refused_before(self) -> NumericError | None:
        """The error of the first update that was refused, where that shows late; waits for the device."""
        if self.late and self._error is None:
            begun, self._begun = self._begun, []
            refused = len(begun) - int(self._sound)
            self._sound.zero_()
            if refused:
                env_steps, kept = begun[-refused]
                self._error = refusal(kept.rollout(), env_steps, counted=refused)
        return self._error


def refusal(rollout: Rollout, env_steps: int, *, counted: int) -> NumericError:
    """The error of an update that was refused.

    Args:
        rollout: that it should have learned from.
        env_steps: before it.
        counted: updates that were refused, but which the run has counted by now.
    """
    error = NumericError(
        f"the loss or gradient of the update after {env_steps:,} steps is not finite; it was not applied; {ADVICE}"
    )
    error.evidence = {"env_steps": env_steps, "counted": counted, "rollout": plain_rollout(rollout)}
    return error
