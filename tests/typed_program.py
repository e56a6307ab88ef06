"""A user's program that uses every public name of a2c, with types: ``test_public_types.py`` runs it, mypy checks it.

``assert_type`` says what a user's editor should know; what mypy must refuse stands under ``TYPE_CHECKING``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import a2c

Obs = NDArray[np.float32]


class Corridor(gym.Env[Obs, np.int64]):
    """Walk to the right end."""

    def __init__(self, length: int = 4, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(0, 1, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)
        self.length, self.render_mode, self.place = length, render_mode, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(2))
        return self._seen(), {}

    def step(self, action: np.int64) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        self.place = max(0, self.place + (1 if action else -1))
        return self._seen(), -0.1, self.place == self.length, False, {}

    def longer(self, by: int) -> int:
        self.length += by
        return self.length

    def _seen(self) -> Obs:
        return np.array([self.place / self.length, 1.0], np.float32)


def corridor(**arguments: Any) -> gym.Env[Obs, np.int64]:
    return gym.wrappers.TimeLimit(Corridor(**arguments), 20)


class Net(nn.Module):
    def __init__(self, spaces: a2c.Spaces) -> None:
        super().__init__()
        assert_type(spaces.obs_shape, tuple[int, ...])
        assert_type(spaces.obs_dtype, str)
        assert_type(spaces.actions, int)
        assert_type(spaces.discrete, bool)
        assert_type(spaces.start, int)
        assert_type(spaces.low, tuple[float, ...])
        assert_type(spaces.high, tuple[float, ...])
        assert_type(spaces.obs_parts, tuple[tuple[str, tuple[int, ...]], ...])
        assert_type(spaces.parts, tuple[tuple[str, tuple[int, ...]], ...])
        assert_type(spaces.image, bool)
        self.params = nn.Linear(spaces.obs_shape[0], spaces.actions)
        self.values = nn.Linear(spaces.obs_shape[0], 1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return self.params(obs), self.values(obs)


def make_network(spaces: a2c.Spaces) -> nn.Module:
    return Net(spaces)


class Longer:
    """Makes the corridor longer, once; with a state."""

    def __init__(self) -> None:
        self.reports = 0

    def __call__(self, progress: a2c.Progress) -> Mapping[str, float] | None:
        assert_type(progress.env_steps, int)
        assert_type(progress.update, int)
        assert_type(progress.total_steps, int)
        assert_type(progress.metrics, dict[str, float])
        assert_type(progress.cfg, a2c.Config)
        assert_type(progress.folder, Path)
        assert_type(progress.policy, a2c.Policy)
        for episode in progress.episodes:
            assert_type(episode.env, int)
            assert_type(episode.reward, float)
            assert_type(episode.length, int)
            assert_type(episode.info, dict[str, Any])
        self.reports += 1
        if self.reports == 1:
            assert_type(progress.call("longer", 1), list[Any])
            progress.save("shorter")
        if progress.metrics.get("rollout/ep_len_mean", 0) > 1000:
            progress.stop("they go nowhere")
        return {"reports": self.reports}

    def state_dict(self) -> dict[str, int]:
        return {"reports": self.reports}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.reports = state["reports"]


def silent(progress: a2c.Progress) -> None:
    """A callback that logs nothing."""


def train(*overrides: str) -> a2c.Summary:
    cfg = a2c.load_config(*overrides, env=corridor, trust=False)
    assert_type(cfg, a2c.Config)
    cfg.env.kwargs = {"length": 3}
    summary = a2c.train(cfg, env=corridor, network=make_network, on_report=Longer())
    assert_type(summary, a2c.Summary)
    return summary


def train_on_a_ready_vector_environment(*overrides: str) -> a2c.Summary:
    envs = a2c.ShardedAsyncVectorEnv(
        [corridor, corridor], num_workers=1, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
    )
    try:
        return a2c.train(a2c.load_config(*overrides), env=envs, eval_env=corridor, network=None, on_report=silent)
    finally:
        envs.close()


def tell(summary: a2c.Summary) -> str:
    assert_type(summary.env_id, str)
    assert_type(summary.algo, str)
    assert_type(summary.seed, int)
    assert_type(summary.device, str)
    assert_type(summary.num_envs, int)
    assert_type(summary.n_step, int)
    assert_type(summary.env_steps, int)
    assert_type(summary.updates, int)
    assert_type(summary.episodes, int)
    assert_type(summary.wall_time, float)
    assert_type(summary.fps, float)
    assert_type(summary.eval_mean, float | None)
    assert_type(summary.eval_std, float | None)
    assert_type(summary.eval_episodes, int)
    assert_type(summary.eval_cut, int | None)
    assert_type(summary.best_eval, float | None)
    assert_type(summary.best_step, int | None)
    assert_type(summary.reward_threshold, float | None)
    assert_type(summary.solved, bool | None)
    assert_type(summary.folder, str)
    assert_type(summary.best_checkpoint, str | None)
    assert_type(summary.last_checkpoint, str)
    assert_type(summary.curve, str | None)
    assert_type(summary.gif, str | None)
    assert_type(summary.stopped, str | None)
    assert_type(summary.wandb_id, str | None)
    assert_type(summary.time, dict[str, float])
    assert_type(summary.advice, list[str])
    assert_type(summary.trace, str | None)
    assert_type(summary.ended, str | None)
    assert_type(a2c.Summary.read(Path(summary.folder)), a2c.Summary | None)
    return "stopped" if summary.eval_mean is None else f"{summary.eval_mean:.2f}"


def measure(folder: str, runs_dir: Path) -> a2c.EvalResult:
    lines: list[str] = []
    policy = a2c.load_policy(
        folder, runs_dir=runs_dir, device="cpu", secrets=None, tell=lines.append, network=make_network, trust=False
    )
    assert_type(policy, a2c.Policy)
    assert_type(policy.cfg, a2c.Config)
    assert_type(policy.path, Path | None)
    assert_type(policy.env_steps, int)
    policy.model.train(False)
    env = corridor(**policy.cfg.env.kwargs)
    obs, _ = env.reset(seed=1)
    policy.reset()
    policy.reset([0])
    obs, *_ = env.step(policy.act(obs))
    policy.reset()
    policy.act(np.stack([obs, obs]), deterministic=False, rows=[0, 1], mask=None)
    assert_type(policy.value(obs, rows=None), NDArray[Any])
    result = a2c.evaluate(
        policy, 2, env=corridor, seed=3, deterministic=False, ended=lambda count: lines.append(str(count))
    )
    assert_type(result, a2c.EvalResult)
    assert_type(result.mean, float)
    assert_type(result.std, float)
    assert_type(result.rewards, list[float])
    assert_type(result.lengths, list[int])
    assert_type(result.cut, int)
    assert_type(result.cuts(policy.cfg.eval.max_steps), str)
    return result


def loss() -> Tensor:
    """The mathematics on their own, of four steps in two environments."""
    rewards, values, done = torch.ones(4, 2), torch.zeros(4, 2), torch.zeros(4, 2, dtype=torch.bool)
    assert_type(a2c.lambda_returns(rewards, values, done, gamma=0.9, gae_lambda=0.95), Tensor)
    returns = a2c.n_step_returns(rewards, values, done, gamma=0.9)
    assert_type(returns, Tensor)
    losses = a2c.actor_critic_loss(
        torch.zeros(4, 2), torch.ones(4, 2), values, returns, returns - values,
        value_coef=0.5, beta=0.01, weight=None, huber=False, scale=None,
    )  # fmt: skip
    assert_type(losses.policy_loss, Tensor)
    assert_type(losses.value_loss, Tensor)
    assert_type(losses.entropy, Tensor)
    return losses.loss


def exit_code_of(*overrides: str) -> int:
    """What goes wrong, kind by kind."""
    try:
        a2c.train(a2c.load_config(*overrides))
    except a2c.ConfigError as error:
        return assert_type(error.exit_code, int)
    except (a2c.EnvironmentFailure, a2c.CallbackFailure) as error:
        return assert_type(error.exit_code, int)
    except a2c.NumericError as error:
        assert_type(error.evidence, dict[str, Any] | None)
        return error.exit_code
    except a2c.CheckpointError as error:
        return error.exit_code
    except (a2c.RunIOError, a2c.StoppedError) as error:
        return error.exit_code
    except a2c.A2CError as error:
        return assert_type(error.exit_code, int)
    return 0


if TYPE_CHECKING:  # mypy reports an ignored line on which there is no error
    print(a2c.trian)  # type: ignore[attr-defined]
    a2c.train("env=cartpole")  # type: ignore[arg-type]
    a2c.train(a2c.load_config(), network=Net)
    a2c.train(a2c.load_config(), on_report=lambda progress: progress.stopp("enough"))  # type: ignore[attr-defined]
    a2c.train(a2c.load_config(), env=Corridor())  # type: ignore[arg-type]
    a2c.load_config(n_step=5)  # type: ignore[call-arg]
    print(a2c.load_config().gama)  # type: ignore[attr-defined]
    a2c.evaluate("latest")  # type: ignore[arg-type]
    print(a2c.train(a2c.load_config()).eval_mean + 1)  # type: ignore[operator]
