"""Put what the shards report of a reset or step into Gymnasium's structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.vector.utils import concatenate, read_from_shared_memory
from numpy.typing import NDArray

from a2c.envs.final_infos import ENDED
from a2c.envs.vector.shard import ShardMemory, StepNews

Infos = dict[str, Any]
AddInfo = Callable[[Infos, Infos, int], Infos]  # Gymnasium's VectorEnv._add_info


def gather_observations(
    memory: ShardMemory, news: Sequence[StepNews], observations: Any, copy: bool
) -> tuple[Any, Any]:
    """Gather the batch of observations after a reset or step.

    Args:
        memory: of all shards.
        news: what they report, with observations where no memory holds those.
        observations: the batch so far.
        copy: whether the caller gets a copy.

    Returns:
        The batch to keep, and the batch for the caller.
    """
    if memory.observations:
        return observations, observations.copy() if copy else observations
    assert memory.space is not None
    if memory.nested is not None:  # read again: some spaces (Text) are decoded, not viewed
        observations = read_from_shared_memory(memory.space, memory.nested, n=memory.num_envs)
    else:
        each = [observation for _, by_pipe, _, _ in news for observation in by_pipe or ()]
        observations = concatenate(memory.space, each, observations)
    return observations, deepcopy(observations) if copy else observations


def gather_infos(news: Sequence[StepNews], add: AddInfo) -> Infos:
    """The infos of a reset or step in Gymnasium's structure, without those of ended episodes."""
    infos: Infos = {}
    for entries, _, _, _ in news:
        for env, info, _ in entries:
            infos = add(infos, info, env)
    return infos


def ended_infos(news: Sequence[StepNews]) -> Infos:
    """The infos with which episodes ended in a step, as a2c.envs.final_infos reads them; empty where none did."""
    found = {env: final for entries, _, _, _ in news for env, _, final in entries if final}
    return {ENDED: found} if found else {}


def step_infos(
    news: Sequence[StepNews], ended: Sequence[int], num_envs: int, kept: NDArray[Any] | None, add: AddInfo
) -> Infos:
    """The infos of a step in Gymnasium's structure.

    Args:
        news: what the shards report.
        ended: environments with a final observation to report (SAME_STEP).
        num_envs: N.
        kept: ``[N, *obs]`` final observations, where memory holds them.
        add: adds the info of one environment to those of all.
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
    for entries, _, finals, _ in news:
        for env, final in finals.items():  # as the environment returned them, where memory holds something else
            final_obs[env] = final
        for env, info, final_info in entries:
            if final_info:
                infos["final_info"] = add(infos["final_info"], final_info, env)
            infos = add(infos, info, env)
    return infos
