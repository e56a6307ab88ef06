"""The device collector does what the host's does, and asks the device for nothing on its way."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor
from torch.testing import assert_close

from a2c.api import load_config
from a2c.collecting.action_noise import ActionNoise
from a2c.collecting.collector import Collector
from a2c.collecting.device_collector import DeviceCollector
from a2c.collecting.device_episodes import DeviceStatistics, Ended
from a2c.collecting.final_values import value_all_rows
from a2c.collecting.going_on import GO_ON
from a2c.collecting.reward_normalizer import DeviceRewardNormalizer, RewardNormalizer
from a2c.envs.device.cartpole import CartPole
from a2c.envs.device.lockstep import DeviceEnvs, DeviceStep
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.rebuilding.calls import Call
from a2c.envs.spaces import spaces_of
from a2c.errors import ConfigError, EnvironmentFailure, NumericError
from a2c.learning.learner import Learner
from a2c.maths.noise import uniform_noise
from a2c.rollout import Rollout
from a2c.settings.config import Config
from a2c.trainer import train
from builders import config, kept, make_model
from capturing import Operations
from device_toys import CountingDevice, Spoiled, TargetDevice, WildDevice
from sessions import differences

N, T = 6, 5
CPU = torch.device("cpu")
MODES = ["SameStep", "NextStep"]


class RecordedEnvs(DeviceEnvs):
    """Keeps a copy of all that went in and came out."""

    def reset(self, seed: int) -> Tensor:
        self.seed, self.steps, self.actions = seed, [], []
        self.first = super().reset(seed).clone()
        return self.first

    def step(self, actions: Tensor) -> DeviceStep:
        self.actions.append(actions.clone())
        step = super().step(actions)
        parts = {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}
        kept = {name: it.clone() if isinstance(it, Tensor) else it for name, it in parts.items()}
        self.steps.append(DeviceStep(**kept))
        return step

    def stacked(self, name: str) -> Tensor:
        """``[T, N, *]`` of the latest rollout."""
        return torch.stack([getattr(step, name) for step in self.steps[-T:]])


def collecting(vector: Any, update: int = 0, **changes: Any) -> tuple[DeviceCollector, RecordedEnvs, Config]:
    cfg = config(num_envs=vector.num_envs, n_step=T, **changes)
    envs = RecordedEnvs(vector, CPU)
    model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg, spread=0.1)
    return DeviceCollector(envs, model, cfg, update), envs, cfg


def transitions(envs: RecordedEnvs) -> list[list[tuple[float, bool, bool]]]:
    """Of each environment, all that it went through, resets left out: (reward, terminated, truncated)."""
    streams = []
    for i in range(envs.num_envs):
        stream, resets = [], False
        for step in envs.steps:
            terminated, truncated = bool(step.terminated[i]), bool(step.truncated[i])
            if not resets:
                stream.append((float(step.rewards[i]), terminated, truncated))
            resets = not resets and (terminated or truncated) and envs.mode is AutoresetMode.NEXT_STEP
        streams.append(stream)
    return streams


def episodes(envs: RecordedEnvs) -> list[tuple[float, int]]:
    """(return, length) of every episode that ended."""
    found = []
    for stream in transitions(envs):
        total, length = 0.0, 0
        for reward, terminated, truncated in stream:
            total, length = total + reward, length + 1
            if terminated or truncated:
                found.append((total, length))
                total, length = 0.0, 0
    return found


@pytest.mark.parametrize("mode", MODES)
def test_rollout_holds_what_the_environments_gave(mode: str) -> None:
    collector, envs, cfg = collecting(WildDevice(N, mode), seed=7)
    before, count, both = envs.first, 0, 0
    for update in range(4):
        rollout = kept(collector.collect(update))
        assert torch.equal(rollout.obs[0], before)  # the last row has become the first
        before = rollout.obs[-1]
        assert torch.equal(rollout.obs[1:], envs.stacked("obs"))
        assert torch.equal(rollout.actions, torch.stack(envs.actions[-T:]))
        uniform = uniform_noise(cfg.seed, range(update, update + 1), T, range(N), 2)[0]
        with torch.no_grad():
            logits = torch.stack([collector.model.policy(rollout.obs[t]) for t in range(T)])
        assert torch.equal(rollout.actions, (logits - torch.log(-torch.log(uniform))).argmax(-1))
        valid = torch.ones(T, N) > 0 if rollout.weight is None else rollout.weight > 0
        assert torch.equal(rollout.rewards[valid], envs.stacked("rewards")[valid])
        assert torch.equal(rollout.terminated[valid], envs.stacked("terminated")[valid])
        terminated, truncated = envs.stacked("terminated"), envs.stacked("truncated")
        assert torch.equal(rollout.truncated[valid], (truncated & ~terminated)[valid])
        assert not (rollout.rewards != 0)[~valid].any()
        count += rollout.transitions
        both += int((terminated & truncated).sum())
        assert rollout.transitions == int(valid.sum())
        assert count == sum(map(len, transitions(envs)))
    assert both > 0
    assert (count < 4 * T * N) == (mode == "NextStep")


@pytest.mark.parametrize("mode", MODES)
def test_a_truncated_row_is_valued_at_the_observation_that_the_clock_cut_off(mode: str) -> None:
    collector, envs, _ = collecting(WildDevice(N, mode))
    count = 0
    for update in range(4):
        rollout = collector.collect(update)
        final_obs = envs.stacked("obs" if mode == "NextStep" else "final_obs")
        for t, i in rollout.truncated.nonzero().tolist():
            assert float(final_obs[t, i, 0]) == 3 + i % 3  # it shows the age at which its clock runs out
            assert_close(rollout.final_values[t, i], collector.model.value(final_obs[t, i][None])[0].detach())
            count += 1
        assert torch.equal(rollout.final_values != 0, rollout.truncated)
    assert count > 20


def test_every_rollout_lies_in_the_same_memory() -> None:
    collector, _, _ = collecting(WildDevice(N))
    first, second = collector.collect(0), collector.collect(1)
    for field in dataclasses.fields(Rollout):
        if isinstance(getattr(first, field.name), Tensor):
            assert getattr(first, field.name).data_ptr() == getattr(second, field.name).data_ptr(), field.name


def test_continuous_actions_are_stored_as_drawn_and_clipped_at_the_door() -> None:
    collector, envs, _ = collecting(TargetDevice(N), seed=7)
    for update in range(3):
        rollout = collector.collect(update)
        assert (rollout.actions.abs() > 1).any()
        assert torch.equal(envs.stacked("obs"), rollout.actions.clamp(-1, 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("changes", [{}, {"env": {"clip_reward": True}}, {"normalize_reward": True}])
def test_reports_are_of_raw_returns_of_all_episodes_since_the_last_one(mode: str, changes: dict[str, Any]) -> None:
    collector, envs, _ = collecting(WildDevice(N, mode), **changes)
    known = 0
    for update in range(12):
        rollout = collector.collect(update)
        if "env" in changes:
            assert {-1, 1} <= set(rollout.rewards.unique().tolist()) <= {-1, 0, 1}
        if update in (0, 1, 4, 11):
            # environment by environment: what is new since the last report is at no one place
            found = episodes(envs)
            metrics = collector.metrics()
            assert metrics["rollout/episodes"] == collector.episode_count == len(found)
            new = len(found) - known
            assert new > 0
            total = sum(reward for reward, _ in found) - getattr(collector, "seen_reward", 0.0)
            steps = sum(length for _, length in found) - getattr(collector, "seen_length", 0)
            assert metrics["rollout/ep_rew_mean"] == pytest.approx(total / new)
            assert metrics["rollout/ep_len_mean"] == pytest.approx(steps / new)
            known = len(found)
            collector.seen_reward = sum(reward for reward, _ in found)  # type: ignore[attr-defined]
            collector.seen_length = sum(length for _, length in found)  # type: ignore[attr-defined]
            assert collector.metrics() == metrics  # nothing ended since: the same again


class Levelled(CountingDevice):
    """Its level is in its last infos, and in every reward; get_state does not know it."""

    level = 0.0

    def harder(self, by: float) -> float:
        self.level += by
        return self.level

    def step(self, actions: Any) -> Any:
        obs, rewards, terminated, truncated, infos = super().step(actions)
        said = {"level": torch.full((self.num_envs,), self.level), "length": self.lengths.float()}
        said["length"][~(terminated | truncated)] = torch.nan  # what did not end may say anything
        infos |= {"final_info": said} if self.mode is AutoresetMode.SAME_STEP else said
        return obs, rewards + self.level, terminated, truncated, infos

    def get_state(self) -> Any:
        return {"count": self.count.clone(), "done": self.done.clone()}

    def set_state(self, state: Any) -> None:
        self.count.copy_(state["count"])
        self.done.copy_(state["done"])


@pytest.mark.parametrize("mode", MODES)
def test_infos_of_ended_episodes_are_averaged(mode: str) -> None:
    told: list[str] = []
    cfg = config(num_envs=2, n_step=12, log_info=["length", "level", "lacking"])
    envs = DeviceEnvs(Levelled([2, 5], mode=mode), CPU)
    collector = DeviceCollector(envs, make_model(envs.spaces, cfg), cfg, notify=told.append)
    collector.collect(0)
    found = collector.metrics()
    # In 12 steps: six episodes of 2 and two of 5; where a reset takes a step, four of 2 and two of 5.
    short = 6 if mode == "SameStep" else 4
    assert found["episode/length"] == pytest.approx((2 * short + 5 * 2) / (short + 2))
    assert found["episode/level"] == 0
    assert "episode/lacking" not in found
    collector.call(Call("harder", (3.0,), {}))
    collector.collect(1)
    again = DeviceCollector(DeviceEnvs(Levelled([2, 5], mode=mode), CPU), make_model(envs.spaces, cfg), cfg)
    assert again.load_state_dict(collector.state_dict()) == GO_ON  # with the sums of a report to come, and the call
    assert collector.metrics()["episode/level"] == again.metrics()["episode/level"] == 3
    assert torch.equal(collector.collect(2).rewards, again.collect(2).rewards)
    assert told == [line for line in told if "has the key 'lacking'" in line]
    assert len(told) == 1
    with pytest.raises(ConfigError, match="keeps no list of episodes"):
        collector.ended.kept()
    with pytest.raises(EnvironmentFailure, match="raised AttributeError in the call of 'hardr'"):
        collector.call(Call("hardr", (), {}))


def test_before_the_first_end_there_is_no_mean() -> None:
    collector, _, _ = collecting(TargetDevice(N))  # never ends
    collector.collect(0)
    assert collector.metrics() == {"rollout/episodes": 0}


def test_sums_stay_exact_over_long_episodes() -> None:
    statistics = DeviceStatistics(1, CPU)
    never = torch.zeros(1000, 1, dtype=torch.bool)
    for _ in range(100):
        statistics.add(torch.full((1000, 1), 0.1), never, None)
    assert statistics.drain() == Ended(0, 0.0, 0.0)  # what is in progress is not told
    statistics.add(torch.full((1000, 1), 0.1), torch.arange(1000)[:, None] == 499, None)
    ended = statistics.drain()
    assert (ended.episodes, ended.length) == (1, 100_500)
    assert ended.reward == pytest.approx(100_500 * float(torch.tensor(0.1)), rel=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
def test_rewards_are_normalised_as_on_the_host(gaps: bool) -> None:
    draw = np.random.default_rng(0)
    host, device = RewardNormalizer(N, 0.9), DeviceRewardNormalizer(N, 0.9, CPU)
    for _ in range(5):
        rewards = (draw.normal(size=(T, N)) * 50 + 20).astype(np.float32)
        done = draw.random((T, N)) < 0.3
        valid = np.ones((T, N), np.bool_)
        if gaps:
            valid[1:] = ~done[:-1]
            done &= valid
            rewards[~valid] = 0
        raw = torch.from_numpy(rewards).double()
        given = raw.clone()
        found = device(given, torch.from_numpy(done), torch.from_numpy(valid) if gaps else None)
        assert torch.equal(given, raw)
        assert_close(found.float(), torch.from_numpy(host(rewards, done, valid)))
    other = DeviceRewardNormalizer(N, 0.9, CPU)
    other.load_state_dict(host.state_dict())
    for state in (device.state_dict(), other.state_dict()):
        expected = host.state_dict()
        assert_close(state.pop("running"), expected.pop("running"))
        assert state == pytest.approx(expected)


@pytest.mark.parametrize("gae_lambda", [1.0, 0.95])
def test_the_same_environments_teach_the_same_through_the_host(gae_lambda: float) -> None:
    """Bit for bit: observations, actions, targets, weights."""
    cfg = config(
        num_envs=16,
        n_step=T,
        seed=3,
        gae_lambda=gae_lambda,
        normalize_obs=True,
        normalize_advantage=True,
        max_grad_norm=0.5,
    )
    runs = []
    for on_device in (False, True):
        vector = CartPole(cfg.num_envs, max_episode_steps=12)
        envs: Any = DeviceEnvs(vector, CPU) if on_device else LockstepEnvs(vector)
        model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg, spread=0.01)
        learner = Learner(model, cfg)
        collector = DeviceCollector(envs, model, cfg) if on_device else Collector(envs, model, cfg)
        rollouts = []
        for update in range(12):
            rollouts.append(kept(collector.collect(update)))
            learner.update(rollouts[-1], 0)
        runs.append((rollouts, learner.weights.detach().clone(), collector.metrics()))
    (here, weights, metrics), (there, device_weights, device_metrics) = runs
    for expected, found in zip(here, there, strict=True):
        for field in dataclasses.fields(Rollout):
            one, other = getattr(expected, field.name), getattr(found, field.name)
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, field.name
    assert sum(int(rollout.truncated.sum()) for rollout in there) > 20
    assert sum(int(rollout.terminated.sum()) for rollout in there) > 10
    assert torch.equal(weights, device_weights)
    assert metrics["rollout/episodes"] == device_metrics["rollout/episodes"] < 100
    assert metrics == pytest.approx(device_metrics)


def not_a_number(place: int, final: bool = False) -> Any:
    def spoil(found: list[Any]) -> list[Any]:
        array = found[4]["final_obs"] if final else found[place]
        spoiled = array.clone()
        spoiled[4] = torch.inf
        if final:
            found[4] = {"final_obs": spoiled}
        else:
            found[place] = spoiled
        return found

    return spoil


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [(not_a_number(1), "reward"), (not_a_number(0), "observation"), (not_a_number(4, final=True), "observation")],
)
def test_what_is_not_finite_is_told_when_the_run_reports(spoil: Any, kind: str) -> None:
    collector, _, cfg = collecting(Spoiled(WildDevice(N), spoil, at=T + 2))
    learner = Learner(collector.model, cfg)
    learner.update(collector.collect(0), 0)
    collector.metrics()
    before = learner.weights.detach().clone()
    with pytest.raises(NumericError, match="not applied"):
        learner.update(collector.collect(1), 0)
    assert torch.equal(learner.weights, before)
    with pytest.raises(NumericError, match=f"environment 4 gave a {kind} that is not finite"):
        collector.metrics()


@pytest.mark.parametrize("clip_reward", [False, True])
@pytest.mark.parametrize(
    "spoil", [not_a_number(1), not_a_number(0), not_a_number(4, final=True)], ids=["reward", "observation", "final"]
)
def test_bounds_make_no_number_of_infinity(spoil: Any, clip_reward: bool) -> None:
    """The sign of an infinite reward is 1, an observation becomes at most 10: it would be learned from."""
    changes = {"normalize_obs": True, "normalize_reward": True, "env": {"clip_reward": clip_reward}}
    collector, _, cfg = collecting(Spoiled(WildDevice(N), spoil, at=T + 2), **changes)
    learner = Learner(collector.model, cfg)
    learner.update(collector.collect(0), 0)
    with pytest.raises(NumericError, match="not applied"):
        learner.update(collector.collect(1), 0)
    assert all(one.isfinite().all() for one in learner.model.buffers())
    kept = collector.state_dict()["reward_normalizer"]
    assert all(torch.as_tensor(number).isfinite().all() for number in kept.values())


def test_final_observations_of_what_did_not_end_may_be_anything() -> None:
    collector, envs, _ = collecting(WildDevice(N))  # not a number there
    assert collector.collect(0).final_values.isfinite().all()
    assert envs.stacked("final_obs").isnan().any()
    collector.metrics()


@pytest.mark.parametrize(("mode", "waits"), [("SameStep", 0), ("NextStep", 1)])
@pytest.mark.parametrize("changes", [{}, {"normalize_reward": True, "env": {"clip_reward": True}}])
def test_nothing_waits_for_the_device(mode: str, waits: int, changes: dict[str, Any]) -> None:
    """And what is done without waiting gives the same, here where both ways can be gone."""
    collector, _, _ = collecting(WildDevice(N, mode), **changes)
    other, _, _ = collecting(WildDevice(N, mode), **changes)
    collector._value_finals = value_all_rows  # as on a GPU
    for update in range(5):
        with Operations() as seen:
            rollout = collector.collect(update)
        assert seen.waits == ["aten::_local_scalar_dense"] * waits
        expected = other.collect(update)
        assert_close(rollout.final_values, expected.final_values)
        assert torch.equal(rollout.rewards, expected.rewards)


def test_our_cartpole_waits_for_nothing() -> None:
    collector, _, _ = collecting(CartPole(N, max_episode_steps=4))
    collector._value_finals = value_all_rows  # as on a GPU
    with Operations() as seen:
        for update in range(3):
            collector.collect(update)
    assert seen.waits == []


def test_a_resumed_collector_goes_on_where_it_was() -> None:
    collector, fresh, _ = collecting(CartPole(N), normalize_reward=True)
    collector.collect(0)
    resumed, begun, _ = collecting(CartPole(N), update=8, normalize_reward=True)
    assert fresh.seed != begun.seed
    assert resumed.load_state_dict(collector.state_dict()) == GO_ON
    assert differences(resumed.state_dict(), collector.state_dict()) == []
    resumed.episode_count = 9
    assert resumed.episode_count == 9
    assert differences(kept(resumed.collect(1)), kept(collector.collect(1))) == []


def test_without_a_state_episodes_begin_from_seeds_of_their_own() -> None:
    collector, _, _ = collecting(CountingDevice([3] * N), normalize_reward=True)
    collector.collect(0)
    resumed, _, _ = collecting(CountingDevice([3] * N), update=8, normalize_reward=True)
    said = resumed.load_state_dict(collector.state_dict())
    assert said == "episodes in flight start over: nothing was saved of them"
    found, expected = (each.reward_normalizer.state_dict() for each in (resumed, collector))  # type: ignore[union-attr]
    assert found.pop("running").tolist() == [0.0] * N
    assert expected.pop("running").tolist() != [0.0] * N
    assert found == expected
    other, _, _ = collecting(CartPole(N))
    host = {"episodes": {"means": {}, "pending": [0, 0.0, 0.0]}, "in_flight": {"episodes": [None] * N}}
    assert other.load_state_dict(host).endswith("for environments in another place")


@pytest.mark.parametrize("elements", [1, 2 * T * N * 2, 1 << 20])  # noise for 1, 2 and many updates at once
def test_noise_does_not_depend_on_how_much_is_drawn_at_once(elements: int) -> None:
    cfg = config(seed=11)
    distribution = make_model(spaces_of(*spaces()), cfg).distribution
    noise = ActionNoise(distribution, cfg.seed, T, N, CPU, elements=elements)
    for update in (0, 1, 2, 9, 4):
        uniform = uniform_noise(cfg.seed, range(update, update + 1), T, range(N), 2)[0]
        assert torch.equal(noise.of(update), distribution.noise(uniform))


def spaces() -> tuple[Any, Any]:
    envs = CartPole(1)
    return envs.single_observation_space, envs.single_action_space


def whole_run(folder: Path, *overrides: str) -> Any:
    cfg = load_config(
        "env=cartpole_device",
        "device=cpu",
        "num_envs=64",
        "total_steps=8192",
        "log_every=1024",
        "eval.every=0",
        "eval.final_episodes=2",
        "checkpoint.every=4096",
        "wandb.mode=disabled",
        "gif=false",
        f"runs_dir={folder}",
        *overrides,
    )
    return train(cfg, folder / "run")


def test_a_run_trains_evaluates_saves_and_resumes_and_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    runs = [whole_run(tmp_path / name) for name in ("a", "b")]
    saved = [torch.load(run.last_checkpoint, weights_only=True) for run in runs]
    assert runs[0].env_steps == 8192
    assert runs[0].eval_mean is not None
    assert runs[0].episodes == runs[1].episodes > 64
    for name, tensor in saved[0]["learner"]["model"].items():
        assert torch.equal(tensor, saved[1]["learner"]["model"][name]), name
    resumed = whole_run(tmp_path / "a", f"resume={runs[0].folder}", "total_steps=12288")
    assert resumed.env_steps == 12288
    assert resumed.episodes > runs[0].episodes
