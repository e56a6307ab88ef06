"""What a checkpoint keeps of the episodes in flight of a collector, and how they go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a2c.envs.episodes import Episode
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.rebuilding.calls import Call, History
from a2c.maths.trees import Tree, leaves, tree_map
from a2c.storage.checkpoint import frozen
from a2c.storage.plain_data import packed, unpacked

GO_ON = "episodes in flight go on where they were"
START_OVER = "episodes in flight start over"


def in_flight_state(groups: Sequence[LockstepEnvs], obs: Tree, memory: Tensor | None = None) -> dict[str, Any] | None:
    """The episodes in flight of all groups; None where nothing can rebuild them.

    Args:
        groups: in the order of their rows.
        obs: ``[N, *obs]``, a tree: where the next rollout starts.
        memory: ``[N, S]`` on the host, what the network remembers there; None: it has no memory.

    Returns:
        Plain data: arrays ``[N]``, lists of N, and the observations.
    """
    states = []
    for envs in groups:
        state = envs.continuity.state_dict()
        if state is None:
            return None
        states.append(state)
    merged = {key: np.concatenate([state[key] for state in states]) for key in states[0] if key != "episodes"}
    episodes = [episode for state in states for episode in state["episodes"]]
    here: Tree = tree_map(lambda part: part.detach().to("cpu", copy=True), obs)
    taken = [one["actions"] for one in episodes if one is not None and len(one["actions"])]
    actions = np.concatenate(taken) if taken else None  # in one tensor: of a thousand small ones a save takes its time
    counted = [one if one is None else {**one, "actions": len(one["actions"])} for one in episodes]
    remembered = {} if memory is None else {"memory": memory}
    return {**packed(merged), "episodes": packed(counted), "actions": packed(actions), "obs": here, **remembered}


def on_device(envs: Any, obs: Tree, running: Tensor, resetting: Tensor, memory: Tensor | None) -> dict[str, Any] | None:
    """The episodes in flight of environments on the device; None where nothing can rebuild them.

    Args:
        envs: state of the environments; None: they do not tell.
        obs: ``[N, *obs]``, a tree: where the next rollout starts.
        running: ``[2, N]``, returns and lengths so far.
        resetting: ``[N]`` bool, NEXT_STEP: the next step resets.
        memory: as of :func:`in_flight_state`.
    """
    here = {"obs": obs, "statistics": running}
    sound = all(bool(leaf.isfinite().all()) for leaf in leaves(here))  # else it is best that episodes begin anew
    if envs is None or not sound:
        return None
    rest = {"resetting": resetting.cpu()} | ({} if memory is None else {"memory": memory})
    return {"envs": packed(envs), **frozen(here), **rest}


def episodes_of(saved: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    """The episodes of :func:`in_flight_state`, each with its actions again."""
    episodes, actions, at = [], unpacked(saved["actions"]), 0
    for one in unpacked(saved["episodes"]):
        if one is not None:
            count = one["actions"]
            one["actions"], at = np.empty(0) if actions is None else actions[at : at + count], at + count
        episodes.append(one)
    return episodes


def to_tensor(episodes: Iterable[Episode]) -> Tensor:
    """Finished episodes as float64 ``[K, 3]``: environment, return, length."""
    rows = [(episode.env, episode.reward, episode.length) for episode in episodes]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 3)


def to_episodes(rows: Tensor) -> list[Episode]:
    """What :func:`to_tensor` was given, but for the steps with which they ended."""
    return [Episode(int(env), reward, int(length)) for env, reward, length in rows.tolist()]


def calls_state(history: History) -> Any:
    """Calls of all environments, as a checkpoint can hold them."""
    return packed([[ago, call.name, call.args, call.kwargs] for ago, call in history])


def history_of(saved: Any) -> History:
    """What :func:`calls_state` was given; None: there were no calls."""
    return [(ago, Call(name, args, kwargs)) for ago, name, args, kwargs in unpacked(saved or [])]


def unfit(saved: Mapping[str, Any] | None, num_envs: int, rows: str, cannot: str) -> str:
    """Say why none of the saved episodes can go on here; empty if they can.

    Args:
        saved: of :func:`in_flight_state`, or of environments on the device.
        num_envs: N of now.
        rows: the key of something that this kind of environments saves of each.
        cannot: why the environments of this session can rebuild none; empty if they can.
    """
    if saved is None:
        return "nothing was saved of them"
    if rows not in saved:
        return "what was saved of them is for environments in another place"
    had = len(saved[rows])
    return f"there were {had} environments, now there are {num_envs}" if had != num_envs else cannot


def told(num_envs: int, failed: Mapping[int, str]) -> str:
    """Say in one line what came of the episodes in flight."""
    if not failed:
        return GO_ON
    env, why = min(failed.items())
    which = "all" if len(failed) == num_envs else f"{len(failed)} of {num_envs}"
    return f"{which} {START_OVER}: environment {env}: {why}"
