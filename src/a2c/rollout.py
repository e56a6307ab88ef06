"""A rollout, and the collector that fills it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.acting import Actor
from a2c.action_noise import ActionNoise
from a2c.clock import ACT, ENV, TRANSFER, UPDATE, LoopClock
from a2c.config import Config
from a2c.envs import Episode, LockstepEnvs
from a2c.envs.seeding import TRAIN, env_seeds
from a2c.model import ActorCritic
from a2c.normalize import RewardNormalizer
from a2c.spec import Spec
from a2c.transfer import HostBlock, page_locked, sent

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


def empty_actions(spec: Spec, steps: int, count: int, device: torch.device) -> Tensor:
    """Memory for the actions of a rollout: ``[T, N]`` int64, or ``[T, N, D]`` float32."""
    if spec.discrete:
        return torch.empty(steps, count, dtype=torch.int64, device=device)
    return torch.empty(steps, count, spec.actions, device=device)


@dataclass(slots=True)
class _Group:
    """Environments that step together while the policy serves the other groups."""

    envs: LockstepEnvs
    rows: slice
    actor: Actor
    host_obs: NDArray[Any] | None  # [n, *obs] where the device takes their observations from; None: where they lie


class Collector:
    """Steps the environments with the policy and writes what happens straight into the rollout's memory.

    The policy, its normaliser included, is frozen within a rollout; the memory is the same for every rollout, so
    that CUDA graphs find it. With several groups of environments one steps while the policy serves the next: the
    policy is frozen, so that nothing but the time it takes depends on the number of groups.

    Args:
        envs: the environments, or groups of them in order; reset here.
        model: acts and values, on its device.
        cfg: the settings.
        update: index of the first update to come; a resumed run starts episodes of its own.
        notify: told in a line when acting falls back to a slower way.
        first: global index of the first environment, where others belong to other collectors.
    """

    def __init__(
        self,
        envs: LockstepEnvs | Sequence[LockstepEnvs],
        model: ActorCritic,
        cfg: Config,
        update: int = 0,
        notify: Callable[[str], None] = print,
        *,
        first: int = 0,
    ) -> None:
        self.model, self.cfg = model, cfg
        self.device = next(model.parameters()).device
        self.reward_normalizer = RewardNormalizer(cfg.num_envs, cfg.gamma) if cfg.normalize_reward else None
        self.episodes: deque[Episode] = deque(maxlen=100)  # the latest, for the mean return
        self.episode_count = 0
        self.clock = LoopClock(self.device)

        spec, steps, count = model.spec, cfg.n_step, cfg.num_envs
        dtype = getattr(torch, spec.obs_dtype)
        self._obs = torch.empty(steps + 1, count, *spec.obs_shape, dtype=dtype, device=self.device)
        self._noise_ahead = ActionNoise(
            spec.distribution, cfg.seed, steps, count, self.device, first=first, elements=NOISE_ELEMENTS
        )
        # One number per action for a Gaussian, one per choice for a categorical: as many as the policy's head gives.
        self._noise = torch.empty(steps, count, spec.actions, device=self.device)
        self._actions = empty_actions(spec, steps, count, self.device)
        self._host_obs = self._obs.numpy() if self.device.type == "cpu" else None
        self._host = HostBlock(
            {"rewards": np.float32, "terminated": np.bool_, "truncated": np.bool_, "valid": np.bool_},
            (steps, count),
            self.device,
        )
        self._weight = torch.empty(steps, count, device=self.device)
        self._final_values = torch.zeros(steps, count, device=self.device)
        self._any_final = False

        seeds = env_seeds(cfg.seed, TRAIN, count, generation=update, first=first)
        self._groups: list[_Group] = []
        begin = 0
        for part in [envs] if isinstance(envs, LockstepEnvs) else envs:
            rows = slice(begin, begin := begin + part.num_envs)
            self._groups.append(self._group(part, rows, seeds[rows], notify))

    def collect(self, update: int) -> Rollout:
        """Act for ``n_step`` steps from where the last rollout ended.

        Returns:
            The rollout, in memory that the next one overwrites.

        Raises:
            EnvironmentFailure: an environment raised, died, hung or broke its contract.
            NumericError: a reward or an observation is not finite.
        """
        self.clock.begin_rollout()
        finals = self._act(update)
        self._count_episodes()
        rollout = self._rollout(finals)
        self.clock.enter(UPDATE)  # what is done with it
        return rollout

    def _group(self, envs: LockstepEnvs, rows: slice, seeds: Sequence[int], notify: Callable[[str], None]) -> _Group:
        """Reset these environments, and make their first observations those where the first rollout starts."""
        first = envs.reset(seeds)
        source: Tensor | None = None  # what the device copies observations from
        host_obs: NDArray[Any] | None = None
        if self.device.type != "cpu":
            on_cuda = self.device.type == "cuda"
            source = page_locked(envs.observations) if on_cuda and envs.observations is not None else None
            if source is None:
                source = torch.empty(first.shape, dtype=self._obs.dtype, pin_memory=on_cuda)
                host_obs = source.numpy()
        actor = Actor(
            self.model,
            self._obs[:, rows],
            self._noise[:, rows],
            self._actions[:, rows],
            source,
            graphs=self.cfg.cuda_graphs and self.device.type == "cuda",
            notify=notify,
        )
        group = _Group(envs, rows, actor, host_obs)
        self._put(group, self.cfg.n_step, first)
        actor.fetch(self.cfg.n_step)
        return group

    @torch.inference_mode()
    def _act(self, update: int) -> list[tuple[int, NDArray[Any], NDArray[Any]]]:
        """Fill the memory; returns (t, environments, final observations) of every truncated row."""
        finals: list[tuple[int, NDArray[Any], NDArray[Any]]] = []
        self._noise.copy_(self._noise_ahead.of(update))
        self._obs[0].copy_(self._obs[-1])
        for group in self._groups:
            group.actor.begin()
        enter = self.clock.enter
        for t in range(self.cfg.n_step):
            for group in self._groups:
                if t:
                    self._receive(group, t, finals)
                enter(ACT)
                actions = group.actor.act(t)
                enter(ENV)
                group.envs.send(actions)
        for group in self._groups:
            self._receive(group, self.cfg.n_step, finals)
            self.clock.copy(partial(group.actor.fetch, self.cfg.n_step), within_acting=self.cfg.n_step - 1)
            enter(ENV)
        return finals

    def _receive(self, group: _Group, t: int, finals: list[tuple[int, NDArray[Any], NDArray[Any]]]) -> None:
        """Wait for a group's step t-1 and write down what it gave; where it led is observed at step t."""
        step, rows, host = group.envs.receive(), group.rows, self._host.arrays
        self._put(group, t, step.obs)
        host["rewards"][t - 1, rows], host["valid"][t - 1, rows] = step.rewards, step.valid
        host["terminated"][t - 1, rows], host["truncated"][t - 1, rows] = step.terminated, step.truncated
        if len(step.final_rows):
            finals.append((t - 1, step.final_rows + rows.start, step.final_obs))

    def _put(self, group: _Group, t: int, obs: NDArray[Any]) -> None:
        """Where the device will take the observations of step t from."""
        if group.host_obs is not None:
            group.host_obs[...] = obs
        elif self._host_obs is not None:
            self._host_obs[t, group.rows] = obs

    def _rollout(self, finals: list[tuple[int, NDArray[Any], NDArray[Any]]]) -> Rollout:
        host = self._host.arrays
        if self.reward_normalizer is not None:
            done = host["terminated"] | host["truncated"]
            host["rewards"][...] = self.reward_normalizer(host["rewards"], done, host["valid"])
        transitions = int(np.count_nonzero(host["valid"]))
        self.clock.enter(TRANSFER)
        sent = self._host.send()
        self.clock.enter(ACT)  # values of final observations
        return Rollout(
            obs=self._obs,
            actions=self._actions,
            rewards=sent["rewards"],
            terminated=sent["terminated"],
            truncated=sent["truncated"],
            final_values=self._value_of(finals),
            weight=None if transitions == host["valid"].size else self._weight.copy_(sent["valid"]),
            transitions=transitions,
        )

    @torch.no_grad()
    def _value_of(self, finals: list[tuple[int, NDArray[Any], NDArray[Any]]]) -> Tensor:
        """V(final observation) of truncated rows: one extra forward, only when there are any."""
        if self._any_final:
            self._final_values.zero_()
        self._any_final = bool(finals)
        if finals:
            times = sent(np.concatenate([np.full(len(rows), t) for t, rows, _ in finals]), self.device)
            rows = sent(np.concatenate([rows for _, rows, _ in finals]), self.device)
            obs = sent(np.concatenate([obs for _, _, obs in finals]), self.device)
            self._final_values[times, rows] = self.model.value(obs.to(self._obs.dtype))
        return self._final_values

    def _count_episodes(self) -> None:
        for group in self._groups:
            finished = group.envs.drain_episodes()
            self.episodes.extend(finished)
            self.episode_count += len(finished)

    def metrics(self) -> dict[str, float]:
        """Returns and lengths over the latest 100 episodes; the mean is absent before the first ends."""
        return episode_means(self.episodes, self.episode_count)

    def state_dict(self) -> dict[str, Any]:
        normalizer = self.reward_normalizer
        return {"reward_normalizer": None if normalizer is None else normalizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.reward_normalizer is not None:
            self.reward_normalizer.load_state_dict(state["reward_normalizer"])


def episode_means(episodes: Collection[Episode], count: int) -> dict[str, float]:
    """The metrics of the latest episodes, of ``count`` in all; the means are absent before the first ends."""
    found: dict[str, float] = {"rollout/episodes": count}
    if episodes:
        found["rollout/ep_rew_mean"] = float(np.mean([episode.reward for episode in episodes]))
        found["rollout/ep_len_mean"] = float(np.mean([episode.length for episode in episodes]))
    return found
