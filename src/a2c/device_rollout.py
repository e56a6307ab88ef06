"""The collector of environments that live on the learner's device."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from a2c.action_noise import ActionNoise
from a2c.clock import ACT, ENV, UPDATE, LoopClock
from a2c.config import Config
from a2c.device_envs.adapter import DeviceEnvs
from a2c.device_statistics import DeviceStatistics
from a2c.envs.seeding import TRAIN, env_seed
from a2c.model import ActorCritic
from a2c.normalize import DeviceRewardNormalizer
from a2c.passes import policy_of
from a2c.rollout import Collector, Rollout, empty_actions


class DeviceCollector:
    """As :class:`a2c.rollout.Collector`, with everything on the device: actions, noise, rewards, flags, statistics.

    Where environments reset in the same step, nothing in a rollout waits for the device. In NEXT_STEP the host asks
    once a rollout how many rows were transitions: the count of env steps, which schedules and the end of training go
    by, stays exact.

    Args:
        envs: the environments; reset here.
        model: acts and values, on their device.
        cfg: the settings.
        update: index of the first update to come; a resumed run starts episodes of its own.
    """

    def __init__(self, envs: DeviceEnvs, model: ActorCritic, cfg: Config, update: int = 0) -> None:
        self.envs, self.model, self.cfg = envs, model, cfg
        self.device = device = next(model.parameters()).device
        self.clock = LoopClock(device)
        self._count = 0
        self._means: dict[str, float] = {}
        spec, steps, count = model.spec, cfg.n_step, cfg.num_envs
        self.reward_normalizer = DeviceRewardNormalizer(count, cfg.gamma, device) if cfg.normalize_reward else None
        self._statistics = DeviceStatistics(count, device)
        self._noise = ActionNoise(model.distribution, cfg.seed, steps, count, device)

        self._obs = torch.empty(steps + 1, count, *spec.obs_shape, dtype=getattr(torch, spec.obs_dtype), device=device)
        self._actions = empty_actions(spec, steps, count, device)
        self._rewards = torch.empty(steps, count, device=device)
        self._terminated, self._truncated = torch.empty(2, steps, count, dtype=torch.bool, device=device)
        self._weight = torch.empty(steps, count, device=device)
        self._final_values = torch.zeros(steps, count, device=device)
        self._same_step = envs.mode is AutoresetMode.SAME_STEP
        self._final_obs = torch.empty_like(self._obs[1:]) if self._same_step else self._obs[1:]
        self._resetting = torch.zeros(count, dtype=torch.bool, device=device)  # NEXT_STEP: the coming row resets
        self._obs[-1].copy_(envs.reset(env_seed(cfg.seed, TRAIN, 0, generation=update)))

    def collect(self, update: int) -> Rollout:
        """Act for ``n_step`` steps from where the last rollout ended.

        Returns:
            The rollout, in memory that the next one overwrites.

        Raises:
            EnvironmentFailure: the environments raised.
            ConfigError: they broke the contract.
        """
        self.clock.begin_rollout()
        self._act(update)
        with torch.no_grad():
            rollout = self._rollout()
        self.clock.enter(UPDATE)  # what is done with it
        return rollout

    @torch.inference_mode()
    def _act(self, update: int) -> None:
        """Fill the memory with what the environments give."""
        noise, enter = self._noise.of(update), self.clock.enter
        policy, sample = policy_of(self.model, self.envs.num_envs), self.model.distribution.sample
        act_on = self.envs.step
        self._obs[0].copy_(self._obs[-1])
        for t in range(self.cfg.n_step):
            enter(ACT)
            sample(policy(self._obs[t]), noise[t], out=self._actions[t])
            enter(ENV)
            step = act_on(self._actions[t])
            self._obs[t + 1].copy_(step.obs)
            self._rewards[t].copy_(step.rewards)
            self._terminated[t].copy_(step.terminated)
            self._truncated[t].copy_(step.truncated)
            if step.final_obs is not None:
                self._final_obs[t].copy_(step.final_obs)
        enter(ACT)  # values of final observations

    def _rollout(self) -> Rollout:
        rewards, terminated, truncated = self._rewards, self._terminated, self._truncated
        valid = None if self._same_step else self._transitions()
        if valid is not None:
            rewards.masked_fill_(~valid, 0.0)
        truncated &= ~terminated  # terminated wins
        done = terminated | truncated
        self._statistics.check("reward", rewards)
        self._statistics.check("observation", self._obs[1:])
        self._statistics.add(rewards, done, valid)
        if self.cfg.env.clip_reward:
            rewards.sign_()
        if self.reward_normalizer is not None:
            rewards.copy_(self.reward_normalizer(rewards, done, valid))
        transitions = rewards.numel() if valid is None else int(valid.sum())  # the one wait, in NEXT_STEP
        return Rollout(
            obs=self._obs,
            actions=self._actions,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            final_values=self._value_finals(),
            weight=None if valid is None or transitions == rewards.numel() else self._weight.copy_(valid),
            transitions=transitions,
        )

    def _transitions(self) -> Tensor:
        """``[T, N]``: False where the row before ended an episode, so that this one only reset."""
        ended = self._terminated | self._truncated
        valid = ~torch.cat((self._resetting.unsqueeze(0), ended[:-1]))
        self._resetting = ended[-1]
        return valid

    def _value_finals(self) -> Tensor:
        """V(final observation) where truncated, else 0.

        On the CPU of the truncated rows alone. Elsewhere of every row, since the host would have to wait to learn how
        many there are: one forward of the critic, where an update takes two networks forward and back.
        """
        truncated, values = self._truncated, self._final_values
        rows = truncated.view(*truncated.shape, *[1] * (self._final_obs.ndim - 2))
        # Where nothing was truncated anything may lie, even what is no number.
        finals = self._final_obs.masked_fill(~rows, 0) if self._same_step else self._final_obs
        if self._same_step:
            self._statistics.check("observation", finals)
        if self.device.type != "cpu":
            values.copy_(self.model.value(finals.flatten(0, 1)).view_as(values))
            return values.masked_fill_(~truncated, 0.0)
        values.zero_()
        picked = truncated.nonzero(as_tuple=True)
        if len(picked[0]):
            values[picked] = self.model.value(finals[picked])
        return values

    @property
    def episode_count(self) -> int:
        """Episodes that ended so far; waits for the device."""
        self._fetch()
        return self._count

    @episode_count.setter
    def episode_count(self, count: int) -> None:
        self._count = count

    def metrics(self) -> dict[str, float]:
        """Returns and lengths, raw, over all episodes that ended since the last call, or the ones before if none did.

        Raises:
            NumericError: an environment gave a reward or an observation that is not finite.
        """
        self._fetch()
        return {"rollout/episodes": self._count, **self._means}

    def _fetch(self) -> None:
        ended = self._statistics.drain()
        self._count += ended.episodes
        if ended.episodes:
            self._means = {
                "rollout/ep_rew_mean": ended.reward / ended.episodes,
                "rollout/ep_len_mean": ended.length / ended.episodes,
            }

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; raises as :meth:`metrics`, so that nothing saved has seen what is no number."""
        self._fetch()
        normalizer = self.reward_normalizer
        return {"reward_normalizer": None if normalizer is None else normalizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.reward_normalizer is not None:
            self.reward_normalizer.load_state_dict(state["reward_normalizer"])


AnyCollector = Collector | DeviceCollector
