"""Learning from the rollouts of several ranks is learning from one rollout of all their environments."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from a2c.learning.averaging import OverRanks
from a2c.learning.learner import Learner
from a2c.machine.one_rank import rows_of
from a2c.machine.rank_group import Ranks
from a2c.maths.moments import merged_moments
from a2c.rollout import Rollout, columns, rebuilt
from builders import IMAGE, TORQUE, VECTOR, config, make_model, random_rollout
from rank_threads import together

UPDATES, STEPS, ENVS = 50, 4, 7
EVERYTHING: dict[str, Any] = {
    "normalize_obs": True,
    "normalize_advantage": True,
    "normalize_value": True,
    "max_grad_norm": 0.5,
    "optimizer": "adam",
    "lr": 1e-3,
}


def test_ranks_share_out_everything_in_order():
    for count in range(1, 12):
        for size in range(1, count + 1):
            shares = [rows_of(rank, size, count) for rank in range(size)]
            assert [row for share in shares for row in share] == list(range(count))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_moments_of_parts_are_those_of_the_whole():
    draw = torch.Generator().manual_seed(1)
    numbers = 1e6 + torch.randn(10, 3, generator=draw, dtype=torch.float64)
    parts = [numbers[:1], numbers[1:1], numbers[1:6], numbers[6:]]
    none = torch.full((3,), torch.nan, dtype=torch.float64)
    means = torch.stack([part.mean(0) if len(part) else none for part in parts])
    variances = torch.stack([part.var(0, correction=0) if len(part) else none for part in parts])
    mean, variance, count = merged_moments(means, variances, torch.tensor([len(part) for part in parts]))
    assert_close(mean, numbers.mean(0), rtol=1e-14, atol=0)
    assert_close(variance, numbers.var(0, correction=0), rtol=1e-9, atol=0)
    assert count == 10


def rollouts(model: Any, *, gaps: bool, count: int = ENVS, updates: int = UPDATES) -> list[Rollout]:
    return [random_rollout(model, STEPS, count, seed=seed, gaps=gaps)[0] for seed in range(updates)]


def learned(model: Any, cfg: Any, batches: list[Rollout], ranks: Ranks | None = None) -> tuple[Tensor, ...]:
    """Weights, optimizer, normalisers and sums of metrics after all updates."""
    learner = Learner(copy.deepcopy(model), cfg, averaging=None if ranks is None else OverRanks(ranks))
    env_steps = 0
    for batch in batches:
        part = batch if ranks is None else share(batch, ranks)
        learner.update(part, env_steps)
        env_steps += learner.counted(part)
    learner.averaging.to_first(learner.metrics.products)
    statistics = [buffer for _, buffer in sorted(learner.model.named_buffers())]
    return learner.weights.detach(), *learner.optimizer.state.values(), *statistics, learner.metrics.products


def share(batch: Rollout, ranks: Ranks) -> Rollout:
    """What a rank's own environments collected, in memory of its own."""
    rows = ranks.rows(batch.rewards.shape[1])
    return rebuilt(torch.clone, columns(batch, slice(rows.start, rows.stop)))


