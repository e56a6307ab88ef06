"""What steps on the device gave, in the memory of the rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from a2c.envs.device.lockstep import DeviceStep
from a2c.maths.trees import Tree
from a2c.rollout import Rollout


class DeviceSteps:
    """T steps of N environments.

    Args:
        steps: T.
        count: N.
        device: of all tensors.
    """

    def __init__(self, steps: int, count: int, device: torch.device) -> None:
        self.rewards = torch.empty(steps, count, dtype=torch.float32, device=device)
        self.terminated, self.truncated = torch.empty(2, steps, count, dtype=torch.bool, device=device)
        self.final_values = torch.zeros(steps, count, dtype=torch.float32, device=device)
        self._valid = torch.ones(steps, count, dtype=torch.bool, device=device)
        self._weight = torch.empty(steps, count, dtype=torch.float32, device=device)

    @property
    def tensors(self) -> list[Tensor]:
        """What a rollout in SAME_STEP changes."""
        return [self.rewards, self.terminated, self.truncated, self.final_values]

    def put(self, t: int, step: DeviceStep) -> None:
        """Write down step ``t``."""
        self.rewards[t].copy_(step.rewards)
        self.terminated[t].copy_(step.terminated)
        self.truncated[t].copy_(step.truncated)

    def transitions(self, resetting: Tensor) -> Tensor:
        """``[T, N]``: False where the row before ended an episode, so that this one is only a reset (NEXT_STEP).

        Args:
            resetting: ``[N]``, where the first row is one; becomes that of the next rollout.
        """
        ended = self.terminated | self.truncated
        torch.logical_not(torch.cat((resetting.unsqueeze(0), ended[:-1])), out=self._valid)
        resetting.copy_(ended[-1])
        return self._valid

    def rollout(self, obs: Tree, actions: Tensor, same_step: bool, states: dict[str, Tensor]) -> Rollout:
        """The rollout, on this memory.

        Args:
            obs, actions, states: of it.
            same_step: every row is a transition; else the host waits to learn how many are.
        """
        transitions = self.rewards.numel() if same_step else int(self._valid.sum())
        return Rollout(
            obs=obs,
            actions=actions,
            rewards=self.rewards,
            terminated=self.terminated,
            truncated=self.truncated,
            final_values=self.final_values,
            weight=None if transitions == self.rewards.numel() else self._weight.copy_(self._valid),
            transitions=transitions,
            **states,
        )
