"""CartPole for thousands of environments on one device: Gymnasium's CartPole-v1 in torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from a2c.maths.noise import uniform_noise

GRAVITY, FORCE, SECONDS = 9.8, 10.0, 0.02  # m/s^2, N, of one step
POLE, TOTAL, HALF_LENGTH = 0.1, 1.1, 0.5  # kg, kg, m: of the pole, of pole and cart, half the pole's length
X_LIMIT, ANGLE_LIMIT = 2.4, 12 * 2 * math.pi / 360  # m, rad: beyond them the episode ends
START = 0.05  # each of the four numbers of a start is uniform in +-START
DRAW_AHEAD = 1 << 20  # numbers to draw at once: starts for as many steps as they suffice for
STEPS = 64  # to draw for where the caller does not say how many come


def next_state(state: Tensor, actions: Tensor) -> Tensor:
    """State after one step, by explicit Euler integration.

    Args:
        state: ``[N, 4]``: position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
        actions: ``[N]``, 1 pushes right and 0 left.

    Returns:
        ``[N, 4]``, in the dtype of ``state``.

    Source: Barto, Sutton & Anderson 1983; Florian 2007, "Correct equations for the dynamics of the cart-pole system",
    eq. 23 and 24, without friction; ``gymnasium.envs.classic_control.cartpole``. Constants are folded, so that a step
    is some twelve operations: results are the same up to rounding.
    """
    _, x_dot, angle, spin = state.unbind(-1)
    sin, cos = torch.sin(angle), torch.cos(angle)
    push = (actions.to(state.dtype) * (2 * FORCE / TOTAL)).sub_(FORCE / TOTAL)  # per kg of pole and cart
    push = torch.addcmul(push, spin.square(), sin, value=POLE * HALF_LENGTH / TOTAL)
    torque = torch.addcmul(sin * GRAVITY, cos, push, value=-1)
    inertia = cos.square().mul_(-HALF_LENGTH * POLE / TOTAL).add_(HALF_LENGTH * 4 / 3)
    spin_rate = torque / inertia
    x_rate = torch.addcmul(push, spin_rate, cos, value=-POLE * HALF_LENGTH / TOTAL)
    return torch.add(state, torch.stack((x_dot, x_rate, spin, spin_rate), -1), alpha=SECONDS)


class CartPole(VectorEnv[Tensor, Tensor, Tensor]):
    """N cart-poles in torch, reset in the same step; nothing in a step waits for the device.

    The start of an episode depends only on (seed, environment, step at which the last episode ended). All that a step
    changes lies in tensors that never move, so that a rollout of steps can be a CUDA graph
    (:class:`a2c.envs.device.capturable.Capturable`).

    Args:
        num_envs: N.
        max_episode_steps: steps after which an episode is truncated.
        device: where everything lives.
        render_mode: None; Gymnasium passes it.
    """

    def __init__(
        self, num_envs: int, max_episode_steps: int = 500, device: torch.device | str = "cpu", render_mode: None = None
    ) -> None:
        self.num_envs, self.max_episode_steps, self.device = num_envs, max_episode_steps, torch.device(device)
        self.render_mode = render_mode
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        high = np.array([2 * X_LIMIT, np.inf, 2 * ANGLE_LIMIT, np.inf], np.float32)
        self.single_observation_space, self.single_action_space = Box(-high, high, dtype=np.float32), Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._limits = torch.tensor([X_LIMIT, ANGLE_LIMIT], dtype=torch.float32, device=self.device)
        self._rewards = torch.ones(num_envs, dtype=torch.float32, device=self.device)
        self._state = torch.zeros(num_envs, 4, dtype=torch.float32, device=self.device)
        self._ages = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self._starts = self._ahead = torch.empty(0, num_envs, 4, dtype=torch.float32, device=self.device)
        self._seed = self._next = self._at = self._ahead_first = 0
        self._drew_alone = False  # the steps of the latest draw are counted here, not by whoever draws

    @property
    def changing(self) -> list[Tensor]:
        """The tensors that a step changes."""
        return [self._state, self._ages]

    def draw(self, steps: int) -> None:
        """Draw where episodes start that begin in the next ``steps`` steps; unused ones are lost."""
        self._drew_alone = False
        if len(self._starts) != steps:
            self._starts = torch.empty(steps, self.num_envs, 4, dtype=torch.float32, device=self.device)
        # Counted here and not by the steps: a graph repeats them without Python.
        first, self._next = self._next, self._next + steps
        # Many draws at once: a small tensor costs more to launch than to fill.
        start = first - self._ahead_first
        if not 0 <= start <= len(self._ahead) - steps:
            count = max(1, DRAW_AHEAD // (4 * self.num_envs * steps)) * steps
            self._ahead, self._ahead_first, start = self._drawn(first, count), first, 0
        self._starts.copy_(self._ahead[start : start + steps])
        self._at = 0

    def begin(self) -> None:
        """The next step is the first of those that :meth:`draw` was for."""
        self._at = 0

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, as plain data; ask when all steps that :meth:`draw` was for are taken."""
        unused = len(self._starts) - self._at if self._drew_alone else 0
        return {
            "state": self._state.to("cpu", copy=True),
            "ages": self._ages.to("cpu", copy=True),
            "seed": self._seed,
            "next": self._next - unused,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of :meth:`get_state`."""
        self._state.copy_(state["state"])
        self._ages.copy_(state["ages"])
        self._seed, self._next = state["seed"], state["next"]
        self._at, self._starts, self._ahead = 0, self._starts[:0], self._ahead[:0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Tensor, dict[str, Any]]:
        """Start a new episode everywhere.

        Returns:
            ``[N, 4]`` float32 observations, which the next step overwrites, and no infos.
        """
        super().reset(seed=seed)
        self._seed = int(self.np_random.integers(2**32)) if seed is None else int(seed)
        self._state.copy_(self._drawn(0, 1)[0])
        self._ages.zero_()
        self._next, self._at, self._ahead = 1, 0, self._ahead[:0]
        self._starts = self._starts[:0]
        return self._state, {}

    def step(self, actions: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Push every cart once.

        Args:
            actions: ``[N]``, 0 or 1.

        Returns:
            ``[N, 4]`` observations, which the next step overwrites, ``[N]`` rewards (1), terminated and truncated;
            ``infos["final_obs"]`` is ``[N, 4]``, the observations before any reset.
        """
        if self._at == len(self._starts):  # nobody draws for us
            self.draw(STEPS)
            self._drew_alone = True
        final = next_state(self._state, torch.as_tensor(actions, device=self.device))
        self._ages += 1
        terminated = (final[:, ::2].abs() > self._limits).any(-1)
        truncated = self._ages >= self.max_episode_steps
        done = terminated | truncated
        torch.where(done.unsqueeze(-1), self._starts[self._at], final, out=self._state)
        self._ages.masked_fill_(done, 0)
        self._at += 1
        return self._state, self._rewards, terminated, truncated, {"final_obs": final}

    def _drawn(self, first: int, steps: int) -> Tensor:
        """``[steps, N, 4]``: the start of a new episode if the old one ends at that step, for steps from ``first``."""
        numbers, envs = range(first, first + steps), range(self.num_envs)
        return uniform_noise(self._seed, numbers, 1, envs, 4, self.device).squeeze(1).mul_(2 * START).sub_(START)