CASES = [
    pytest.param(VECTOR, {}, True, id="plain, unequal counts"),
    pytest.param(VECTOR, EVERYTHING, True, id="all moments, unequal counts"),
    pytest.param(TORQUE, {**EVERYTHING, "value_loss": "huber"}, False, id="all moments, a Gaussian"),
    pytest.param(VECTOR, {"network": {"memory": "lstm", "memory_size": 8}}, False, id="memory"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize(("spaces", "changes", "gaps"), CASES)
def test_any_number_of_ranks_learns_the_same(size, spaces, changes, gaps):
    cfg = config(network={"hidden_sizes": [8]}, **changes) if "network" not in changes else config(**changes)
    model = make_model(spaces, cfg, torch.float64, spread=0.3)
    batches = rollouts(model, gaps=gaps)
    alone = learned(model, cfg, batches)
    first, *others = together(size, lambda ranks: learned(model, cfg, batches, ranks))
    for found, expected in zip(first, alone, strict=True):
        assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for other in others:
        assert all(torch.equal(found, expected) for found, expected in zip(other[:-1], first[:-1], strict=True))


def test_images_too():
    cfg = config(max_grad_norm=0.5)
    model = make_model(IMAGE, cfg, spread=0.3)
    batches = rollouts(model, gaps=True, count=3, updates=2)
    alone = learned(model, cfg, batches)[0]
    assert_close(together(2, lambda ranks: learned(model, cfg, batches, ranks))[0][0], alone, rtol=0, atol=1e-6)


class MeanOfMeans(OverRanks):
    """What many do: each rank's own mean, and the mean of those."""

    count = None  # type: ignore[assignment]

    def gradient(self, gradient: Tensor, transitions: int, evidence: Tensor) -> Tensor:
        self._ranks.add(gradient)
        gradient /= self._ranks.size
        return evidence


def test_a_mean_of_means_would_fail_here(monkeypatch):
    cfg = config(network={"hidden_sizes": [8]}, max_grad_norm=0.5)
    model = make_model(VECTOR, cfg, torch.float64, spread=0.3)
    batches = rollouts(model, gaps=True)
    alone = learned(model, cfg, batches)[0]
    monkeypatch.setattr(
        "test_averaging.OverRanks" if __name__ == "test_averaging" else f"{__name__}.OverRanks", MeanOfMeans
    )
    found = together(3, lambda ranks: learned(model, cfg, batches, ranks))[0][0]
    assert float((found - alone).abs().max()) > 1e-5


def test_a_rank_without_a_transition_learns_with_the_others():
    cfg = config(network={"hidden_sizes": [8]}, **EVERYTHING)
    model = make_model(VECTOR, cfg, torch.float64)
    batches = rollouts(model, gaps=True, count=2, updates=5)
    for batch in batches:
        assert batch.weight is not None
        batch.weight[:, 1] = 0
        batch.transitions = int(batch.weight.sum())
    alone = learned(model, cfg, batches)
    for found, expected in zip(together(2, lambda ranks: learned(model, cfg, batches, ranks))[0], alone, strict=True):
        assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_where_nobody_has_a_transition_nothing_changes():
    cfg = config(network={"hidden_sizes": [8]}, **EVERYTHING)
    model = make_model(VECTOR, cfg, torch.float64)
    batches = rollouts(model, gaps=True, count=2, updates=3)
    empty = batches[1]
    assert empty.weight is not None
    empty.weight.zero_()
    empty.transitions = 0
    alone = learned(model, cfg, [batches[0], batches[2]])
    found = together(2, lambda ranks: learned(model, cfg, batches, ranks))[0]
    for one, other in zip(found[:-1], alone[:-1], strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_one_rank_with_a_bad_number_makes_all_refuse_the_update():
    cfg = config(network={"hidden_sizes": [8]})
    model = make_model(VECTOR, cfg)
    batch = rollouts(model, gaps=False, count=4, updates=1)[0]
    batch.rewards[0, 3] = float("nan")

    def refused(ranks: Ranks) -> tuple[bool, bool]:
        learner = Learner(copy.deepcopy(model), cfg, averaging=OverRanks(ranks))
        before = learner.weights.detach().clone()
        try:
            learner.update(share(batch, ranks), 0)
        except Exception as error:
            return "not finite" in str(error), torch.equal(before, learner.weights.detach())
        return False, False

    assert together(2, refused) == [(True, True), (True, True)]


def test_a_rank_that_is_to_stop_lets_all_know_with_the_same_update():
    cfg = config(network={"hidden_sizes": [8]})
    model = make_model(VECTOR, cfg)
    batches = rollouts(model, gaps=False, count=3, updates=5)

    def when(ranks: Ranks) -> int:
        learner = Learner(copy.deepcopy(model), cfg, averaging=OverRanks(ranks))
        for update, batch in enumerate(batches):
            ranks.stop_when(lambda asked=update >= 2: asked and ranks.rank == 1)  # type: ignore[misc]
            learner.update(share(batch, ranks), 0)
            if ranks.stopping:
                return update
        return -1

    assert together(3, when) == [2, 2, 2]
