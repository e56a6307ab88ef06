"""The claim about replay: the memory, a run in small, every verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from a2c.build import build, make_envs
from a2c.learning.learner import Learner
from a2c.study.batches import one_step, trained
from a2c.study.claim import Data, Verdict
from a2c.study.claims.replay import CLAIM
from a2c.study.contenders import METHODS, RATES, TUNED, TUNING_SEEDS, Run, config, final, marks, rate, train
from a2c.study.effective_batch import effective_batches
from a2c.study.measures.gradients import Estimate
from a2c.study.measures.scores import iqm_difference
from a2c.study.replay_memory import Memory
from a2c.study.settings import StudySettings
from builders import VECTOR, make_model, random_rollout
from builders import config as plain_config

TINY = StudySettings(claims=[], seeds=2, scale=0.01, seed=0, jobs=1, folder="unused")
OFFSETS = (-6.0, -3.0, 0.0, 3.0, 6.0)  # of the five seeds


@pytest.fixture(scope="module")
def measured() -> Data:
    return CLAIM.measure(TINY)


def made_up(**scores: float) -> Data:
    """A measurement in which the five seeds of each method end near a score."""
    names = dict(zip(("one", "n", "replay", "a2c"), METHODS, strict=True))
    return {
        "env_steps": [100, 200, 300, 400],
        "updates": dict.fromkeys(METHODS, 10),
        "rates": dict.fromkeys(METHODS, 1e-3),
        "scores": {
            names[short]: [[0.0, score, score, score + 3 * offset] for offset in OFFSETS]
            for short, score in scores.items()
        },
        "rows": 64,
        "effective": {"memory": [10.0, 12.0], "A2C": [20.0, 18.0]},
    }


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ({"one": 100, "n": 150, "replay": 300, "a2c": 400}, Verdict.SUPPORTED),
        ({"one": 100, "n": 150, "replay": 400, "a2c": 400}, Verdict.SUPPORTED),  # as good
        ({"one": 100, "n": 150, "replay": 450, "a2c": 400}, Verdict.CONDITIONAL),  # better than alone
        ({"one": 100, "n": 400, "replay": 300, "a2c": 400}, Verdict.CONDITIONAL),  # as good as replay
        ({"one": 450, "n": 150, "replay": 600, "a2c": 400}, Verdict.NOT_SUPPORTED),
    ],
)
def test_every_verdict_can_come_out(scores: dict[str, float], verdict: Verdict):
    judgement = CLAIM.judge(made_up(**scores))
    assert judgement.verdict is verdict
    numbers = {number.name: number.value for number in judgement.numbers}
    assert numbers["A2C minus AC, one step"] == pytest.approx(scores["a2c"] - scores["one"])


def test_what_so_few_runs_cannot_tell_is_no_support():
    data = made_up(one=100, n=150, replay=400, a2c=400)
    data["scores"]["AC with replay"] = [[0.0, score, score, score] for score in (100.0, 700.0, 250.0, 550.0, 400.0)]
    assert CLAIM.judge(data).verdict is Verdict.CONDITIONAL


def test_in_small_everything_is_measured_and_can_be_judged_and_drawn(measured: Data):
    assert json.loads(json.dumps(measured)) == measured
    assert set(measured["scores"]) == set(METHODS)
    assert {len(curves) for curves in measured["scores"].values()} == {TINY.seeds}  # one each at so small a scale
    assert CLAIM.judge(measured).numbers
    figure = CLAIM.draw(measured)
    assert len(figure.axes) == 2
    figure.canvas.draw()


def test_every_rate_is_the_best_of_the_same_ones_and_neither_the_lowest_nor_the_highest():
    for name, scores in TUNED.items():
        assert len(scores) == len(RATES)
        assert RATES[0] < rate(name) < RATES[-1]
    assert not set(TUNING_SEEDS) & {100 * seed + k for seed in range(2000) for k in range(100)}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_the_same_samples_and_is_repeatable(method: str):
    run = Run(method, 3e-3, seed=1, steps=240)
    assert marks(run.steps)[-1] == 240
    scores = train(run)
    assert len(scores) == len(marks(run.steps))
    assert scores == train(run)
    assert final([0.0, 9.0, 1.0, 3.0, 5.0]) == 3.0


def test_a_memory_keeps_the_latest_transitions_and_draws_all_of_them():
    model = make_model(VECTOR, plain_config())
    memory = Memory(capacity=6, seed=0)
    parts = [one_step(random_rollout(model, 4, 1, seed=seed)[0]) for seed in range(3)]
    for seed in range(3):
        memory.add(random_rollout(model, 4, 1, seed=seed)[0])
    kept = torch.cat([part.rewards[0] for part in parts])[-6:]
    drawn = memory.sample(200)
    assert drawn.rewards.shape == (1, 200)
    assert drawn.transitions == 200
    assert set(drawn.rewards[0].tolist()) == set(kept.tolist())


def test_a_memory_keeps_what_a_collector_overwrites():
    cfg = replace(config(METHODS["AC with replay"]), seed=5)
    with make_envs(cfg) as envs:
        _, collector = build(cfg, envs)
        memory = Memory(capacity=100, seed=0)
        rollout = collector.collect(0)
        expected = rollout.actions.flatten().clone(), rollout.obs[:-1].flatten(0, 1).clone()
        memory.add(rollout)
        for update in range(1, 4):  # other actions, in the same memory
            memory.add(collector.collect(update))
        assert memory._kept is not None
        first = slice(0, cfg.n_step)
        assert torch.equal(memory._kept.actions[0, first], expected[0])
        assert torch.equal(memory._kept.obs[0, first], expected[1])


def test_a_learner_takes_batches_from_a_memory():
    cfg = plain_config(n_step=4, num_envs=1)
    model = make_model(VECTOR, cfg)
    learner = Learner(model, cfg)
    memory = Memory(capacity=10, seed=0)
    memory.add(random_rollout(model, 4, 1)[0])
    before = learner.weights.detach().clone()
    learner.update(memory.sample(8), env_steps=0)
    assert not torch.equal(learner.weights, before)


@pytest.mark.long
@pytest.mark.slow
def test_transitions_from_far_apart_are_worth_more_than_those_of_one_environment():
    cfg = replace(config(METHODS["A2C"]), seed=3, total_steps=4000)
    sizes = effective_batches(trained(cfg), cfg, capacity=400, draws=16)
    rows = cfg.num_envs * cfg.n_step
    assert sizes["one environment"] < sizes["A2C"] < sizes["all apart"]
    assert sizes["all apart"] == pytest.approx(rows, rel=0.5)  # measured with 16 batches


def test_the_difference_of_interquartile_means_is_of_two_groups_of_any_size():
    # IQMs of (0, 1, 2, 9) and of (5): (1 + 2) / 2 and 5
    found = iqm_difference([0.0, 1.0, 2.0, 9.0], [5.0])
    assert found.value == pytest.approx(-3.5)
    assert found.low < found.value < found.high
    rng = np.random.default_rng(0)
    found = [iqm_difference(rng.normal(3, 1, 30), rng.normal(1, 2, 20), resamples=300) for _ in range(200)]
    assert np.mean([each.low <= 2.0 <= each.high for each in found]) == pytest.approx(0.93, abs=0.05)


def test_the_interval_of_the_difference_of_few_runs_is_known():
    # The mean of two runs redrawn from (0, 1) is 0, 1/2 or 1 with chance 1/4, 1/2, 1/4.
    assert iqm_difference([0.0, 1.0], [5.0], confidence=0.9) == Estimate(-4.5, -5.0, -4.0)
    assert iqm_difference([5.0], [0.0, 1.0], confidence=0.4) == Estimate(4.5, 4.5, 4.5)
    # Two such groups, redrawn by themselves, are -1 or 1 apart with chance 1/16 each, which is more than 4 %.
    assert iqm_difference([0.0, 1.0], [0.0, 1.0], confidence=0.92) == Estimate(0.0, -1.0, 1.0)
    assert iqm_difference([3.3], [1.1]) == Estimate(3.3 - 1.1, 3.3 - 1.1, 3.3 - 1.1)


def test_the_difference_to_no_runs_is_an_error():
    with pytest.raises(ValueError, match="at least one score"):
        iqm_difference([1.0, 2.0], [])
