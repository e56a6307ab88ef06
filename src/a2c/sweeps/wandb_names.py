"""How the runs of a sweep are told apart in W&B: one group for the sweep, a tag for each trial."""

from __future__ import annotations

import re
from pathlib import Path

from a2c.settings.overrides import quote

_SEED = re.compile(r"-seed\d+$")


def wandb_overrides(folder: Path) -> list[str]:
    """Settings that stand before those of the sweep, so that a group or tags of its own count instead.

    Args:
        folder: of a run, inside the folder of its sweep; the latter names the group, the trial without its seed the
            tag.
    """
    return [f"wandb.group={quote(folder.parent.name)}", f"wandb.tags=[{quote(_SEED.sub('', folder.name))}]"]
