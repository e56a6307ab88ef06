"""The collector for environments on the learner's device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from a2c.collecting.action_noise import noise_for
from a2c.collecting.collector import Collector
from a2c.collecting.device_episodes import DeviceStatistics, EpisodeMeans
from a2c.collecting.device_infos import DeviceInfos
from a2c.collecting.device_steps import DeviceSteps
from a2c.collecting.ended_episodes import EndedEpisodes
from a2c.collecting.final_values import cleared, critic_of, spread_the_infinite, value_all_rows, value_truncated_rows
from a2c.collecting.going_on import GO_ON, START_OVER, calls_state, history_of, on_device, unfit
from a2c.collecting.memory_states import memory_states, recorded
from a2c.collecting.reward_normalizer import DeviceRewardNormalizer
from a2c.collecting.rollout_memory import empty_actions, empty_observations, start_from_end
from a2c.envs.device.lockstep import DeviceEnvs
from a2c.envs.rebuilding.calls import Call
from a2c.envs.seeding import TRAIN, env_seed
from a2c.machine.clock import ACT, ENV, LoopClock
from a2c.machine.graphs import Graphs
from a2c.maths.trees import Tree, leaves, tree_map
from a2c.network.acting import PolicyFunction, policy_of
from a2c.network.emission import emission_of
from a2c.network.protocol import Network, device_of
from a2c.rollout import Rollout
from a2c.settings.config import Config
from a2c.storage.plain_data import unpacked

log = logging.getLogger("a2c")

NO_LIST = "vectorization=device keeps no list of episodes; the metrics have their means"


class DeviceCollector:
    """As :class:`a2c.collecting.collector.Collector`, with everything on the device.

    With SAME_STEP autoreset nothing in a rollout waits for the device. With NEXT_STEP the host asks once a rollout how
    many rows were transitions, so that the count of env steps stays exact: schedules and the end of training depend on
    it. All tensors stay where they are, so that a CUDA graph can repeat a whole rollout.

    Args:
        envs: the environments; the constructor resets them.
        model: the network, on their device.
        cfg: the settings.
        update: index of the next update; a resumed run starts episodes of its own.
        clock: measures where the time goes; None: a new one.
        graphs: captures rollouts in a CUDA graph; None: kernel by kernel.
        notify: called with one line if ``graphs`` are there, but the environments cannot be captured.
    """

    def __init__(
        self,
        envs: DeviceEnvs,
        model: Network,
        cfg: Config,
        update: int = 0,
        *,
        clock: LoopClock | None = None,
        graphs: Graphs | None = None,
        notify: Callable[[str], None] = log.warning,
    ) -> None:
        self.envs, self.model, self.cfg = envs, model, cfg
        device = self.device = device_of(model)
        self.clock, self._episodes = clock or LoopClock(device), EpisodeMeans()
        self.ended = EndedEpisodes(cfg.log_info, lambda keys: None, notify, lacking=NO_LIST)
        steps, count = cfg.n_step, cfg.num_envs
        self.reward_normalizer = DeviceRewardNormalizer(count, cfg.gamma, device) if cfg.normalize_reward else None
        self._statistics = DeviceStatistics(count, device)
        self._noise_ahead = noise_for(model.distribution, cfg, device)
        self._noise = torch.empty_like(self._noise_ahead.of(update))
        self._emit = emission_of(model.distribution, model.spaces, device)
        self._acting, self._critic = policy_of(model, count), critic_of(model)
        self._policy: PolicyFunction = model.policy
        self._obs = empty_observations(model.spaces, steps + 1, count, device)
        self._memory = memory_states(model, steps, count)
        self._actions = empty_actions(model.distribution, steps, count, device)
        self._steps = DeviceSteps(steps, count, device)
        self._same_step = envs.mode is AutoresetMode.SAME_STEP
        self._infos = DeviceInfos(cfg.log_info, device, same_step=self._same_step)
        reached: Tree = tree_map(lambda part: part[1:], self._obs)
        self._final_obs: Tree = tree_map(torch.empty_like, reached) if self._same_step else reached
        self._resetting = torch.zeros(count, dtype=torch.bool, device=device)  # NEXT_STEP: the next row only resets
        # To run the critic on truncated rows alone, the host would have to wait to learn how many there are: on a GPU
        # that costs more than one forward pass of the critic on all rows.
        self._value_finals = value_truncated_rows if device.type == "cpu" else value_all_rows
        self._seed = env_seed(cfg.seed, TRAIN, 0, generation=update)
        self._calls: list[Call] = []
        self._begin(envs.reset(self._seed))
        self._graphs = graphs if envs.changing is not None else None
        self._again: Callable[[], None] | None = None  # repeats a rollout, once one has been captured
        if graphs is not None and self._graphs is None:
            notify("no CUDA graph for rollouts: the environments do not offer it, or reset in the next step")

    def collect(self, update: int) -> Rollout:
        """Act for ``n_step`` steps from where the last rollout ended.

        Returns:
            The rollout, in memory that the next one overwrites.

        Raises:
            EnvironmentFailure: the environments raised.
            ConfigError: they broke the contract.
        """
        self.clock.begin_rollout()
        with torch.inference_mode():
            self._noise.copy_(self._noise_ahead.of(update))
            self._policy = self._acting.begin()
            self.envs.draw(self.cfg.n_step)
            if self._graphs is None:
                self._act(self.clock.enter)
                self._account()
            elif self._again is None:
                read = [self._noise, *self.model.parameters(), *self.model.buffers()]
                self._again = self._graphs.capture(self._act_and_account, self._changing(), "rollouts", read)
            else:
                self._again()
        return self._steps.rollout(self._obs, self._actions, self._same_step, recorded(self._memory))

    def _act_and_account(self) -> None:
        self._act(lambda part: None)  # a clock may wait for the device, which a capture forbids
        self._account()

    def _act(self, enter: Callable[[str], None]) -> None:
        """Act ``n_step`` times and fill the memory."""
        sample, emit, act_on, policy = self.model.distribution.sample, self._emit, self.envs.step, self._policy
        self.envs.begin()
        tree_map(start_from_end, self._obs)
        rows = [tree_map(lambda part, t=t: part[t], self._obs) for t in range(self.cfg.n_step + 1)]
        resetting = None if self._same_step else self._resetting
        inputs: list[Any] = rows if self._memory is None else self._memory.begin().steps(rows)
        for t in range(self.cfg.n_step):
            enter(ACT)
            sample(policy(inputs[t]), self._noise[t], out=self._actions[t])
            enter(ENV)
            step = act_on(self._actions[t] if emit is None else emit(self._actions[t]))
            tree_map(Tensor.copy_, rows[t + 1], step.obs)
            self._steps.put(t, step)
            if self.cfg.log_info:
                self._infos.add(step.infos, self._steps.terminated[t], self._steps.truncated[t])
            if self._memory is not None:
                self._memory.end_step(t, self._steps.terminated, self._steps.truncated, resetting)
            if step.final_obs is not None:
                tree_map(lambda memory, part, t=t: memory[t].copy_(part), self._final_obs, step.final_obs)
        enter(ACT)  # values of final observations

    def _account(self) -> None:
        """From what the environments gave to what the learner takes; statistics on the way."""
        rewards, terminated, truncated = self._steps.rewards, self._steps.terminated, self._steps.truncated
        valid = None if self._same_step else self._steps.transitions(self._resetting)
        if valid is not None:
            rewards.masked_fill_(~valid, 0.0)
        truncated &= ~terminated  # terminated wins
        done = terminated | truncated
        self._statistics.check("reward", rewards)
        tree_map(lambda part: self._statistics.check("observation", part[1:]), self._obs)
        self._statistics.add(rewards, done, valid)
        if self.cfg.env.clip_reward:
            rewards.copy_(rewards.sign() + rewards * 0)  # what is not finite becomes NaN: the learner refuses it
        if self.reward_normalizer is not None:
            rewards.copy_(self.reward_normalizer(rewards, done, valid))
        finals: Tree = self._final_obs
        if self._same_step:
            # Rows that were not truncated may hold anything, even NaN.
            finals = cleared(finals, ~truncated)
            tree_map(lambda part: self._statistics.check("observation", part), finals)
        inputs: Tree = finals if self._memory is None else (finals, self._memory.after)
        self._value_finals(self._critic, inputs, truncated, self._steps.final_values)
        if self.model.normalizer is not None:
            spread_the_infinite(finals, self._steps.final_values)

    def _changing(self) -> list[Tensor]:
        """Every tensor that a rollout changes, in place."""
        memory = [self._actions, *self._steps.tensors, *self._infos.tensors]
        memory += [*([] if self._memory is None else self._memory.tensors), *(self.envs.changing or ())]
        normalizer = [] if self.reward_normalizer is None else self.reward_normalizer.tensors
        return [*leaves(self._obs), *leaves(self._final_obs), *memory, *self._statistics.tensors, *normalizer]

    @property
    def episode_count(self) -> int:
        """Episodes that ended so far; waits for the device."""
        return self._fetch()

    @episode_count.setter
    def episode_count(self, count: int) -> None:
        self._episodes.count = count

    def metrics(self) -> dict[str, float]:
        """Mean raw return and length of the episodes that ended since the last call, or the means before if none did.

        Raises:
            NumericError: an environment gave a reward or an observation that is not finite.
        """
        self._statistics.refuse_the_infinite()
        self._fetch()
        return self._episodes.report() | self.ended.report()

    def _fetch(self) -> int:
        ended = self._statistics.drain()
        self._episodes.add(ended)
        self.ended.add_sums(self._infos.drain(), ended.episodes)
        return self._episodes.count

    def call(self, call: Call) -> list[Any]:
        """Call a method of the vector environment before the next rollout; returns what it gave, in a list."""
        given = self.envs.call(call)
        self._calls.append(call)
        self._again = None  # a graph would repeat what the environments did before
        return given

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        self._fetch()
        normalizer = self.reward_normalizer
        memory = None if self._memory is None else self._memory.at(-1)
        here: Tree = tree_map(lambda part: part[-1], self._obs)
        return {
            "reward_normalizer": None if normalizer is None else normalizer.state_dict(),
            "episodes": self._episodes.state_dict(),
            "ended": self.ended.state_dict(),
            "calls": calls_state([(0, call) for call in self._calls]),
            "in_flight": on_device(self.envs.state_dict(), here, self._statistics.running, self._resetting, memory),
        }

    def load_state_dict(self, state: dict[str, Any]) -> str:
        """Go on from a state, before the first rollout; says in one line what came of the episodes in flight."""
        if "episodes" in state:  # not in files of version 0.1
            self._episodes.load_state_dict(state["episodes"])
        self.ended.load_state_dict(state.get("ended", {}))
        for _, call in history_of(state.get("calls")):
            self.call(call)
        saved = state.get("in_flight")
        why = unfit(saved, self.cfg.num_envs, "resetting", self.envs.no_state())
        if self.reward_normalizer is not None:
            self.reward_normalizer.load_state_dict(state["reward_normalizer"], bool(why))
        if saved is None or why:
            if self._calls:
                self._begin(self.envs.reset(self._seed))
            return f"{START_OVER}: {why}"
        self.envs.load_state_dict(unpacked(saved["envs"]))
        self._resetting.copy_(saved["resetting"])
        self._statistics.running.copy_(saved["statistics"])
        self._begin(saved["obs"])
        if self._memory is not None and "memory" in saved:
            self._memory.go_on(saved["memory"])
        return GO_ON

    def _begin(self, obs: Tree) -> None:
        """The next rollout starts from these observations."""
        tree_map(lambda memory, part: memory[-1].copy_(part), self._obs, obs)


AnyCollector = Collector | DeviceCollector
