"""How our vector environments hand over a step without copies: arrays that every step overwrites.

Gymnasium's ``step`` returns copies and builds infos; a trainer that reads five arrays and drops them before the next
step needs neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2c.envs.shard import News, ShardMemory

Infos = dict[str, Any]
AddInfo = Callable[[Infos, Infos, int], Infos]  # Gymnasium's VectorEnv._add_info


@dataclass(frozen=True, slots=True)
class Block:
    """What a step writes: row i belongs to environment i."""

    observations: NDArray[Any]  # [N, *obs]
    final_observations: NDArray[Any]  # [N, *obs]  SAME_STEP: of the episode that ended most recently
    rewards: NDArray[np.float64]  # [N]
    flags: NDArray[np.bool_]  # [2, N]  terminated, truncated

    @classmethod
    def of(cls, memory: ShardMemory) -> Block | None:
        """The arrays in ``memory``; None where the observations are no array."""
        if not memory.observations:
            return None
        arrays = memory.arrays
        return cls(arrays["observations"], arrays["final_observations"], arrays["rewards"], arrays["flags"])


class StepsInPlace:
    """A vector environment that can step without copies; those of array observations have a block."""

    block: Block | None

    def begin_in_place(self, actions: Any) -> None:
        """Begin a step of every environment into ``block``."""
        raise NotImplementedError

    def finish_in_place(self, timeout: float | None = None) -> Infos:
        """Wait until the step is done; returns what was said in the infos, those of ended episodes left out."""
        raise NotImplementedError

    def keep_infos(self, keys: Sequence[str] | None) -> None:
        """From now on report only these keys of the environments' infos; None: all."""
        raise NotImplementedError


def gather_infos(news: Sequence[News], add: AddInfo) -> Infos:
    """The infos of a reset or step in Gymnasium's structure, without those of ended episodes."""
    infos: Infos = {}
    for entries, _, _ in news:
        for env, info, _ in entries:
            infos = add(infos, info, env)
    return infos


def step_infos(
    news: Sequence[News], ended: Sequence[int], num_envs: int, kept: NDArray[Any] | None, add: AddInfo
) -> Infos:
    """The infos of a step in Gymnasium's structure.

    Args:
        news: what the shards told.
        ended: environments with a final observation to report (SAME_STEP).
        num_envs: N.
        kept: ``[N, *obs]`` final observations, where memory holds them.
        add: puts the info of one environment into those of all.
    """
    if not ended:
        return gather_infos(news, add)
    mask = np.zeros(num_envs, dtype=np.bool_)
    mask[ended] = True
    final_obs = np.full(num_envs, None, dtype=object)
    if kept is not None:
        for env, final in zip(ended, kept[ended], strict=True):
            final_obs[env] = final
    infos: Infos = {"final_info": {}, "_final_info": mask, "final_obs": final_obs, "_final_obs": mask.copy()}
    for entries, _, finals in news:
        for env, final in finals.items():  # as the environment returned them, where memory holds something else
            final_obs[env] = final
        for env, info, final_info in entries:
            if final_info:
                infos["final_info"] = add(infos["final_info"], final_info, env)
            infos = add(infos, info, env)
    return infos
