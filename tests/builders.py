"""Small settings, models and rollouts for tests of the core."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import torch
from torch import Tensor

from a2c.api import load_config
from a2c.envs.spaces import Spaces
from a2c.learning.learner import Learner
from a2c.network.making import make_network
from a2c.network.protocol import remembers
from a2c.rollout import Rollout
from a2c.settings.config import Config

torch.set_num_threads(1)  # on matrices this small a second thread only costs, and on a busy machine a lot

LIGHT = (  # overrides for a whole training that takes a second
    "device=cpu",
    "wandb.mode=disabled",
    "gif=false",
    "vectorization=sync",
    "eval.every=0",
    "eval.episodes=2",
    "eval.final_episodes=2",
    "log_every=100",
    "num_envs=2",
    "lr_schedule=constant",  # so that a run that stops half-way can have half as many total_steps
)

VECTOR = Spaces((4,), "float32", 3, discrete=True)
TORQUE = Spaces((4,), "float32", 2, discrete=False, low=(-1.0, -1.0), high=(1.0, 1.0))
IMAGE = Spaces((4, 36, 36), "uint8", 3, discrete=True)


@functools.cache
def _base() -> Config:
    return load_config(
        *(
            "env.id=CartPole-v1",
            "algo=a2c_paper",
            "max_grad_norm=null",
            "device=cpu",
            "wandb.mode=disabled",
            "gif=false",
        )
    )


def config(**changes: Any) -> Config:
    """The settings of plain A2C, gradients unclipped, with ``changes``: a nested setting as ``network={...}``."""
    cfg = copy.deepcopy(_base())
    for name, value in changes.items():
        group = getattr(cfg, name)
        nested = dataclasses.is_dataclass(group) and isinstance(value, dict)
        setattr(cfg, name, dataclasses.replace(group, **value) if nested else value)
    return cfg


def make_model(spaces: Spaces, cfg: Config, dtype: torch.dtype = torch.float32, spread: float = 1.0) -> Any:
    """A model whose policy is far from uniform, so that every term of the gradient is felt; an ``ActorCritic``."""
    model: Any = make_network(cfg, spaces)
    with torch.no_grad():
        model.policy_head.linear.weight.mul_(100 * spread)
    return model.to(dtype)


def random_rollout(model: Any, steps: int, count: int, *, seed: int = 0, gaps: bool = False) -> tuple[Rollout, Tensor]:
    """A rollout with terminations and truncations at random, and with ``gaps`` the reset rows of NEXT_STEP.

    Returns:
        The rollout, and the final observations ``[T, N, *obs]`` of its truncated rows (anything elsewhere).
    """
    draw = torch.Generator().manual_seed(seed)
    spaces, dtype = model.spaces, next(model.parameters()).dtype
    if spaces.obs_dtype == "uint8":
        obs, final_obs = torch.randint(0, 256, (2, steps + 1, count, *spaces.obs_shape), generator=draw).to(torch.uint8)
    else:
        obs, final_obs = torch.randn(2, steps + 1, count, *spaces.obs_shape, generator=draw, dtype=dtype)
    fate = torch.randint(0, 6, (steps, count), generator=draw)
    terminated, truncated = fate == 0, fate == 1
    weight = torch.ones(steps, count, dtype=dtype)
    rewards = torch.randn(steps, count, generator=draw, dtype=dtype)
    if gaps:
        weight[0, 0] = 0  # the episode ended with the last rollout
        for t in range(1, steps):
            weight[t][(terminated | truncated)[t - 1] & (weight[t - 1] > 0)] = 0
            terminated[t] &= weight[t] > 0
            truncated[t] &= weight[t] > 0
        terminated[0, 0] = truncated[0, 0] = False
        rewards *= weight
    if spaces.discrete:
        actions = torch.randint(0, spaces.actions, (steps, count), generator=draw)
    else:
        actions = torch.randn(steps, count, spaces.actions, generator=draw, dtype=dtype)
    states: dict[str, Tensor] = {}
    if remembers(model):
        size = model.initial_memory(1).shape[1]
        fresh = (torch.arange(count) % 2 == 0).unsqueeze(0)
        states["memory"] = torch.randn(steps + 1, count, size, generator=draw, dtype=dtype)
        states["began"] = torch.cat([fresh, terminated | truncated])
    after = [states["memory"][1:].flatten(0, 1)] if states else []
    with torch.no_grad():
        final_values = model.value(final_obs[:steps].flatten(0, 1), *after).view(steps, count) * truncated
    rollout = Rollout(
        obs=obs,
        actions=actions,
        rewards=rewards,
        terminated=terminated,
        truncated=truncated,
        final_values=final_values,
        weight=weight if gaps else None,
        transitions=int(weight.sum()),
        **states,
    )
    return rollout, final_obs[:steps]


def gradient(model: Any, rollout: Rollout, cfg: Config, env_steps: int = 0) -> Tensor:
    """The gradient that a learner computes from a rollout, weight by weight; ``model`` stays as it is."""
    learner = Learner(copy.deepcopy(model), cfg)
    learner.update(rollout, env_steps)
    return torch.cat([param.grad.flatten() for param in learner.model.parameters() if param.grad is not None])


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def kept(rollout: Rollout) -> Rollout:
    """A copy that the next rollout does not overwrite."""
    parts = ((field.name, getattr(rollout, field.name)) for field in dataclasses.fields(rollout))
    return Rollout(**{name: part.clone() if isinstance(part, Tensor) else part for name, part in parts})
