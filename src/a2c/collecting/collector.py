"""The collector: it fills a rollout by stepping environments on the host."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from a2c.collecting.action_noise import noise_for
from a2c.collecting.ended_episodes import EndedEpisodes
from a2c.collecting.final_values import Finals, FinalValues
from a2c.collecting.going_on import calls_state, in_flight_state, to_episodes, to_tensor
from a2c.collecting.group import Group, go_on
from a2c.collecting.memory_states import memory_states, recorded
from a2c.collecting.reward_normalizer import MomentsOf, RewardNormalizer
from a2c.collecting.rollout_memory import empty_actions, empty_observations, start_from_end
from a2c.collecting.witness import Witness
from a2c.envs.episodes import Episode, episode_means
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.rebuilding.calls import Call
from a2c.envs.seeding import TRAIN, env_seeds
from a2c.machine.clock import ACT, ENV, TRANSFER, LoopClock
from a2c.machine.graphs import Graphs
from a2c.machine.transfer import HostBlock
from a2c.maths.trees import tree_map
from a2c.network.protocol import Network, device_of
from a2c.rollout import Rollout
from a2c.settings.config import Config

log = logging.getLogger("a2c")

NOISE_ELEMENTS = 1 << 16  # draw noise for as many updates at once as need no more numbers than this


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
        moments_of: computes the moments of a rollout's returns over all ranks; None: there are no others.
        leaves: columns of environments whose final observations are valued apart, as they act; None: all at once.
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
        moments_of: MomentsOf | None = None,
        leaves: Sequence[slice] | None = None,
    ) -> None:
        self.model, self.cfg = model, cfg
        self.device = device_of(model)
        scales = RewardNormalizer(cfg.num_envs, cfg.gamma, moments_of=moments_of) if cfg.normalize_reward else None
        self.reward_normalizer = scales
        # The latest, for the mean return; of more than a hundred environments one each, or short ones crowd in.
        self.episodes: deque[Episode] = deque(maxlen=max(100, cfg.num_envs))
        self.episode_count = 0
        self.clock = LoopClock(self.device) if clock is None else clock

        distribution, steps, count = model.distribution, cfg.n_step, cfg.num_envs
        self._obs = empty_observations(model.spaces, steps + 1, count, self.device)
        self._noise_ahead = noise_for(distribution, cfg, self.device, first=first, elements=NOISE_ELEMENTS)
        self._noise = torch.empty_like(self._noise_ahead.of(update))
        self._actions = empty_actions(distribution, steps, count, self.device)
        self._memory = memory_states(model, steps, count)
        self._host = HostBlock(
            {"rewards": np.float32, "terminated": np.bool_, "truncated": np.bool_, "valid": np.bool_},
            (steps, count),
            self.device,
        )
        self._weight = torch.empty(steps, count, dtype=torch.float32, device=self.device)
        self._inference = torch.inference_mode()  # one object: making it costs as much as entering

        self._witness = Witness(self._obs, self._actions, self._host.arrays, first)
        self._dropped: list[int] = []  # environments whose episode was lost in this rollout
        self._start = -1  # row of the observations where the next rollout starts, or the one under way did
        seeds = env_seeds(cfg.seed, TRAIN, count, generation=update, first=first)
        memory = (self._obs, self._noise, self._actions, self._memory)
        self._groups: list[Group] = []
        begin = 0
        for part in [envs] if isinstance(envs, LockstepEnvs) else envs:
            rows = slice(begin, begin := begin + part.num_envs)
            self._groups.append(Group(part, rows, model, *memory, seeds[rows], graphs, notify))
        zeros = torch.zeros(steps, count, dtype=torch.float32, device=self.device)
        stacked = self._groups[0].stacks is not None
        after = None if self._memory is None else self._memory.after
        self._final_values = FinalValues(model, self._obs, stacked, zeros, after, leaves)
        self.ended = EndedEpisodes(cfg.log_info, self._note, notify)

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

    def _act(self, update: int) -> Finals:
        """Fill the memory; returns the final observations of truncated rows."""
        finals: Finals = []
        acting = self._inference  # around acting alone: environments in this process may have gradients of their own
        with acting:
            self._noise.copy_(self._noise_ahead.of(update))
            tree_map(start_from_end, self._obs)
            if self._memory is not None:
                self._memory.begin()
            self._start = 0
            for group in self._groups:
                group.envs.continuity.mark()
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
        for group in self._groups:
            group.envs.continuity.settle()
        self._start = -1
        return finals

    def _receive(self, group: Group, t: int, finals: Finals) -> None:
        """Wait for a group's step t-1 and write down its results; its observations are those of step t."""
        step, rows, host = self._witness.receive(group.envs, group.rows, t), group.rows, self._host.arrays
        group.put(t, step.obs, step.began)
        host["rewards"][t - 1, rows], host["valid"][t - 1, rows] = step.rewards, step.valid
        host["terminated"][t - 1, rows], host["truncated"][t - 1, rows] = step.terminated, step.truncated
        if step.dropped:
            self._dropped += [rows.start + env for env in step.dropped]
        if len(step.final_rows):
            finals.append((t - 1, step.final_rows + rows.start, step.final_obs))

    def _rollout(self, finals: Finals) -> Rollout:
        host = self._host.arrays
        if self._dropped:
            self._drop()
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
            final_values=self._final_values.of(finals),
            weight=None if transitions == host["valid"].size else self._weight.copy_(sent["valid"]),
            transitions=transitions,
            **recorded(self._memory),
        )

    def _drop(self) -> None:
        """Leave out what came of environments whose episode was lost in the middle: nothing of it is one trajectory."""
        for name, array in self._host.arrays.items():
            array[:, self._dropped] = False if name == "valid" else 0
        if self.reward_normalizer is not None:
            self.reward_normalizer.running[self._dropped] = 0.0
        self._dropped = []

    def _count_episodes(self) -> None:
        """Note the episodes that ended in a rollout, in the order in which they did, whatever the groups."""
        ended = []
        for group in self._groups:
            for episode in group.envs.drain_episodes():
                episode.env += group.rows.start
                ended.append(episode)
        ended.sort(key=lambda episode: (episode.step, episode.env))
        self.episodes.extend(ended)
        self.episode_count += len(ended)
        self.ended.add(ended)

    def metrics(self) -> dict[str, float]:
        """Mean return and length of the latest episodes, absent before the first ends, the count of all, and infos."""
        return episode_means(self.episodes, self.episode_count) | self.ended.report()

    def call(self, call: Call) -> list[Any]:
        """Call a method of every environment before the next rollout; returns what they gave."""
        return [result for group in self._groups for result in group.call(call)]

    def _note(self, keys: Sequence[str] | None) -> None:
        for group in self._groups:
            group.envs.last_infos.note(keys)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; of a rollout that was not finished, as of its beginning."""
        normalizer = self.reward_normalizer
        here = tree_map(lambda part: part[self._start], self._obs)
        remembered = None if self._memory is None else self._memory.at(self._start)
        return {
            "reward_normalizer": None if normalizer is None else normalizer.state_dict(),
            "episodes": to_tensor(self.episodes),
            "ended": self.ended.state_dict(),
            "calls": calls_state(self._groups[-1].envs.continuity.calls()),
            "in_flight": in_flight_state([group.envs for group in self._groups], here, remembered),
        }

    def load_state_dict(self, state: dict[str, Any]) -> str:
        """Go on from a state, before the first rollout; says in one line what came of the episodes in flight.

        Raises:
            EnvironmentFailure: an environment raised when its episode was played again.
        """
        self.episodes.extend(to_episodes(state["episodes"]) if "episodes" in state else ())
        self.ended.load_state_dict(state.get("ended", {}))
        failed, told = go_on(self._groups, state, self.cfg.num_envs)
        if self.reward_normalizer is not None:
            self.reward_normalizer.load_state_dict(state["reward_normalizer"], list(failed))
        return told
