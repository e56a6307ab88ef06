"""What a network with a memory remembers, step by step, beside the observations in the memory of the rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.collecting.rollout_memory import start_from_end
from a2c.machine.device import on_host
from a2c.network.acting import Recollection
from a2c.network.memory import cleared
from a2c.network.protocol import Network, remembers


class MemoryStates:
    """The state before each step of a rollout, for all environments or for a group of them.

    A state stands here as the step before left it. Acting and learning both clear it where an episode begins, before
    they use it; so the value of a final observation, which comes before that, still finds the state of its episode.

    Args:
        states: ``[T+1, N, S]`` on the device.
        began: ``[T+1, N]`` bool on the device, an episode begins with the observation of this step.
    """

    def __init__(self, states: Tensor, began: Tensor) -> None:
        self.states, self.began = states, began
        self._began_rows: NDArray[np.bool_] | None = began.numpy() if on_host(began.device) else None
        self._arrived = torch.empty(began.shape[1:], dtype=torch.bool, pin_memory=began.is_cuda)  # the device copies it
        self._arrived_row: NDArray[np.bool_] = self._arrived.numpy()

    def of(self, rows: slice) -> MemoryStates:
        """Those of some environments, in the same memory."""
        return MemoryStates(self.states[:, rows], self.began[:, rows])

    @property
    def after(self) -> Tensor:
        """``[T, N, S]``: the state that each step left, of the episode that it belongs to."""
        return self.states[1:]

    @property
    def tensors(self) -> list[Tensor]:
        """What a rollout changes."""
        return [self.states, self.began]

    def steps(self, obs: Sequence[Any]) -> list[Recollection]:
        """What the policy takes at each of T steps, given the observations of each."""
        rows = zip(obs, self.began, self.states, self.states[1:], strict=False)
        return [(here, began, before, after) for here, began, before, after in rows]

    def begin(self) -> MemoryStates:
        """Begin a rollout where the last one ended; returns itself."""
        start_from_end(self.states)
        start_from_end(self.began)
        return self

    def put(self, t: int, began: NDArray[np.bool_]) -> None:
        """Note where episodes begin with the observations of step ``t``, ``[N]``; on a device :meth:`fetch` follows."""
        if self._began_rows is not None:
            self._began_rows[t] = began
        else:
            self._arrived_row[...] = began

    def fetch(self, t: int) -> None:
        """Bring to the device what :meth:`put` noted for step ``t``, without waiting."""
        if self._began_rows is None:
            self.began[t].copy_(self._arrived, non_blocking=True)

    def end_step(self, t: int, terminated: Tensor, truncated: Tensor, resetting: Tensor | None) -> None:
        """Write where an episode begins after step ``t``, for environments on the device.

        Args:
            t: of the rollout.
            terminated, truncated: ``[T, N]`` bool, up to this step.
            resetting: ``[N]`` bool, where step 0 is a reset of NEXT_STEP, which comes a step after the end of the
                episode before; None: with SAME_STEP the next episode begins at once.
        """
        began, ended = self.began[t + 1], t if resetting is None else t - 1
        if ended >= 0:
            torch.logical_or(terminated[ended], truncated[ended], out=began)
        elif resetting is not None:
            began.copy_(resetting)

    def read_at(self, t: int) -> list[Tensor]:
        """What a step ``t`` on a device reads besides its state."""
        return [self._arrived if t else self.began[0]]

    def at(self, t: int) -> Tensor:
        """``[N, S]``, a copy on the host: what step ``t`` starts from, for a checkpoint."""
        return cleared(self.states[t], self.began[t]).detach().to("cpu", copy=True)

    def go_on(self, saved: Tensor, envs: Sequence[int] | slice = slice(None)) -> None:
        """The next rollout starts from the states of :meth:`at`, in environments whose episodes go on."""
        self.states[-1, envs] = saved[envs].to(self.states.device)
        self.began[-1, envs] = False


def memory_states(model: Network, steps: int, count: int) -> MemoryStates | None:
    """Memory for the states of a rollout, on the network's device, where episodes are about to begin.

    Args:
        model: the network; without a memory there are no states.
        steps, count: T and N.
    """
    if not remembers(model):
        return None
    states = model.initial_memory(count).detach().repeat(steps + 1, 1, 1)
    return MemoryStates(states, torch.ones(steps + 1, count, dtype=torch.bool, device=states.device))


def recorded(memory: MemoryStates | None) -> dict[str, Tensor]:
    """What a rollout holds of them, by the names of :class:`a2c.rollout.Rollout`."""
    return {} if memory is None else {"memory": memory.states, "began": memory.began}
