"""The state of a collector of all environments, put together from those of ranks, and cut up for them.

A checkpoint holds it as one process would have written it. So a run goes on with any number of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from a2c.collecting.going_on import episodes_of
from a2c.maths.trees import tree_map
from a2c.storage.plain_data import packed, unpacked

_OTHERS = {"episodes", "actions", "obs", "memory"}  # of an in-flight state; all else is arrays [N]


def merged_states(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One collector's state, from those of all ranks in order (:meth:`Collector.state_dict`)."""
    first = dict(states[0])
    if first["reward_normalizer"] is not None:  # moments are those of all already
        running = torch.cat([state["reward_normalizer"]["running"] for state in states])
        first["reward_normalizer"] = {**first["reward_normalizer"], "running": running}
    return {**first, "in_flight": _merged([state["in_flight"] for state in states])}


def state_of_rows(state: Mapping[str, Any], rows: range, num_envs: int) -> dict[str, Any]:
    """The part of a state that the environments of a rank go on from.

    Args:
        state: of all environments.
        rows: those of the rank.
        num_envs: N over all ranks; what a state of another number has of each environment goes to none.
    """
    part = slice(rows.start, rows.stop)
    scales, saved = state["reward_normalizer"], state.get("in_flight")
    goes_on = saved is not None and len(saved.get("episodes", ())) == num_envs
    if scales is not None and "running" in scales:
        scales = {**scales, "running": scales["running"][part] if goes_on else torch.empty(0)}
    return {**state, "reward_normalizer": scales, "in_flight": _cut(saved, part) if goes_on and saved else None}


def _merged(parts: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The episodes in flight of all ranks; None where a rank cannot rebuild its own."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    arrays = {key: np.concatenate([unpacked(part[key]) for part in known]) for key in known[0] if key not in _OTHERS}
    taken = [actions for part in known if (actions := unpacked(part["actions"])) is not None]
    whole = {
        **packed(arrays),
        "episodes": [episode for part in known for episode in part["episodes"]],
        "actions": packed(np.concatenate(taken) if taken else None),
        "obs": tree_map(lambda *rows: torch.cat(rows), *(part["obs"] for part in known)),
    }
    memory = {"memory": torch.cat([part["memory"] for part in known])} if "memory" in known[0] else {}
    return whole | memory


def _cut(saved: Mapping[str, Any], part: slice) -> dict[str, Any]:
    episodes = episodes_of(saved)[part]
    taken = [one["actions"] for one in episodes if one is not None and len(one["actions"])]
    counted = [one if one is None else {**one, "actions": len(one["actions"])} for one in episodes]
    arrays = {key: unpacked(array)[part] for key, array in saved.items() if key not in _OTHERS}
    cut = {
        **packed(arrays),
        "episodes": packed(counted),
        "actions": packed(np.concatenate(taken) if taken else None),
        "obs": tree_map(lambda rows: rows[part], saved["obs"]),
    }
    memory = {"memory": saved["memory"][part]} if "memory" in saved else {}
    return cut | memory
