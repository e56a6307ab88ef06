"""A group of environments that step together while the policy serves the other groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from a2c.collecting.actor import Actor
from a2c.collecting.frame_stacks import stacks_of
from a2c.collecting.going_on import START_OVER, episodes_of, history_of, told, unfit
from a2c.collecting.memory_states import MemoryStates
from a2c.collecting.rollout_memory import arrivals
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.rebuilding.calls import Call, History
from a2c.machine.device import on_host
from a2c.machine.graphs import Graphs
from a2c.maths.trees import Tree, leaves, tree_map
from a2c.network.protocol import Network
from a2c.storage.plain_data import unpacked


class Group:
    """Some of the environments, and where their observations and actions lie in the memory of the rollout.

    Args:
        envs: the environments; the constructor resets them.
        rows: of them, among all N.
        model: the network, on its device.
        obs: ``[T+1, N, *obs]``, a tree: memory of the rollout; its last row becomes their first observations.
        noise: ``[T, N, K]``, of a rollout.
        actions: ``[T, N, *action]``, likewise.
        memory: states of all N environments; None: the network has no memory.
        seeds: of these environments.
        graphs: captures acting in CUDA graphs; None: kernel by kernel.
        notify: called with one line when observations cannot take the quickest way to the device.
    """

    def __init__(
        self,
        envs: LockstepEnvs,
        rows: slice,
        model: Network,
        obs: Tree,
        noise: Tensor,
        actions: Tensor,
        memory: MemoryStates | None,
        seeds: Sequence[int],
        graphs: Graphs | None,
        notify: Callable[[str], None],
    ) -> None:
        self.envs, self.rows = envs, rows
        self._seeds = seeds
        self._mine: Tree = tree_map(lambda part: part[:, rows], obs)
        self._last = len(leaves(obs)[0]) - 1
        first = envs.reset(seeds)
        here = on_host(leaves(obs)[0].device)
        self._memory: Any = tree_map(Tensor.numpy, self._mine) if here else None  # [T+1, n, *obs]
        # [n, *obs] to fill, from which the device copies; None: it needs none
        source, to_fill = (None, None) if here else arrivals(first, envs.observations, obs, notify)
        self._to_fill: Any = to_fill
        self.stacks = None if envs.frames is None else stacks_of(envs.frames, obs, rows, source, self._to_fill)
        fetch = None if self.stacks is None else self.stacks.fetch
        self._states = None if memory is None else memory.of(rows)
        self.actor = Actor(
            model, self._mine, noise[:, rows], actions[:, rows], source, graphs, fetch=fetch, memory=self._states
        )
        self._begin(first)

    def put(self, t: int, obs: Any, began: NDArray[np.bool_]) -> None:
        """Write observations where the device reads those of step ``t``.

        Args:
            t: of the rollout.
            obs: ``[n, *obs]``, a tree; with stacks, the newest frames.
            began: ``[n]``, where an episode begins with them.
        """
        if self.stacks is not None:
            self.stacks.put(t, obs, began)
        elif self._to_fill is not None:
            tree_map(lambda host, part: host.__setitem__(..., part), self._to_fill, obs)
        elif isinstance(self._memory, np.ndarray):  # the fast path
            self._memory[t] = obs
        elif self._memory is not None:
            tree_map(lambda host, part: host.__setitem__(t, part), self._memory, obs)
        if self._states is not None:
            self._states.put(t, began)

    def call(self, call: Call) -> list[Any]:
        """Make a call of every environment; returns what they gave; raises as :meth:`go_on`."""
        return self.envs.between_steps(partial(self.envs.continuity.call, call), f"the call of {call.name!r}")

    def begin_anew(self, history: History) -> None:
        """Begin other episodes, with environments that have had these calls; raises as :meth:`go_on`."""
        for _, call in history:
            self.call(call)
        first = self.envs.reset(self._seeds)
        self.envs.continuity.load_calls([(max(ago, 1), call) for ago, call in history])  # all before that reset
        self._begin(first)

    def go_on(self, saved: Mapping[str, Any], history: History) -> dict[int, str]:
        """Go on with the episodes of a checkpoint, before the first rollout.

        Args:
            saved: of :func:`a2c.collecting.going_on.in_flight_state`.
            history: the calls that all environments had until then.

        Returns:
            Why not, by global index, for each environment that begins another episode.

        Raises:
            EnvironmentFailure: an environment raised.
        """
        rows = self.rows
        obs = tree_map(lambda part: part[rows], saved["obs"])
        counts = {key: unpacked(saved[key])[rows] for key in ("returns", "lengths", "lives") if key in saved}
        # Of a stack of frames the environments give the newest alone.
        given = tree_map(lambda part: (part if self.stacks is None else part[:, -1:]).numpy(), obs)
        state = {**counts, "episodes": episodes_of(saved)[rows], "obs": given}
        failed, now = self.envs.between_steps(
            partial(self.envs.continuity.load_state_dict, state, self._seeds, history), "the replay of its episode"
        )
        self._begin(now)
        going = [row for row in range(self.envs.num_envs) if row not in failed]

        def write(memory: Tensor, part: Tensor) -> None:
            memory[self._last, going] = part[going].to(memory.device)

        tree_map(write, self._mine, obs)
        if self._states is not None and "memory" in saved:
            self._states.go_on(saved["memory"][rows], going)
        return {rows.start + row: why for row, why in failed.items()}

    def _begin(self, obs: Any) -> None:
        """The next rollout starts from these observations, with which episodes begin."""
        self.put(self._last, obs, np.ones(self.envs.num_envs, np.bool_))
        self.actor.fetch(self._last)


def go_on(groups: Sequence[Group], state: Mapping[str, Any], num_envs: int) -> tuple[dict[int, str], str]:
    """Let all groups go on with what a collector saved, or begin anew with the calls that its environments had.

    Args:
        groups: before the first rollout.
        state: of :meth:`a2c.collecting.collector.Collector.state_dict`.
        num_envs: N over all groups.

    Returns:
        Why not, for each environment that begins another episode; and one line that says what came of all.

    Raises:
        EnvironmentFailure: an environment raised.
    """
    saved, history = state.get("in_flight"), history_of(state.get("calls"))
    lost = not all(group.envs.continuity.keeps for group in groups)
    why = unfit(saved, num_envs, "episodes", "the environments of this session cannot rebuild them" if lost else "")
    if saved is not None and not why:
        failed = {env: reason for group in groups for env, reason in group.go_on(saved, history).items()}
        return failed, told(num_envs, failed)
    for group in groups if history else ():
        group.begin_anew(history)
    return dict.fromkeys(range(num_envs), why), f"{START_OVER}: {why}"
