"""How many independent transitions a batch is worth, by where its transitions come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from a2c.network.protocol import Network
from a2c.rollout import Rollout, columns
from a2c.settings.config import Config
from a2c.study.batches import by_learner, one_step
from a2c.study.job_pool import Pool
from a2c.study.measures.gradients import effective_rows

AGE = 40  # steps between a reset and a batch
AT_ONCE = 8  # batches to collect side by side


def effective_batches(model: Network, cfg: Config, capacity: int, draws: int) -> dict[str, float]:
    """How many independent transitions would be as good as a batch of N T, for each way to fill it.

    The policy is frozen, and all losses have one-step targets, so that only the choice of transitions differs:
    consecutive ones of one environment; ones drawn at random from the latest ``capacity`` of one environment; T
    consecutive ones of each of N environments; one of each of N T environments. The gradient of a batch is the mean of
    its rows' gradients (claim ``batch_gradient``), so that those are all it needs.

    Args:
        model: the policy.
        cfg: N and T, and the settings of the loss.
        capacity: transitions in the memory, of this policy alone; at least N T.
        draws: batches of each kind.
    """
    cfg = replace(cfg, max_grad_norm=None)
    gradient = by_learner(model, cfg)
    rows = cfg.num_envs * cfg.n_step
    random = torch.Generator().manual_seed(cfg.seed)

    def effective(batches: Iterable[Rollout]) -> float:
        return effective_rows(
            np.stack([[gradient(columns(batch, slice(k, k + 1))) for k in range(rows)] for batch in batches])
        )

    with Pool(replace(cfg, num_envs=draws, n_step=capacity)) as pool:
        past = next(pool.play(model))
    alone = [one_step(columns(past, slice(env, env + 1))) for env in range(draws)]
    at_once = min(AT_ONCE, draws)
    with Pool(replace(cfg, num_envs=at_once * rows)) as pool:
        late = [pool.late(model, AGE, draw) for draw in range(-(-draws // at_once))]
    apart = [(rollout, start) for rollout in late for start in range(0, at_once * rows, rows)]
    return {
        "one environment": effective(columns(one, slice(-rows, None)) for one in alone),
        "memory": effective(columns(one, torch.randint(capacity, (rows,), generator=random)) for one in alone),
        "A2C": effective(one_step(columns(rollout, slice(at, at + cfg.num_envs))) for rollout, at in apart),
        # the first columns of a rollout's transitions are the first step of every environment
        "all apart": effective(columns(one_step(rollout), slice(at, at + rows)) for rollout, at in apart),
    }
