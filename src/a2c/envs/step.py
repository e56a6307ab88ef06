"""One lockstep step of N environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Step:
    """What N environments gave; with ``frames`` of the lockstep, each ``obs`` is the newest frame of an observation."""

    obs: Any  # [N, *obs]  a tree: where the next step starts; may be a view, valid until that step
    rewards: NDArray[np.float32]  # [N]  to learn from: with ``clip_reward`` the signs
    terminated: NDArray[np.bool_]  # [N]  the episode ended by itself, or a life was lost; wins over truncated
    truncated: NDArray[np.bool_]  # [N]  a time limit cut the episode
    valid: NDArray[np.bool_]  # [N]  False where the row is a NEXT_STEP reset and no transition
    began: NDArray[np.bool_]  # [N]  ``obs`` is the first observation of an episode; not where only a life was lost
    final_rows: NDArray[np.intp]  # [K]  the truncated environments
    final_obs: Any  # [K, *obs]  a tree: their final observations, a copy
    dropped: Sequence[int] = ()  # environments that failed and began another episode: nothing of this rollout counts
