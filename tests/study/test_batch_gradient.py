"""The claim about batch gradients: what it rests on, a run in small, every verdict."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.network.actor_critic import ActorCritic
from a2c.rollout import columns
from a2c.settings.compose import load_config
from a2c.study.batches import by_autograd, by_learner, cast, joined, one_step
from a2c.study.claim import Data, Verdict
from a2c.study.claims.batch_gradient import CLAIM, COUNTS, config
from a2c.study.job_pool import Pool
from a2c.study.measures.gradients import relative_error
from a2c.study.settings import StudySettings
from builders import VECTOR, make_model, random_rollout
from builders import config as plain_config
from reference import naive_a2c, streams_of

TINY = StudySettings(claims=[], seeds=2, scale=0.02, seed=0, jobs=1, folder="unused")


@pytest.fixture(scope="module")
def measured() -> Data:
    return CLAIM.measure(TINY)


def made_up(slopes: list[float], error: float = 1e-15) -> Data:
    """A measurement in which the variance falls as N to the power of each slope, one a policy."""

    def power_laws(exponents: list[float]) -> list[dict[str, Any]]:
        lines = [np.power(COUNTS, exponent) for exponent in exponents]
        return [{"value": list(line), "low": list(0.8 * line), "high": list(1.25 * line)} for line in lines]

    names = ("autograd, float64", "learner, float64", "learner, float32", "standardised advantages")
    return {
        "counts": COUNTS,
        "draws": 32,
        "errors": {**{name: [error] * len(slopes) for name in names}, "clipped worker by worker": [0.3] * len(slopes)},
        "variance": {
            "independent": power_laws(slopes),
            "same start": power_laws([-0.4, -0.5, -0.6]),
            "copies": power_laws([0.0] * 3),
        },
    }


@pytest.mark.parametrize(
    ("slopes", "error", "verdict"),
    [
        ([-0.98, -1.0, -1.02], 1e-15, Verdict.SUPPORTED),
        ([-0.7, -0.71, -0.72], 1e-15, Verdict.CONDITIONAL),  # it falls, but not as 1/N
        ([-0.5, -1.0, -1.5], 1e-15, Verdict.NOT_SUPPORTED),  # nobody knows whether it falls: the interval reaches 0
        ([0.0, 0.01, -0.01], 1e-15, Verdict.NOT_SUPPORTED),
        ([-0.98, -1.0, -1.02], 1e-3, Verdict.NOT_SUPPORTED),  # not the mean
    ],
)
def test_every_verdict_can_come_out(slopes: list[float], error: float, verdict: Verdict):
    judgement = CLAIM.judge(made_up(slopes, error))
    assert judgement.verdict is verdict
    assert f"{np.mean(slopes):.3f}" in judgement.why
    assert judgement.numbers[0].value == pytest.approx(np.mean(slopes))


def test_in_small_the_identity_is_exact_and_copies_do_not_help(measured: Data):
    assert json.loads(json.dumps(measured)) == measured
    errors = {name: max(found) for name, found in measured["errors"].items()}
    for way in ("autograd", "learner", "learner against autograd"):
        assert errors[f"{way}, float64"] < 1e-10
        assert errors[f"{way}, float32"] < 1e-4
    assert errors["standardised advantages"] > 0.01
    assert errors["clipped worker by worker"] > 0.01
    for policy in measured["variance"]["copies"]:
        assert policy["value"] == pytest.approx([policy["value"][0]] * len(COUNTS), rel=1e-3)
    for policy in measured["variance"]["independent"]:
        assert policy["value"][-1] < policy["value"][0] / 4  # 1/64, measured with two batches


def test_what_was_measured_can_be_judged_and_drawn(measured: Data):
    assert CLAIM.judge(measured).numbers
    figure = CLAIM.draw(measured)
    assert len(figure.axes) == 2
    figure.canvas.draw()


def model_of(dtype: torch.dtype = torch.float64) -> ActorCritic:
    return make_model(VECTOR, plain_config(), dtype)


@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("gaps", [False, True])
def test_both_gradients_are_the_naive_one(standardised: bool, gaps: bool):
    cfg = plain_config(normalize_advantage=standardised, gae_lambda=0.9)
    model = model_of()
    rollout, final_obs = random_rollout(model, 5, 4, gaps=gaps)
    naive = naive_a2c(model, streams_of(rollout, final_obs), cfg).gradient
    before = copy.deepcopy(model.state_dict())
    for way in (by_learner, by_autograd):
        gradient = way(model, cfg)
        assert relative_error(gradient(rollout), naive) < 1e-10
        assert relative_error(gradient(rollout), naive) < 1e-10  # a second time: the weights stood still
    assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_one_step_transitions_have_the_gradient_of_td0():
    cfg = plain_config(gae_lambda=0.0)  # in a rollout, lambda = 0 is TD(0)
    model = model_of()
    rollout, _ = random_rollout(model, 5, 4)
    gradient = by_learner(model, cfg)
    flat = one_step(rollout)
    assert flat.rewards.shape == (1, 20)
    assert flat.transitions == 20
    assert relative_error(gradient(flat), gradient(rollout)) < 1e-10


def test_rollouts_are_cut_and_joined_environment_by_environment():
    rollout, _ = random_rollout(model_of(), 3, 4)
    again = joined(columns(rollout, slice(0, 1)), columns(rollout, torch.tensor([1, 2])), columns(rollout, slice(3, 4)))
    for name in ("obs", "actions", "rewards", "terminated", "truncated", "final_values"):
        assert_close(getattr(again, name), getattr(rollout, name), rtol=0, atol=0)
    assert again.transitions == 12
    assert columns(rollout, torch.tensor([2, 2])).rewards.shape == (3, 2)
    assert cast(rollout, torch.float32).obs.dtype == torch.float32
    assert cast(rollout, torch.float32).terminated.dtype == torch.bool


def test_environments_of_one_seed_start_alike_and_draws_differ():
    cfg = load_config("env=cartpole_study", "vectorization=sync", "device=cpu", "num_envs=4", "n_step=6", "beta=0")
    model = make_model(Spaces((4,), "float32", 2, discrete=True), cfg)
    with Pool(cfg) as pool:
        paired = next(pool.play(model, like=[0, 0, 2, 2])).obs.clone()
        again = next(pool.play(model, like=[0, 0, 2, 2])).obs.clone()
        other = next(pool.play(model, draw=1)).obs.clone()
        late = pool.late(model, age=9)  # 9 steps are two rollouts: the third starts at step 12
        rollouts = pool.play(model)
        assert_close([next(rollouts).obs.clone() for _ in range(3)][2], late.obs)
    assert torch.equal(paired[0, 0], paired[0, 1])
    assert torch.equal(paired[0, 2], paired[0, 3])
    assert not torch.equal(paired[0, 1], paired[0, 2])
    assert not torch.equal(paired[-1, 0], paired[-1, 1])  # actions are their own
    assert torch.equal(paired, again)
    assert not torch.equal(paired[0], other[0])


def test_the_loss_is_the_plain_one():
    cfg = config()
    assert (cfg.normalize_advantage, cfg.gae_lambda, cfg.max_grad_norm) == (False, 1.0, None)
