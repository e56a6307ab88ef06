"""What training assumes where an environment is not plain: one line of each kind, once a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

HUGE = 1e3  # an observation's number beyond this is one that a network takes badly
MASKS = ("action_mask", "action_masks", "legal_actions", "avail_actions")  # keys of infos

log = logging.getLogger("a2c")


class Remarks:
    """Says each kind of line once, however many environments give cause for it.

    Args:
        huge: remark on observations with numbers beyond this.

    Attributes:
        tell: called with the line; the run sets it.
    """

    def __init__(self, huge: float = HUGE) -> None:
        self.huge = huge
        self.tell: Callable[[str], object] = log.warning
        self._said: set[str] = set()

    def say(self, kind: str, line: str) -> None:
        """Say ``line`` unless one of this kind has been said."""
        if kind not in self._said:
            self._said.add(kind)
            self.tell(line)

    def infos(self, keys: Collection[str]) -> None:
        """Remark on infos with these keys that training does not use."""
        masks = [key for key in MASKS if key in keys]
        if masks:
            self.say("mask", f"infos offer {masks[0]!r}, which is not used: all actions are taken to be legal")

    def image(self, shape: tuple[int, ...], stacked: bool) -> None:
        """Remark on images ``[C, H, W]`` whose layout is not plain from their channels; stacks of frames are."""
        if len(shape) == 3 and not stacked and shape[0] not in (1, 3, 4):
            channels, height, width = shape
            self.say("image", f"observations are taken as images of {channels} channels, {height} x {width} pixels")
