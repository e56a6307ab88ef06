"""What workers share, and how old a gradient is when it lands: scripted, in one process."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from a2c.a3c.learner import AsyncLearner
from a2c.a3c.shared import Shared
from a2c.learning.learner import Learner
from a2c.network.obs_normalizer import ObsNormalizer
from a2c.rollout import Rollout
from a2c.settings.config import Config
from builders import VECTOR, config, kept, make_model, random_rollout

OPTIMIZERS = ("rmsprop_tf", "rmsprop", "adam")
SCHEDULED: dict[str, Any] = {  # over the 90 steps of six rollouts
    "lr_schedule": "linear", "value_coef_schedule": "cosine", "gae_lambda_schedule": [[0, 1], [1, 0.5]],
    "max_grad_norm_schedule": "linear", "max_grad_norm_end": 0.01, "total_steps": 90,
}  # fmt: skip


def team(cfg: Config, workers: int, **how: Any) -> tuple[Learner, Shared, list[AsyncLearner]]:
    """The main process's learner and ``workers`` learners on its weights."""
    main = Learner(make_model(VECTOR, cfg), cfg)
    shared = Shared(main, workers, **how)
    shared.publish(main)
    return main, shared, [AsyncLearner(make_model(VECTOR, cfg), cfg, shared, k) for k in range(workers)]


def rollouts(cfg: Config, count: int) -> list[Rollout]:
    model = make_model(VECTOR, cfg)
    return [kept(random_rollout(model, cfg.n_step, cfg.num_envs, seed=seed)[0]) for seed in range(count)]


def test_the_lag_counts_what_landed_between_pull_and_push():
    cfg = config(num_envs=2)
    _, shared, (a, b, c) = team(cfg, 3)
    data = rollouts(cfg, 1)[0]
    # pulls: a b c                    lag = updates of others since the own pull
    for worker in (a, b, c):
        worker.pull()
    assert a.push(data) == 0  # nothing landed before
    assert b.push(data) == 1  # a
    b.pull()  #                 2 have landed
    assert b.push(data) == 0
    b.pull()  #                 3
    assert c.push(data) == 3  # a, b, b
    a.pull()  #                 4
    assert b.push(data) == 1  # c
    assert a.push(data) == 1  # b
    assert a.push(data) == 2  # without a pull in between its own counts as well: b, a
    assert shared.updates == 7
    assert shared.env_steps == 7 * data.transitions


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("normalize_obs", [False, True])
@pytest.mark.parametrize("shared_statistics", [False, True])
def test_one_worker_takes_the_steps_of_a2c(optimizer: str, normalize_obs: bool, shared_statistics: bool):
    cfg = config(num_envs=3, optimizer=optimizer, normalize_obs=normalize_obs, max_grad_norm=0.5, **SCHEDULED)
    plain = Learner(make_model(VECTOR, cfg), cfg)
    main, shared, (worker,) = team(cfg, 1, shared_statistics=shared_statistics)
    steps = 0
    for data in rollouts(cfg, 6):
        plain.update(data, steps)
        worker.pull()
        worker.push(data)
        steps += data.transitions
    shared.read_into(main)
    assert torch.equal(main.weights, plain.weights)
    for name, value in plain.optimizer.state.items():
        assert torch.equal(main.optimizer.state[name].view_as(value), value), name
    for (name, mine), theirs in zip(main.model.named_buffers(), plain.model.buffers(), strict=True):
        assert torch.equal(mine, theirs), name


def test_a_gradient_comes_from_the_weights_of_the_pull_and_changes_those_of_now():
    cfg = config(num_envs=2, optimizer="rmsprop", max_grad_norm=None)
    _, shared, (a, b) = team(cfg, 2, shared_statistics=False)
    first, second = rollouts(cfg, 2)
    start = shared.weights.clone()
    a.pull()
    b.pull()
    b.push(second)
    moved = shared.weights - start
    a.push(first)
    # With statistics of its own, a's step is the one that it would have made at the start.
    _, alone, (same, _) = team(cfg, 2, shared_statistics=False)
    same.pull()
    same.push(first)
    torch.testing.assert_close(shared.weights - start, moved + (alone.weights - start))
    assert float(moved.norm()) > 0


def test_statistics_are_one_for_all_or_one_for_each():
    cfg = config(num_envs=2, optimizer="rmsprop")
    data = rollouts(cfg, 1)[0]
    for shared_statistics in (True, False):
        main, shared, (a, b) = team(cfg, 2, shared_statistics=shared_statistics)
        a.push(data)
        shared.read_into(main)
        state = main.optimizer.state["square_avg"]
        assert state.shape == (main.weights.shape if shared_statistics else (2, *main.weights.shape))
        of_b = state if shared_statistics else state[1]
        assert bool(of_b.any()) is shared_statistics
        assert torch.equal(b._optimizer.state["square_avg"], of_b)


def test_observations_of_all_workers_are_merged():
    cfg = config(num_envs=2, normalize_obs=True)
    main, shared, workers = team(cfg, 3)
    data = rollouts(cfg, 3)
    for worker, rollout in zip(workers, data, strict=True):
        worker.pull()
        worker.push(rollout)
    shared.read_into(main)
    expected = ObsNormalizer((4,))
    for rollout in data:
        expected.update(rollout.obs[:-1])
    assert main.model.normalizer is not None
    assert float(main.model.normalizer.count) == 3 * data[0].transitions
    torch.testing.assert_close(main.model.normalizer.state_dict(), expected.state_dict())
    workers[0].pull()
    assert workers[0].learner.model.normalizer is not None
    torch.testing.assert_close(workers[0].learner.model.normalizer.state_dict(), expected.state_dict())


def test_what_was_saved_is_where_workers_go_on():
    cfg = config(num_envs=2, normalize_obs=True)
    main, shared, workers = team(cfg, 2)
    for worker, rollout in zip(workers, rollouts(cfg, 2), strict=True):
        worker.push(rollout)
    shared.read_into(main)
    again, memory, fresh = team(dataclasses.replace(cfg, seed=5), 2)
    again.load_state_dict(main.state_dict())
    memory.publish(again, env_steps=40, updates=7)
    fresh[1].pull()
    assert torch.equal(fresh[1].learner.weights, main.weights)
    assert (memory.env_steps, memory.updates) == (40, 7)
    assert fresh[1].push(rollouts(cfg, 1)[0]) == 0
    memory.read_into(again)
    assert main.model.normalizer is not None
    assert again.model.normalizer is not None
    assert float(again.model.normalizer.count) == float(main.model.normalizer.count) * 1.5  # 2 rollouts, then 3
