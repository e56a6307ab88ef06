"""The collector stores what the environments gave, acts by the noise, and freezes the policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor
from torch.testing import assert_close

from a2c.collecting import collector as rollout_module
from a2c.collecting.collector import Collector
from a2c.envs.lockstep import LockstepEnvs, Step
from a2c.envs.seeding import TRAIN, env_seeds
from a2c.envs.single.wrappers import KeepFinalObservation
from a2c.envs.spaces import spaces_of
from a2c.learning.learner import Learner
from a2c.maths.noise import uniform_noise
from a2c.rollout import Rollout
from a2c.settings.config import Config
from builders import config, kept, make_model
from envs.toys import ScriptedEnv, TargetEnv

N, T = 3, 4
SCRIPTS = (
    ("go", "go", "truncated", "go", "terminated"),
    ("go", "truncated", "go", "go", "go", "both"),
    ("truncated", "go", "go", "go", "terminated", "go", "go"),
)
SCRIPTED = [partial(ScriptedEnv, i, script, (1.0, -2.0, 0.5)) for i, script in enumerate(SCRIPTS)]
TARGETS = [partial(TargetEnv, length=3 + i) for i in range(N)]
MODES = [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED]


class RecordedEnvs(LockstepEnvs):
    """Keeps a copy of all that went in and came out."""

    def reset(self, seeds: Any) -> Any:
        self.seeds = list(seeds)
        self.steps: list[Step] = []
        self.actions: list[np.ndarray] = []
        self.first = super().reset(seeds).copy()
        return self.first

    def send(self, actions: Any) -> None:
        self.actions.append(actions.copy())
        super().send(actions)

    def receive(self) -> Step:
        step = super().receive()
        self.steps.append(dataclasses.replace(step, obs=step.obs.copy()))
        return step


def collecting(
    env_fns: list[Callable[[], gym.Env]] = SCRIPTED,
    mode: AutoresetMode = AutoresetMode.SAME_STEP,
    update: int = 0,
    **changes: Any,
) -> tuple[Collector, RecordedEnvs, Config]:
    cfg = config(num_envs=N, n_step=T, **changes)
    safe = [lambda make=make: KeepFinalObservation(make()) for make in env_fns]
    envs = RecordedEnvs(SyncVectorEnv(safe, autoreset_mode=mode))
    model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg, spread=0.1)
    return Collector(envs, model, cfg, update), envs, cfg


@pytest.mark.parametrize("mode", MODES)
def test_rollout_holds_what_the_environments_gave(mode: AutoresetMode) -> None:
    collector, envs, cfg = collecting(mode=mode)
    assert envs.seeds == env_seeds(cfg.seed, TRAIN, N)
    before = torch.from_numpy(envs.first)
    for update in range(3):
        rollout = kept(collector.collect(update))
        steps = envs.steps[-T:]
        assert torch.equal(rollout.obs[0], before)  # the last row has become the first
        before = rollout.obs[-1]

        def stacked(name: str, steps: list[Step] = steps) -> Tensor:
            return torch.from_numpy(np.stack([getattr(step, name) for step in steps]))

        assert torch.equal(rollout.obs[1:], stacked("obs"))
        assert torch.equal(rollout.rewards, stacked("rewards"))
        assert torch.equal(rollout.terminated, stacked("terminated"))
        assert torch.equal(rollout.truncated, stacked("truncated"))
        assert torch.equal(rollout.actions, torch.from_numpy(np.stack(envs.actions[-T:])))
        valid = stacked("valid")
        if mode is AutoresetMode.NEXT_STEP:
            assert rollout.weight is not None
            assert torch.equal(rollout.weight, valid.float())
            assert not valid.all()
        else:
            assert rollout.weight is None
            assert valid.all()
        assert rollout.transitions == int(valid.sum())


def test_every_rollout_lies_in_the_same_memory() -> None:
    """CUDA graphs read and write where the first rollout lay."""
    collector, _, _ = collecting()
    first, second = collector.collect(0), collector.collect(1)
    for field in dataclasses.fields(Rollout):
        if isinstance(getattr(first, field.name), Tensor):
            assert getattr(first, field.name).data_ptr() == getattr(second, field.name).data_ptr(), field.name


def test_a_rollout_is_of_float32_whatever_an_environments_module_makes_the_default() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        collector, _, _ = collecting()
        rollout = collector.collect(0)
    finally:
        torch.set_default_dtype(torch.float32)
    for name in ("obs", "rewards", "final_values"):
        assert getattr(rollout, name).dtype is torch.float32, name


@pytest.mark.parametrize("elements", [1, 2 * T * N * 5, 1 << 16])  # noise for 1, 2 and many updates at once
def test_discrete_actions_are_the_argmax_of_logits_and_gumbel_noise(
    elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_module, "NOISE_ELEMENTS", elements)
    collector, _, cfg = collecting(seed=7)
    chosen = []
    for update in (0, 1, 2, 3, 4, 9, 4):  # also back and forth: nothing depends on what was drawn before
        rollout = collector.collect(update)
        uniform = uniform_noise(cfg.seed, range(update, update + 1), T, range(N), 5)[0]
        gumbel = -torch.log(-torch.log(uniform))
        with torch.no_grad():
            logits = torch.stack([collector.model.policy(rollout.obs[t]) for t in range(T)])
        assert torch.equal(rollout.actions, (logits + gumbel).argmax(-1))
        chosen.append(rollout.actions.clone())
    assert len(torch.cat(chosen).unique()) == 5  # they do vary


def test_continuous_actions_are_stored_as_drawn_and_clipped_at_the_door() -> None:
    collector, envs, cfg = collecting(TARGETS, seed=7)
    for update in range(3):
        rollout = collector.collect(update)
        uniform = uniform_noise(cfg.seed, range(update, update + 1), T, range(N), 4)[0]
        noise = collector.model.distribution.noise(uniform)
        with torch.no_grad():
            mean, log_std = torch.stack([collector.model.policy(rollout.obs[t]) for t in range(T)]).chunk(2, -1)
        assert_close(rollout.actions, mean + log_std.exp() * noise)
        assert (rollout.actions.abs() > 1).any()
        for t, step in enumerate(envs.steps[-T:]):  # this environment shows the action that it received
            going = torch.from_numpy(~(step.terminated | step.truncated))
            assert_close(torch.from_numpy(step.obs)[going], rollout.actions[t].clamp(-1, 1)[going])


@pytest.mark.parametrize("mode", MODES)
def test_a_truncated_row_is_valued_at_the_observation_that_the_clock_cut_off(mode: AutoresetMode) -> None:
    collector, envs, _ = collecting(mode=mode)
    count = 0
    for update in range(4):
        rollout = collector.collect(update)
        expected = torch.zeros(T, N)
        for t, step in enumerate(envs.steps[-T:]):
            for row, final in zip(step.final_rows, step.final_obs, strict=True):
                episode_of = float(rollout.obs[t, row, 1])
                assert final[1] == episode_of  # the environment shows its episode: not the next one's
                expected[t, row] = float(collector.model.value(torch.from_numpy(final[None])).detach())
                count += 1
        assert_close(rollout.final_values, expected)
        assert torch.equal(rollout.final_values != 0, rollout.truncated)
    assert count >= 5


def test_the_policy_and_its_normaliser_are_frozen_within_a_rollout_and_learn_once_after_it() -> None:
    collector, _, cfg = collecting(normalize_obs=True, mode=AutoresetMode.NEXT_STEP)
    learner = Learner(collector.model, cfg)
    normalizer = collector.model.normalizer
    assert normalizer is not None
    seen = []
    for update in range(3):
        frozen = {name: part.clone() for name, part in collector.model.state_dict().items()}
        rollout = collector.collect(update)
        for name, part in collector.model.state_dict().items():
            assert torch.equal(part, frozen[name]), name
        learner.update(rollout, update)
        seen.append(rollout.obs[:-1][torch.ones(T, N) > 0 if rollout.weight is None else rollout.weight > 0].clone())
        rows = torch.cat(seen)  # real transitions, each once; neither final observations nor the last row
        assert float(normalizer.count) == len(rows)
        assert_close(normalizer.mean, rows.double().mean(0))
        assert_close(normalizer.var, rows.double().var(0, correction=0))


@pytest.mark.parametrize("mode", MODES)
def test_rewards_are_divided_by_the_spread_of_the_running_return_and_reported_raw(mode: AutoresetMode) -> None:
    collector, envs, cfg = collecting(normalize_reward=True, gamma=0.9, mode=mode)
    running, seen = np.zeros(N), []
    for update in range(3):
        rollout = collector.collect(update)
        for step in envs.steps[-T:]:
            for i in np.flatnonzero(step.valid):
                running[i] = 0.9 * running[i] + step.rewards[i]
                seen.append(running[i])
                if step.terminated[i] or step.truncated[i]:
                    running[i] = 0.0
        raw = torch.from_numpy(np.stack([step.rewards for step in envs.steps[-T:]]))
        assert_close(rollout.rewards, raw / float(np.std(seen)))
    assert cfg.gamma == 0.9
    raw_returns = [episode.reward for episode in collector.episodes]
    assert collector.metrics()["rollout/ep_rew_mean"] == pytest.approx(np.mean(raw_returns))
    first = next(episode for episode in collector.episodes if episode.env == 0)
    expected = sum(float(step.rewards[0]) for step in envs.steps[: first.length])
    assert first.length == 3  # its script: go, go, truncated
    assert first.reward == pytest.approx(expected)


def test_bootstraps_are_in_the_units_of_the_model_and_not_scaled_again() -> None:
    collector, envs, _ = collecting(normalize_reward=True)
    rollout = collector.collect(0)
    step = next(step for step in envs.steps if len(step.final_rows))
    t = envs.steps.index(step)
    value = collector.model.value(torch.from_numpy(step.final_obs)).detach()
    assert_close(rollout.final_values[t, step.final_rows[0]], value[0])


def test_episode_metrics_are_absent_before_the_first_end_and_then_over_the_latest_hundred() -> None:
    collector, _, _ = collecting([partial(ScriptedEnv, i, ("go",) * 5 + ("terminated",), (1.0,)) for i in range(N)])
    collector.collect(0)  # 4 steps of 6
    assert collector.metrics() == {"rollout/episodes": 0}
    collector.collect(1)
    metrics = collector.metrics()
    assert metrics["rollout/episodes"] == 3
    assert metrics["rollout/ep_len_mean"] == 6.0
    for update in range(2, 60):
        collector.collect(update)
    assert collector.metrics()["rollout/episodes"] == 60 * T // 6 * N
    assert len(collector.episodes) == 100


def test_a_resumed_collector_starts_episodes_of_its_own() -> None:
    _, fresh, cfg = collecting(update=0)
    _, resumed, _ = collecting(update=8)
    assert fresh.seeds == env_seeds(cfg.seed, TRAIN, N)
    assert not set(fresh.seeds) & set(resumed.seeds)


def test_collecting_gives_the_learner_tensors_that_it_can_differentiate() -> None:
    collector, _, cfg = collecting()
    learner = Learner(collector.model, cfg)
    before = learner.weights.detach().clone()
    learner.update(collector.collect(0), 0)
    assert learner.weights.isfinite().all()
    assert not torch.equal(learner.weights, before)
