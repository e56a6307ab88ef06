"""The collector: it fills a rollout by stepping environments on the host."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.collecting.action_noise import ActionNoise
from a2c.collecting.actor import Actor
from a2c.collecting.frame_stacks import DeviceStacks, HostStacks, continued, stacks_of
from a2c.collecting.reward_normalizer import RewardNormalizer
from a2c.collecting.rollout_memory import arrivals, empty_actions, empty_observations, start_from_end
from a2c.envs.episodes import Episode, episode_means
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.seeding import TRAIN, env_seeds
from a2c.machine.clock import ACT, ENV, TRANSFER, LoopClock
from a2c.machine.device import on_host
from a2c.machine.graphs import Graphs
from a2c.machine.transfer import HostBlock, sent
from a2c.maths.trees import tree_map
from a2c.network.protocol import Network, device_of
from a2c.rollout import Rollout
from a2c.settings.config import Config

log = logging.getLogger("a2c")

NOISE_ELEMENTS = 1 << 16  # draw noise for as many updates at once as need no more numbers than this


Finals = list[tuple[int, NDArray[Any], Any]]  # (t, environments, their final observations), of truncated rows


@dataclass(slots=True)
class _Group:
    """Environments that step together while the policy serves the other groups."""

    envs: LockstepEnvs
    rows: slice
    actor: Actor
    host_obs: Any  # [n, *obs] a tree to fill, from which the device copies; None: it needs none
    stacks: HostStacks | DeviceStacks | None  # None: environments give whole observations


class Collector:
    """Steps the environments with the policy and writes what happens straight into the rollout's memory.

    The policy, with its normaliser, is frozen within a rollout. All rollouts share one memory, so that CUDA graphs find
    it. With several groups of environments, one group steps while the policy serves the next; because the policy is
    frozen, only the time it takes depends on the number of groups.

    Args:
        envs: the environments, or groups of them in order; the constructor resets them.
        model: the network, on its device.
        cfg: the settings.
        update: index of the next update; a resumed run starts episodes of its own.
        clock: measures where the time goes; None: a new one.
        graphs: captures acting in CUDA graphs; None: kernel by kernel.
        notify: called with one line when observations cannot take the quickest way to the device.
        first: global index of the first environment; above 0 where other collectors have the ones before.
    """

    def __init__(
        self,
        envs: LockstepEnvs | Sequence[LockstepEnvs],
        model: Network,
        cfg: Config,
        update: int = 0,
        *,
        clock: LoopClock | None = None,
        graphs: Graphs | None = None,
        notify: Callable[[str], None] = log.warning,
        first: int = 0,
    ) -> None:
        self.model, self.cfg = model, cfg
        self.device = device_of(model)
        self.reward_normalizer = RewardNormalizer(cfg.num_envs, cfg.gamma) if cfg.normalize_reward else None
        # The latest, for the mean return; of more than a hundred environments one each, or short ones crowd in.
        self.episodes: deque[Episode] = deque(maxlen=max(100, cfg.num_envs))
        self.episode_count = 0
        self.clock = LoopClock(self.device) if clock is None else clock

        distribution, steps, count = model.distribution, cfg.n_step, cfg.num_envs
        self._obs = empty_observations(model.spaces, steps + 1, count, self.device)
        self._noise_ahead = ActionNoise(
            distribution, cfg.seed, steps, count, self.device, first=first, elements=NOISE_ELEMENTS
        )
        self._noise = torch.empty_like(self._noise_ahead.of(update))
        self._actions = empty_actions(distribution, steps, count, self.device)
        self._on_host = on_host(self.device)
        self._host_obs = tree_map(Tensor.numpy, self._obs) if self._on_host else None
        self._host = HostBlock(
            {"rewards": np.float32, "terminated": np.bool_, "truncated": np.bool_, "valid": np.bool_},
            (steps, count),
            self.device,
        )
        self._weight = torch.empty(steps, count, dtype=torch.float32, device=self.device)
        self._final_values = torch.zeros(steps, count, dtype=torch.float32, device=self.device)
        self._any_final = False
        self._inference = torch.inference_mode()  # one object: making it costs as much as entering

        seeds = env_seeds(cfg.seed, TRAIN, count, generation=update, first=first)
        self._groups: list[_Group] = []
        begin = 0
        for part in [envs] if isinstance(envs, LockstepEnvs) else envs:
            rows = slice(begin, begin := begin + part.num_envs)
            self._groups.append(self._group(part, rows, seeds[rows], graphs, notify))

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
        return self._rollout(finals)

    def _group(
        self,
        envs: LockstepEnvs,
        rows: slice,
        seeds: Sequence[int],
        graphs: Graphs | None,
        notify: Callable[[str], None],
    ) -> _Group:
        """Reset these environments; the first rollout starts from their first observations."""
        first = envs.reset(seeds)
        source, host_obs = (None, None) if self._on_host else arrivals(first, envs.observations, self._obs, notify)
        stacks = None if envs.frames is None else stacks_of(envs.frames, self._obs, rows, source, host_obs)
        actor = Actor(
            self.model,
            tree_map(lambda part: part[:, rows], self._obs),
            self._noise[:, rows],
            self._actions[:, rows],
            source,
            graphs,
            fetch=None if stacks is None else stacks.fetch,
        )
        group = _Group(envs, rows, actor, host_obs, stacks)
        self._put(group, self.cfg.n_step, first, np.ones(envs.num_envs, np.bool_))
        actor.fetch(self.cfg.n_step)
        return group

    def _act(self, update: int) -> Finals:
        """Fill the memory; returns the final observations of truncated rows."""
        finals: Finals = []
        acting = self._inference  # around acting alone: environments in this process may have gradients of their own
        with acting:
            self._noise.copy_(self._noise_ahead.of(update))
            tree_map(start_from_end, self._obs)
            for group in self._groups:
                group.actor.begin()
        enter = self.clock.enter
        for t in range(self.cfg.n_step):
            for group in self._groups:
                if t:
                    self._receive(group, t, finals)
                enter(ACT)
                with acting:
                    actions = group.actor.act(t)
                enter(ENV)
                group.envs.send(actions)
        for group in self._groups:
            self._receive(group, self.cfg.n_step, finals)
            self.clock.copy(partial(group.actor.fetch, self.cfg.n_step), within_acting=self.cfg.n_step - 1)
            enter(ENV)
        return finals

    def _receive(self, group: _Group, t: int, finals: Finals) -> None:
        """Wait for a group's step t-1 and write down its results; its observations are those of step t."""
        step, rows, host = group.envs.receive(), group.rows, self._host.arrays
        self._put(group, t, step.obs, step.began)
        host["rewards"][t - 1, rows], host["valid"][t - 1, rows] = step.rewards, step.valid
        host["terminated"][t - 1, rows], host["truncated"][t - 1, rows] = step.terminated, step.truncated
        if len(step.final_rows):
            finals.append((t - 1, step.final_rows + rows.start, step.final_obs))

    def _put(self, group: _Group, t: int, obs: Any, began: NDArray[np.bool_]) -> None:
        """Write observations where the device reads those of step t."""
        if group.stacks is not None:
            group.stacks.put(t, obs, began)
        elif group.host_obs is not None:
            tree_map(lambda host, part: host.__setitem__(..., part), group.host_obs, obs)
        elif isinstance(self._host_obs, np.ndarray):  # the fast path
            self._host_obs[t, group.rows] = obs
        elif self._host_obs is not None:
            tree_map(lambda host, part: host.__setitem__((t, group.rows), part), self._host_obs, obs)

    def _rollout(self, finals: Finals) -> Rollout:
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
    def _value_of(self, finals: Finals) -> Tensor:
        """V(final observation) of truncated rows: one extra forward, only when there are any."""
        if self._any_final:
            self._final_values.zero_()
        self._any_final = bool(finals)
        if finals:
            times = sent(np.concatenate([np.full(len(rows), t) for t, rows, _ in finals]), self.device)
            rows = sent(np.concatenate([rows for _, rows, _ in finals]), self.device)

            def on_device(memory: Tensor, *parts: NDArray[Any]) -> Tensor:
                final = sent(np.concatenate(parts), self.device).to(memory.dtype)
                return final if self._groups[0].stacks is None else continued(memory[times, rows], final)

            self._final_values[times, rows] = self.model.value(
                tree_map(on_device, self._obs, *(obs for _, _, obs in finals))
            )
        return self._final_values

    def _count_episodes(self) -> None:
        """Note the episodes that ended in a rollout, in the order in which they did, whatever the groups."""
        ended = [(group.rows.start, episode) for group in self._groups for episode in group.envs.drain_episodes()]
        ended.sort(key=lambda each: (each[1].step, each[0] + each[1].env))
        self.episodes.extend(episode for _, episode in ended)
        self.episode_count += len(ended)

    def metrics(self) -> dict[str, float]:
        """Mean return and length of the latest episodes, absent before the first ends, and the count of all."""
        return episode_means(self.episodes, self.episode_count)

    def state_dict(self) -> dict[str, Any]:
        normalizer = self.reward_normalizer
        return {"reward_normalizer": None if normalizer is None else normalizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.reward_normalizer is not None:
            self.reward_normalizer.load_state_dict(state["reward_normalizer"])
