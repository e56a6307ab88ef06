"""Environments on the device: our CartPole is Gymnasium's, and what breaks the contract is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode
from torch import Tensor
from torch.testing import assert_close

from a2c.build import make_envs
from a2c.envs.device import cartpole
from a2c.envs.device.cartpole import CartPole, next_state
from a2c.envs.device.lockstep import DeviceEnvs, make_device_envs
from a2c.errors import A2CError, ConfigError, EnvironmentFailure
from a2c.settings.config import Config
from builders import config
from device_toys import CountingDevice, Spoiled

CPU = torch.device("cpu")
CARTPOLE = "a2c.envs.device:CartPoleDevice-v1"


GYMNASIUMS: Any = gym.make("CartPole-v1").unwrapped


def gymnasium_step(state: Any, action: int) -> tuple[np.ndarray, float, bool]:
    """One step of Gymnasium's own CartPole from any state; the state after it in float64."""
    GYMNASIUMS.reset(seed=0)
    GYMNASIUMS.state = np.asarray(state, np.float64)
    _, reward, terminated, _, _ = GYMNASIUMS.step(action)
    return GYMNASIUMS.state, reward, terminated


def test_the_physics_are_gymnasiums_step_for_step() -> None:
    draw = torch.Generator().manual_seed(0)
    spread = torch.tensor([3.0, 3.0, 0.3, 3.0], dtype=torch.float64)  # also beyond the limits
    states = (2 * torch.rand(200, 4, generator=draw, dtype=torch.float64) - 1) * spread
    actions = torch.randint(0, 2, (200,), generator=draw)
    expected = np.stack([gymnasium_step(s, int(a))[0] for s, a in zip(states.numpy(), actions, strict=True)])
    assert_close(next_state(states, actions), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)
    assert_close(next_state(states.float(), actions), torch.from_numpy(expected).float(), rtol=1e-5, atol=1e-6)


def test_episodes_end_where_gymnasiums_do() -> None:
    envs = CartPole(64, max_episode_steps=30)
    obs, _ = envs.reset(seed=3)
    ages, draw, ends = np.zeros(64), torch.Generator().manual_seed(1), {"terminated": 0, "truncated": 0}
    for _ in range(80):
        actions = torch.randint(0, 2, (64,), generator=draw)
        actions[:16] = (obs[:16, 2] + obs[:16, 3] > 0).long()  # these balance
        before, (obs, rewards, terminated, truncated, infos) = obs.clone(), envs.step(actions)  # a step overwrites obs
        ages += 1
        for i in range(64):
            state, reward, over = gymnasium_step(before[i].numpy(), int(actions[i]))
            assert_close(infos["final_obs"][i], torch.from_numpy(state).float(), rtol=1e-5, atol=1e-6)
            assert (float(rewards[i]), bool(terminated[i])) == (reward, over)
        assert truncated.tolist() == (ages >= 30).tolist()
        done = terminated | truncated
        assert torch.equal(obs[~done], infos["final_obs"][~done])
        assert (obs[done].abs() <= 0.05).all()
        ages[done.numpy()] = 0
        ends["terminated"] += int(terminated.sum())
        ends["truncated"] += int(truncated.sum())
    assert min(ends.values()) > 20


def test_the_clock_is_cartpole_v1s() -> None:
    theirs, ours = gym.spec("CartPole-v1"), gym.spec("CartPoleDevice-v1")
    assert ours.max_episode_steps == theirs.max_episode_steps == 500
    assert ours.reward_threshold == theirs.reward_threshold
    with make_envs(device_config(num_envs=2)) as envs:
        assert envs.envs.envs.max_episode_steps == 500
        alone = gym.make("CartPole-v1")
        assert envs.envs.observation_space == alone.observation_space
        assert envs.envs.action_space == alone.action_space
    with make_envs(device_config(num_envs=2, env={"max_episode_steps": 7})) as envs:
        assert envs.envs.envs.max_episode_steps == 7


def on_device(cfg: Config, device: torch.device) -> DeviceEnvs:
    return make_device_envs(cfg.env, cfg.num_envs, device)


def played(num_envs: int, seed: int, steps: int = 60) -> Tensor:
    """``[steps, N, 4]``: what cart-poles that are always pushed to the right show."""
    envs = CartPole(num_envs)
    actions = torch.ones(num_envs, dtype=torch.int64)
    return torch.stack([envs.reset(seed=seed)[0].clone(), *(envs.step(actions)[0].clone() for _ in range(steps))])


