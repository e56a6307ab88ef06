"""Acting: from the observations of one step to actions, in the rollout's own memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.collecting.memory_states import MemoryStates
from a2c.machine.graphs import Graphs
from a2c.maths.trees import Tree, leaves, tree_map
from a2c.network.acting import PolicyFunction, policy_of
from a2c.network.emission import emission_of
from a2c.network.protocol import Network


class Actor:
    """Acts for a group of environments, at each step of a rollout.

    It runs the policy only, without critic and log-probabilities, in buffers that it looks up once. On a GPU a step is
    one graph launch (observations in, policy, sample, actions out) and one wait.

    Args:
        model: the network, on its device.
        obs: ``[T+1, n, *obs]`` on the device, a tree; on a GPU the actor fills the row of a step, elsewhere the
            collector does.
        noise: ``[T, n, *noise]`` on the device; what :meth:`a2c.maths.distributions.Distribution.sample` takes.
        actions: ``[T, n, *action]`` on the device, written here.
        host_obs: ``[n, *obs]``, a tree: where observations arrive on the host, page-locked on CUDA; None: the device is
            the host.
        graphs: captures each step in a CUDA graph; None: its kernels are launched one by one.
        fetch: writes the row of a step from what has arrived on the host, without waiting; None: copies ``host_obs``.
        memory: states of a network with a memory, written here.
    """

    def __init__(
        self,
        model: Network,
        obs: Tree,
        noise: Tensor,
        actions: Tensor,
        host_obs: Tree | None,
        graphs: Graphs | None,
        fetch: Callable[[int], None] | None = None,
        memory: MemoryStates | None = None,
    ) -> None:
        self._model, self._sample = model, model.distribution.sample
        self._acting = policy_of(model, actions.shape[1])
        self._policy: PolicyFunction = model.policy
        self._noise, self._actions = noise.unbind(), actions.unbind()
        self._obs: list[Tree] = [tree_map(lambda part, t=t: part[t], obs) for t in range(len(self._noise) + 1)]
        self._memory = memory
        self._inputs: list[Any] = self._obs if memory is None else memory.steps(self._obs)  # of the policy, by step
        self._host_obs, self._fetch = host_obs, fetch
        on_cuda = actions.is_cuda
        self._on_host = host_obs is None
        self._emit = emission_of(model.distribution, model.spaces, actions.device)
        given = actions if self._emit is None else self._emit(actions)
        own = self._on_host and self._emit is None  # the environments read the actions as drawn
        self._host_actions = given if own else torch.empty_like(given, device="cpu", pin_memory=on_cuda)
        self._host_action_rows: list[NDArray[Any]] = list(self._host_actions.numpy())
        self._on_cuda = on_cuda
        self._graphs = graphs
        self._steps: list[Callable[[], None]] = []  # each captured during the first rollout
        self._place = 0  # address of the weights that they read

    def begin(self) -> None:
        """Begin a rollout, in which the weights stay as they are."""
        self._policy = self._acting.begin()
        if self._graphs is not None and (place := next(self._model.parameters()).data_ptr()) != self._place:
            self._steps, self._place = [], place  # graphs read the weights where they were

    def act(self, t: int) -> NDArray[Any]:
        """Actions ``[n, *action]`` for the observations of step ``t``; a view, valid until the next rollout.

        Call it in inference mode.
        """
        if self._on_host:
            self._sample(self._policy(self._inputs[t]), self._noise[t], out=self._actions[t])
            if self._emit is not None:
                self._host_actions[t].copy_(self._emit(self._actions[t]))
        else:
            self._launch(t)
            if self._on_cuda:  # the one wait of a step; on Metal the copy itself waits
                torch.cuda.current_stream(self._actions[t].device).synchronize()
        return self._host_action_rows[t]

    def fetch(self, t: int) -> None:
        """Copy the environments' latest observations to the row of step ``t``, without waiting."""
        if self._fetch is not None:
            self._fetch(t)
        elif self._host_obs is not None:
            tree_map(_copy, self._obs[t], self._host_obs)
        if self._memory is not None:
            self._memory.fetch(t)

    def _launch(self, t: int) -> None:
        if self._graphs is None:
            self._device_step(t)
            return
        if len(self._steps) == t:  # during the first rollout
            self._steps.append(self._captured(t, self._graphs))
        else:
            self._steps[t]()

    def _captured(self, t: int, graphs: Graphs) -> Callable[[], None]:
        results = [self._actions[t], self._host_actions[t], *(leaves(self._obs[t]) if t else ())]
        self._device_step(t)
        if self._on_cuda:  # the copy to the host is still under way
            torch.cuda.current_stream(self._actions[t].device).synchronize()
        memory = self._memory
        if memory is not None:
            results += [memory.states[t + 1], *([memory.began[t]] if t else [])]
        for result in results:  # spoil what is right by now, actions too: a graph that leaves something out shows
            result.fill_(torch.nan) if result.is_floating_point() else result.bitwise_not_()
        read = [self._noise[t], *leaves(self._host_obs), *leaves(self._obs[max(t - 1, 0)])]
        if memory is not None:
            read += [memory.states[t], *memory.read_at(t)]
        inputs = [*read, *self._model.parameters(), *self._model.buffers()]
        return graphs.capture(lambda: self._device_step(t), results, f"acting at step {t}", inputs)

    def _device_step(self, t: int) -> None:
        if t:  # the first row is the last of the rollout before
            self.fetch(t)
        self._sample(self._policy(self._inputs[t]), self._noise[t], out=self._actions[t])
        actions = self._actions[t] if self._emit is None else self._emit(self._actions[t])
        self._host_actions[t].copy_(actions, non_blocking=self._on_cuda)


def _copy(into: Tensor, source: Tensor) -> None:
    into.copy_(source, non_blocking=True)
