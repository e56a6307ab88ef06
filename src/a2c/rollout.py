"""A rollout, and the collector that fills it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a2c.config import Config
from a2c.envs import Episode, LockstepEnvs
from a2c.envs.seeding import TRAIN, env_seeds
from a2c.model import ActorCritic
from a2c.noise import uniform_noise
from a2c.normalize import RewardNormalizer

NOISE_ELEMENTS = 1 << 16  # noise is drawn for as many updates at once as fit this


@dataclass(slots=True)
class Rollout:
    """T lockstep steps of N environments, time-major, on the learner's device."""

    obs: Tensor  # [T+1, N, *obs]  raw; the last row is where the next rollout starts
    actions: Tensor  # [T, N] int64 or [T, N, D] float32, as drawn
    rewards: Tensor  # [T, N]
    terminated: Tensor  # [T, N] bool  the world ended: nothing follows
    truncated: Tensor  # [T, N] bool  the clock ended: bootstrap from final_values
    final_values: Tensor  # [T, N]  V(final observation) where truncated, else 0
    weight: Tensor | None  # [T, N]  0 for rows that are no transition, else 1; None: all are transitions
    transitions: int  # valid rows, known to the host


class Collector:
    """Steps the environments with the policy and writes what happens straight into device buffers.

    The policy, its normaliser included, is frozen within a rollout; the buffers are reused by the
    next one.

    Args:
        envs: the environments; reset here.
        model: acts and values, on its device.
        cfg: the settings.
        update: index of the first update to come; a resumed run starts episodes of its own.
    """

    def __init__(self, envs: LockstepEnvs, model: ActorCritic, cfg: Config, update: int = 0) -> None:
        self.envs, self.model, self.cfg = envs, model, cfg
        self.device = next(model.parameters()).device
        self.reward_normalizer = RewardNormalizer(cfg.num_envs, cfg.gamma) if cfg.normalize_reward else None
        self.episodes: deque[Episode] = deque(maxlen=100)  # the latest, for the mean return
        self.episode_count = 0
        self.env_seconds = self.act_seconds = 0.0

        spec, steps, count = model.spec, cfg.n_step, cfg.num_envs
        pinned = self.device.type == "cuda"
        dtype = getattr(torch, spec.obs_dtype)
        host_obs = torch.empty(steps + 1, count, *spec.obs_shape, dtype=dtype, pin_memory=pinned)
        self._obs = host_obs if self.device.type == "cpu" else torch.empty_like(host_obs, device=self.device)
        self._host_obs, self._host_obs_rows = host_obs, host_obs.numpy()
        action_shape = () if spec.discrete else (spec.actions,)
        action_dtype = torch.int64 if spec.discrete else torch.float32
        self._actions = torch.empty(steps, count, *action_shape, dtype=action_dtype, device=self.device)
        self._rewards = np.zeros((steps, count), np.float32)
        self._terminated = np.zeros((steps, count), np.bool_)
        self._truncated = np.zeros((steps, count), np.bool_)
        self._valid = np.ones((steps, count), np.bool_)
        self._noise_updates = range(0)
        self._noise = torch.empty(0)

        self._host_obs_rows[-1] = envs.reset(env_seeds(cfg.seed, TRAIN, count, generation=update))
        self._to_device(-1)

    def collect(self, update: int) -> Rollout:
        """Act for ``n_step`` steps from where the last rollout ended.

        Raises:
            EnvironmentFailure: an environment raised, died, hung or broke its contract.
            NumericError: a reward or an observation is not finite.
        """
        finals = self._act(self._noise_of(update))
        self._count_episodes()
        return self._rollout(finals)

    @torch.inference_mode()
    def _act(self, noise: Tensor) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Fill the buffers; returns (t, environments, final observations) of every truncated row."""
        finals: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._obs[0].copy_(self._obs[-1])
        for t in range(self.cfg.n_step):
            started = time.perf_counter()
            action = self.model.distribution.sample(self.model.policy(self._obs[t]), noise[t])
            self._actions[t] = action
            host_action = action.cpu().numpy()  # the one wait for the device in a step
            acted = time.perf_counter()
            step = self.envs.step(host_action)
            self._host_obs_rows[t + 1] = step.obs
            self._rewards[t], self._valid[t] = step.rewards, step.valid
            self._terminated[t], self._truncated[t] = step.terminated, step.truncated
            if len(step.final_rows):
                finals.append((t, step.final_rows, step.final_obs))
            stepped = time.perf_counter()
            self._to_device(t + 1)
            self.act_seconds += acted - started
            self.env_seconds += stepped - acted
        return finals

    @torch.no_grad()
    def _rollout(self, finals: list[tuple[int, np.ndarray, np.ndarray]]) -> Rollout:
        rewards = self._rewards
        if self.reward_normalizer is not None:
            rewards = self.reward_normalizer(rewards, self._terminated | self._truncated, self._valid)
        transitions = int(self._valid.sum())
        return Rollout(
            obs=self._obs,
            actions=self._actions,
            rewards=self._copied(rewards),
            terminated=self._copied(self._terminated),
            truncated=self._copied(self._truncated),
            final_values=self._final_values(finals),
            weight=None if transitions == self._valid.size else self._copied(self._valid.astype(np.float32)),
            transitions=transitions,
        )

    def _final_values(self, finals: list[tuple[int, np.ndarray, np.ndarray]]) -> Tensor:
        """V(final observation) of truncated rows: one extra forward, only when there are any."""
        values = torch.zeros(self._rewards.shape, device=self.device)
        if finals:
            times = np.concatenate([np.full(len(rows), t) for t, rows, _ in finals])
            rows = np.concatenate([rows for _, rows, _ in finals])
            obs = np.concatenate([obs for _, _, obs in finals])
            index = (torch.from_numpy(times).to(self.device), torch.from_numpy(rows).to(self.device))
            values[index] = self.model.value(torch.from_numpy(obs).to(self.device, self._obs.dtype))
        return values

    def _noise_of(self, update: int) -> Tensor:
        """``[T, N, K]``: drawn for many updates at once, since small tensors cost more to launch than to fill."""
        if update not in self._noise_updates:
            distribution, steps, count = self.model.distribution, self.cfg.n_step, self.cfg.num_envs
            ahead = max(1, NOISE_ELEMENTS // (steps * count * distribution.noise_size))
            self._noise_updates = range(update, update + ahead)
            uniform = uniform_noise(
                self.cfg.seed, self._noise_updates, steps, range(count), distribution.noise_size, self.device
            )
            self._noise = distribution.noise(uniform)
        return self._noise[update - self._noise_updates.start]

    def _to_device(self, row: int) -> None:
        if self._obs is not self._host_obs:
            self._obs[row].copy_(self._host_obs[row], non_blocking=True)

    def _copied(self, array: np.ndarray) -> Tensor:
        """A copy on the device: the host's buffers are written again by the next rollout."""
        return torch.from_numpy(array.copy()).to(self.device)

    def _count_episodes(self) -> None:
        finished = self.envs.drain_episodes()
        self.episodes.extend(finished)
        self.episode_count += len(finished)

    def metrics(self) -> dict[str, float]:
        """Returns and lengths over the latest 100 episodes; the mean is absent before the first ends."""
        found: dict[str, float] = {"rollout/episodes": self.episode_count}
        if self.episodes:
            found["rollout/ep_rew_mean"] = float(np.mean([episode.reward for episode in self.episodes]))
            found["rollout/ep_len_mean"] = float(np.mean([episode.length for episode in self.episodes]))
        return found

    def state_dict(self) -> dict[str, Any]:
        normalizer = self.reward_normalizer
        return {"reward_normalizer": None if normalizer is None else normalizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.reward_normalizer is not None:
            self.reward_normalizer.load_state_dict(state["reward_normalizer"])