def test_starts_depend_on_seed_environment_and_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = played(16, seed=5)
    starts = expected[(expected.abs() <= 0.05).all(-1)]
    assert len(starts) > 60
    assert len(starts.unique(dim=0)) == len(starts)
    assert torch.equal(played(16, seed=5), expected)
    assert torch.equal(played(8, seed=5), expected[:, :8])
    assert not torch.equal(played(16, seed=6)[0], expected[0])
    for elements in (1, 16 * 4 * 7):  # starts for 1 and for 7 steps at once
        monkeypatch.setattr(cartpole, "DRAW_AHEAD", elements)
        assert torch.equal(played(16, seed=5), expected)


def test_starts_are_uniform() -> None:
    starts = CartPole(20_000).reset(seed=1)[0].double()
    assert_close(starts.mean(0), torch.zeros(4).double(), rtol=0, atol=4 * 0.05 / (3 * 20_000) ** 0.5)
    assert_close(starts.std(0), torch.full((4,), 0.05 / 3**0.5).double(), rtol=0.02, atol=0)
    correlation = torch.corrcoef(starts.t())
    assert (correlation - torch.eye(4)).abs().max() < 0.03
    assert starts.abs().max() <= 0.05


def device_config(**changes: Any) -> Config:
    env = {"id": CARTPOLE} | changes.pop("env", {})
    return config(**({"num_envs": 3, "n_step": 4, "vectorization": "device", "env": env} | changes))


def spoiled(spoil: Callable[[list[Any]], Any], at: int = 1) -> DeviceEnvs:
    def changed(found: list[Any]) -> list[Any]:
        spoil(found)
        return found

    return DeviceEnvs(Spoiled(CountingDevice((2, 3)), changed, at), CPU)


def put(place: int, make: Callable[[Any], Any]) -> Callable[[list[Any]], None]:
    def spoil(found: list[Any]) -> None:
        found[place] = make(found[place])

    return spoil


