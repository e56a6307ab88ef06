"""Which states a policy visits with N environments, and where training with them ends in a world with a dead end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from a2c.maths.trees import single
from a2c.settings.compose import load_config
from a2c.study.batches import trained
from a2c.study.dead_end import CELLS, ID, fate
from a2c.study.frozen import rollouts
from a2c.study.measures.state_coverage import Cells, cells, covered, effective_states
from a2c.study.plain_settings import PLAIN_A2C

PLAIN = ("vectorization=sync", "device=cpu", "threads=1")
TRAPPED = 0.9  # a policy with more than this chance to end behind the door is stuck; a random one has 0.62


@dataclass(frozen=True, slots=True)
class World:
    """An environment, and which observations are the same state."""

    overrides: tuple[str, ...]
    cells: Callable[[NDArray[np.float32]], Cells]  # [..., D] -> [...]
    trained: int = 0  # env steps that the policy is trained for; 0: it is nearly uniform


def _grid(high: ArrayLike, bins: int) -> Callable[[NDArray[np.float32]], Cells]:
    """A grid between -high and high."""
    return lambda obs: cells(obs, -np.asarray(high), high, bins)


_CARTPOLE = _grid([2.4, 3.0, 0.21, 3.0], bins=8)
WORLDS = {
    "CartPole": World(("env=cartpole_study",), _CARTPOLE),
    "trained CartPole": World(("env=cartpole_study",), _CARTPOLE, trained=20_000),
    "Acrobot": World(("env=acrobot_study",), _grid([1.0, 1.0, 1.0, 1.0, 4 * np.pi, 9 * np.pi], bins=6)),
    "dead end": World((f"env.id={ID}", *PLAIN_A2C), lambda obs: obs.argmax(-1)),
}


@dataclass(frozen=True, slots=True)
class Sampling:
    """For every N, ``batches`` rollouts of N x T = ``size`` transitions."""

    world: str
    num_envs: tuple[int, ...]
    size: int
    batches: int
    seed: int
    effort: float  # share of the world's training; at most 1


@dataclass(frozen=True, slots=True)
class Spread:
    """How widely states were visited: the effective number of states, and the different ones."""

    batch_states: float  # within one batch, mean over batches
    batch_covered: float
    all_states: float  # in all batches together
    all_covered: float


def sample(task: Sampling) -> dict[str, Spread]:
    """How widely N environments that start together visit states, in rollouts as training collects them; by N."""
    world = WORLDS[task.world]
    cfg = load_config(*world.overrides, *PLAIN, f"seed={task.seed}")
    model = trained(replace(cfg, total_steps=max(1, round(world.trained * task.effort)))) if world.trained else None
    found = {}
    for num_envs in task.num_envs:
        shaped = replace(cfg, num_envs=num_envs, n_step=task.size // num_envs)
        visited = [world.cells(single(rollout.obs)[:-1].numpy()) for rollout in rollouts(shaped, model, task.batches)]
        found[str(num_envs)] = Spread(
            float(np.mean([effective_states(batch) for batch in visited])),
            float(np.mean([covered(batch) for batch in visited])),
            effective_states(np.stack(visited)),
            covered(np.stack(visited)),
        )
    return found


@dataclass(frozen=True, slots=True)
class Training:
    """A training run in the world with a dead end."""

    num_envs: int
    n_step: int
    gae_lambda: float
    steps: int  # env steps over all environments
    seed: int


def prospects(task: Training) -> tuple[float, float]:
    """Train; returns the chances that the policy then ends an episode with the prize, and behind the door."""
    shape = (f"num_envs={task.num_envs}", f"n_step={task.n_step}", f"seed={task.seed}", f"total_steps={task.steps}")
    learning = (f"gae_lambda={task.gae_lambda}", "optimizer=adam", "lr=1e-3", "normalize_advantage=true")
    model = trained(load_config(f"env.id={ID}", *PLAIN_A2C, *PLAIN, *learning, *shape))
    with torch.no_grad():
        policy = torch.softmax(model.policy(torch.eye(len(CELLS))), -1)
    return fate(policy.numpy())