BROKEN = {
    "gave a ndarray for observations; it must be a torch tensor, or an array that supports DLPack": put(
        0, lambda obs: obs.numpy()
    ),
    "gave observations on meta; it must be on cpu, where the learner is": put(0, lambda obs: obs.to("meta")),
    "gave observations of shape (2,); it must have shape (2, 1)": put(0, lambda obs: obs[:, 0]),
    "gave rewards of shape (2, 1); it must have shape (2,)": put(1, lambda rewards: rewards[:, None]),
    "gave a list for terminated; it must be a torch tensor": put(2, lambda flags: flags.tolist()),
    "gave truncated on meta": put(3, lambda flags: flags.to("meta")),
    "gave nothing for infos['final_obs']": put(4, lambda infos: {}),
    "gave infos['final_obs'] of shape (1, 1)": put(4, lambda infos: {"final_obs": infos["final_obs"][:1]}),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_contract_is_told(message: str) -> None:
    envs = spoiled(BROKEN[message], at=2)
    envs.reset(0)
    actions = torch.zeros(2, dtype=torch.int64)
    envs.step(actions)
    with pytest.raises(ConfigError) as caught:
        envs.step(actions)
    assert f" {message}" in str(caught.value)


def test_a_reset_that_gives_numpy_arrays_is_told() -> None:
    with pytest.raises(ConfigError, match="gave a ndarray for observations"):
        spoiled(BROKEN[next(iter(BROKEN))], at=0).reset(0)
    with pytest.raises(ConfigError, match="ndarray"), make_envs(device_config(env={"id": "CartPole-v1"})):
        pass  # the trial of exact resume resets it


def test_an_environment_that_raises_is_a_failure_with_its_step() -> None:
    def explode(found: list[Any]) -> None:
        raise ValueError("joint 4 exploded")

    envs = spoiled(explode, at=2)
    envs.reset(0)
    envs.step(torch.zeros(2))
    with pytest.raises(EnvironmentFailure, match="raised ValueError in step 2: joint 4 exploded"):
        envs.step(torch.zeros(2))


def test_environments_that_wait_to_be_reset_are_refused() -> None:
    with pytest.raises(ConfigError, match="DISABLED; SAME_STEP and NEXT_STEP work"):
        DeviceEnvs(CountingDevice((2, 3), mode=AutoresetMode.DISABLED.value), CPU)


@pytest.mark.parametrize(
    ("registration", "message"),
    [
        ({"entry_point": "x:Y"}, "vectorization=device: OddDevice-v0 registers no vector environment of its own"),
        ({"vector_entry_point": CartPole}, "OddDevice-v0 registers a vector environment only; evaluation plays single"),
        (
            {"entry_point": "gymnasium.envs.classic_control:PendulumEnv", "vector_entry_point": CartPole},
            "OddDevice-v0 has Spaces",
        ),
    ],
)
def test_what_cannot_be_evaluated_or_is_not_there_is_told_before_the_run(
    registration: dict[str, Any], message: str
) -> None:
    gym.register("OddDevice-v0", max_episode_steps=5, **registration)
    try:
        with pytest.raises(A2CError) as caught:
            on_device(device_config(env={"id": "OddDevice-v0"}), CPU)
    finally:
        del gym.registry["OddDevice-v0"]
    assert str(caught.value).startswith(f"config error: {message}")


def test_a_constructor_that_takes_a_device_is_told_it() -> None:
    envs = on_device(device_config(), torch.device("meta"))
    assert envs.envs.device.type == "meta"  # type: ignore[attr-defined]


class TestFunctional:
    """Gymnasium's phys2d, in JAX."""

    @pytest.fixture(autouse=True)
    def _needs_jax(self) -> None:
        pytest.importorskip("jax")
        pytest.importorskip("flax")

    def make(self, **changes: Any) -> DeviceEnvs:
        return on_device(device_config(env={"id": "phys2d/CartPole-v1"}, **changes), CPU)

    def test_every_environment_moves_in_every_step_whoever_resets(self) -> None:
        """Gymnasium's own vector environment leaves all others where they are when one begins anew."""
        envs = self.make(num_envs=64)
        obs, draw, ended = envs.reset(0).clone(), torch.Generator().manual_seed(0), 0
        for _ in range(60):
            actions = torch.randint(0, 2, (64,), generator=draw)
            step = envs.step(actions)
            assert step.final_obs is not None
            # of explicit Euler, whatever the forces: positions move by the speed before the step
            assert_close(step.final_obs[:, 0], obs[:, 0] + 0.02 * obs[:, 1])
            assert_close(step.final_obs[:, 2], obs[:, 2] + 0.02 * obs[:, 3])
            pushed = step.final_obs[:, 1] - obs[:, 1]
            assert (pushed.sign() == 2 * actions - 1).all()
            done = step.terminated | step.truncated
            fallen = (step.final_obs[:, 0].abs() > 2.4) | (step.final_obs[:, 2].abs() > 12 * 2 * np.pi / 360)
            assert torch.equal(step.terminated, fallen)
            assert torch.equal(step.obs[~done], step.final_obs[~done])
            assert (step.obs[done].abs() <= 0.05).all()
            assert (step.rewards == 1).all()
            obs, ended = step.obs.clone(), ended + int(done.sum())
        assert ended > 50

    def test_the_clock_truncates(self) -> None:
        envs = self.make(num_envs=4)
        limited = on_device(device_config(env={"id": "phys2d/CartPole-v1", "max_episode_steps": 3}), CPU)
        for made, expected in ((envs, [False] * 6), (limited, [False, False, True] * 2)):
            made.reset(0)
            steps = [made.step(torch.zeros(made.num_envs, dtype=torch.int64)) for _ in range(6)]
            assert [bool(step.truncated.all()) for step in steps] == expected

    @pytest.mark.filterwarnings("ignore:.*missing AutoresetMode metadata")  # Gymnasium's of its own; not used here
    def test_continuous_actions_go_through(self) -> None:
        envs = on_device(device_config(num_envs=4, env={"id": "phys2d/Pendulum-v0"}), CPU)
        envs.reset(0)
        rewards = envs.step(torch.full((4, 1), 50.0)).rewards
        envs.reset(0)
        assert torch.equal(envs.step(torch.full((4, 1), 2.0)).rewards, rewards)  # its bound

    def test_equal_seeds_give_equal_bytes(self) -> None:
        def seen(seed: int) -> Tensor:
            envs = self.make(num_envs=8)
            rows = [envs.reset(seed).clone()]
            rows += [envs.step(torch.ones(8, dtype=torch.int64)).obs.clone() for _ in range(30)]
            return torch.stack(rows)

        assert torch.equal(seen(1), seen(1))
        assert not torch.equal(seen(1), seen(2))
        assert len(seen(1)[0].unique(dim=0)) == 8


def test_discrete_actions_are_counted_from_the_start_of_their_space() -> None:
    received = []

    class FromThree(CountingDevice):
        def step(self, actions: Any) -> Any:
            received.append(actions.tolist())
            return super().step(actions)

    vector = FromThree((2, 3))
    vector.single_action_space = Discrete(2, start=3)
    envs = DeviceEnvs(vector, CPU)
    envs.reset(0)
    envs.step(torch.tensor([0, 1]))
    assert received == [[3, 4]]


def test_step_records_are_what_the_environment_gave() -> None:
    envs = DeviceEnvs(CountingDevice((2, 3), "truncated"), CPU)
    assert envs.reset(0).tolist() == [[0.0], [0.0]]
    steps = [dataclasses.replace(envs.step(torch.zeros(2))) for _ in range(2)]
    assert steps[0].obs.tolist() == [[1.0], [1.0]]
    assert steps[1].obs.tolist() == [[0.0], [2.0]]
    assert steps[1].truncated.tolist() == [True, False]
    assert steps[1].final_obs is not None
    assert float(steps[1].final_obs[0]) == 2.0
