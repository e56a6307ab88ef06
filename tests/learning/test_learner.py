"""The learner's update is A2C's: one gradient step, of the right gradient, from one forward pass."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.errors import NumericError
from a2c.learning.learner import Learner
from a2c.maths.trees import single
from a2c.network.passes import Pass
from a2c.rollout import Rollout, columns
from builders import IMAGE, TORQUE, VECTOR, config, gradient, make_model, random_rollout, relative_error
from reference import naive_a2c, streams_of

CASES = [
    pytest.param(
        spaces, gae_lambda, standardised, gaps, id=f"{name}-{gae_lambda}{'-std' * standardised}{'-gaps' * gaps}"
    )
    for name, spaces in (("discrete", VECTOR), ("continuous", TORQUE))
    for gae_lambda in (1.0, 0.9)
    for standardised in (False, True)
    for gaps in (False, True)
]


@pytest.mark.parametrize(("spaces", "gae_lambda", "standardised", "gaps"), CASES)
def test_gradient_and_losses_are_the_naive_ones(
    spaces: Spaces, gae_lambda: float, standardised: bool, gaps: bool
) -> None:
    cfg = config(gae_lambda=gae_lambda, normalize_advantage=standardised, beta=0.03, value_coef=0.7, gamma=0.9)
    model = make_model(spaces, cfg, torch.float64)
    rollout, final_obs = random_rollout(model, steps=6, count=4, seed=8, gaps=gaps)
    assert rollout.terminated[:-1].any()
    assert rollout.truncated[:-1].any()
    assert rollout.truncated[-1].any()
    assert gaps == (rollout.weight is not None and bool((rollout.weight == 0).any()))

    naive = naive_a2c(model, streams_of(rollout, final_obs), cfg)

    assert relative_error(gradient(model, rollout, cfg), naive.gradient) < 1e-10
    learner = Learner(model, cfg)
    learner.update(rollout, env_steps=0)
    logged = learner.drain_metrics(0)
    for name in ("loss", "policy_loss", "value_loss", "entropy"):
        assert logged[f"train/{name}"] == pytest.approx(getattr(naive, name), rel=1e-6)  # summed in float32
    assert logged["train/grad_norm"] == pytest.approx(float(naive.gradient.norm()), rel=1e-6)
    returns, advantages = (torch.tensor([x for row in rows for x in row]) for rows in (naive.returns, naive.advantages))
    explained = 1 - float(advantages.var(correction=0) / returns.var(correction=0))
    assert logged["train/explained_variance"] == pytest.approx(explained, abs=1e-5)


@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "rmsprop", "adam"])
def test_a_rollout_without_a_transition_changes_nothing(optimizer: str) -> None:
    """One environment, one step, and that a reset: an optimizer with momentum would step without data."""
    cfg = config(optimizer=optimizer, normalize_obs=True)
    model = make_model(VECTOR, cfg)
    learner = Learner(model, cfg)
    rollout, _ = random_rollout(model, steps=1, count=1)
    learner.update(rollout, 0)
    before = copy.deepcopy((learner.state_dict(), learner.weights.detach()))
    learner.update(replace(rollout, weight=torch.zeros(1, 1), transitions=0), 1)
    for key, tensor in before[0]["model"].items():
        assert torch.equal(tensor, learner.model.state_dict()[key])
    for key, tensor in before[0]["optimizer"].items():
        assert torch.equal(tensor, learner.optimizer.state[key])
    assert torch.equal(before[1], learner.weights)


@pytest.mark.parametrize("shared", [False, True])
def test_images_and_a_shared_torso_have_the_naive_gradient_too(shared: bool) -> None:
    cfg = config(network={"torso": "nature_cnn", "shared_torso": shared})
    model = make_model(IMAGE, cfg)
    rollout, final_obs = random_rollout(model, steps=2, count=2, seed=1)
    naive = naive_a2c(model, streams_of(rollout, final_obs), cfg)
    assert relative_error(gradient(model, rollout, cfg), naive.gradient) < 1e-5


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("spaces", [VECTOR, TORQUE])
def test_batch_gradient_is_the_mean_of_the_gradients_of_single_environments(
    spaces: Spaces, dtype: torch.dtype, tolerance: float
) -> None:
    cfg = config()
    model = make_model(spaces, cfg, dtype)
    rollout, _ = random_rollout(model, steps=5, count=8)
    together = gradient(model, rollout, cfg)
    apart = torch.stack([gradient(model, columns(rollout, slice(i, i + 1)), cfg) for i in range(8)])
    assert relative_error(together, apart.mean(0)) < tolerance
    assert relative_error(apart[0], together) > 0.1  # they differ: the mean is no accident


def test_an_update_is_one_forward_one_backward_and_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config(n_step=5, num_envs=3)
    model = make_model(VECTOR, cfg)
    rollout, _ = random_rollout(model, steps=5, count=3)
    learner = Learner(model, cfg)
    calls: list[Any] = []

    class Counted:
        def __init__(self, inner: Pass) -> None:
            self.inner = inner

        def forward(self, rollout: Rollout) -> Any:
            calls.append(("forward", tuple(single(rollout.obs).shape[:2])))
            return self.inner.forward(rollout)

        def backward(self, *gradients: torch.Tensor) -> None:
            calls.append(("backward", *(tuple(gradient.shape[:2]) for gradient in gradients)))
            self.inner.backward(*gradients)

    counted = Counted(learner._pass)
    monkeypatch.setattr(learner, "_pass_of", lambda steps, count: counted)
    for name in ("forward", "policy", "value"):
        monkeypatch.setattr(model, name, lambda *_, name=name: calls.append(name))
    step = learner.optimizer.step
    monkeypatch.setattr(learner.optimizer, "step", lambda lr: [calls.append("step"), step(lr)][1])

    learner.update(rollout, env_steps=0)

    # T+1 rows are valued, T have a gradient
    assert calls == [("forward", (6, 3)), ("backward", (5, 3), (5, 3)), "step"]


def test_no_gradient_flows_through_the_bootstrap_or_the_targets() -> None:
    cfg = config(beta=0.0, value_coef=0.0)  # what is left of the loss does not depend on V
    model = make_model(VECTOR, cfg)
    rollout, _ = random_rollout(model, steps=4, count=3)
    learner = Learner(model, cfg)
    learner.update(rollout, env_steps=0)
    assert model.value_torso is not None
    for param in (*model.value_torso.parameters(), *model.value_head.parameters()):
        assert param.grad is not None
        assert not param.grad.any()


def test_coefficients_are_computed_from_env_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config(lr=0.8, lr_schedule="linear", beta=0.4, beta_schedule="cosine", total_steps=1000)
    model = make_model(VECTOR, cfg)
    rollout, _ = random_rollout(model, steps=4, count=3)
    learner = Learner(model, cfg)

    rates: list[float] = []
    monkeypatch.setattr(learner.optimizer, "step", rates.append)

    def after(env_steps: int) -> tuple[float, float]:
        learner.update(rollout, env_steps)
        found = learner.drain_metrics(env_steps)
        without = found["train/policy_loss"] + 0.5 * found["train/value_loss"]
        beta = (without - found["train/loss"]) / found["train/entropy"]
        assert found["train/beta"] == pytest.approx(beta, abs=1e-4)  # the one that the loss was made with
        assert found["train/learning_rate"] == rates[-1]
        return rates[-1], found["train/beta"]

    # linear: 0.8 * (1 - 0.25) = 0.6;  cosine at 1/3: 0.4 * (1 + cos(pi/3)) / 2 = 0.4 * 0.75 = 0.3
    assert after(250)[0] == pytest.approx(0.6)
    assert after(333)[1] == pytest.approx(0.3, abs=1e-3)
    assert after(5000) == (0.0, 0.0)  # clamped at the end
    assert after(0) == (0.8, 0.4)  # nothing remembers the updates before: a resumed run needs only env_steps


# After 250 of 1000 steps: 8e-3 * (3/4), 0.02 + 0.06 * 3/4, 0.8 * 0.6, 0.2 + 0.6 * (1 + cos(pi/4)) / 2, 0.1 * 0.5
SCHEDULED: dict[str, tuple[float, dict[str, Any], float]] = {
    "lr": (8e-3, {"lr_schedule": "linear"}, 6e-3),
    "beta": (0.08, {"beta_schedule": "linear", "beta_end": 0.02}, 0.065),
    "value_coef": (0.8, {"value_coef_schedule": [[0, 1.0], [0.5, 0.2]]}, 0.48),
    "gae_lambda": (0.8, {"gae_lambda_schedule": "cosine", "gae_lambda_end": 0.2}, 0.712132034),
    "max_grad_norm": (0.1, {"max_grad_norm_schedule": [[0.25, 0.5], [1, 1]]}, 0.05),
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_coefficient_with_a_schedule_is_the_one_of_that_step(name: str) -> None:
    start, schedule, then = SCHEDULED[name]
    found, expected = config(**{name: start}, **schedule, total_steps=1000), config(**{name: then}, total_steps=1000)
    model = make_model(VECTOR, found)
    rollout, _ = random_rollout(model, steps=4, count=3)
    learners = [Learner(copy.deepcopy(model), cfg) for cfg in (found, expected, config(**{name: start}))]
    for learner in learners:
        learner.update(rollout, 250)
    scheduled, by_hand, constant = (learner.weights for learner in learners)
    torch.testing.assert_close(scheduled, by_hand, rtol=1e-6, atol=1e-9)
    assert not torch.allclose(scheduled, constant, rtol=1e-6, atol=1e-9)  # so the comparison can fail
    metrics = learners[0].drain_metrics(250)
    assert metrics[f"train/{'learning_rate' if name == 'lr' else name}"] == pytest.approx(then)
    assert metrics["train/loss"] == pytest.approx(learners[1].drain_metrics(250)["train/loss"], rel=1e-5)
    lacking = {"train/value_coef", "train/gae_lambda", "train/max_grad_norm"} - {f"train/{name}"}
    assert not lacking & set(metrics)


def test_the_logged_loss_weighs_every_update_with_its_own_value_coef() -> None:
    cfg = config(lr=0.0, value_coef=0.5, value_coef_schedule="linear", beta=0.0, total_steps=1000)
    model = make_model(VECTOR, cfg)
    learner = Learner(model, cfg)
    first, second = (random_rollout(model, steps=3, count=2, seed=seed)[0] for seed in range(2))
    alone = []
    for rollout in (first, second):
        learner.update(rollout, 0)
        alone.append(learner.drain_metrics(0))
    learner.update(first, 0)  # 0.5
    learner.update(second, 800)  # 0.1
    policy = (alone[0]["train/policy_loss"] + alone[1]["train/policy_loss"]) / 2
    value = (0.5 * alone[0]["train/value_loss"] + 0.1 * alone[1]["train/value_loss"]) / 2
    assert learner.drain_metrics(800)["train/loss"] == pytest.approx(policy + value, rel=1e-5)


def test_metrics_are_means_over_the_updates_since_they_were_last_drained() -> None:
    cfg = config(lr=0.0)  # the weights stay: each loss can be computed by itself
    model = make_model(VECTOR, cfg)
    rollouts = [random_rollout(model, steps=3, count=2, seed=seed)[0] for seed in range(3)]
    learner = Learner(model, cfg)
    single = []
    for rollout in rollouts:
        learner.update(rollout, 0)
        single.append(learner.drain_metrics(0))
    for rollout in rollouts:
        learner.update(rollout, 0)
    together = learner.drain_metrics(0)
    for name in ("loss", "policy_loss", "value_loss", "entropy", "grad_norm"):
        key = f"train/{name}"
        assert together[key] == pytest.approx(sum(row[key] for row in single) / 3, rel=1e-5)
    learner.update(rollouts[0], 0)
    assert learner.drain_metrics(0)["train/loss"] == pytest.approx(single[0]["train/loss"], rel=1e-6)


def test_a_gradient_longer_than_max_grad_norm_is_scaled_down_to_it() -> None:
    free, clipped = config(), config(max_grad_norm=0.01)
    model = make_model(VECTOR, free)
    rollout, _ = random_rollout(model, steps=4, count=3)
    whole = gradient(model, rollout, free)
    scaled = gradient(model, rollout, clipped)
    assert whole.norm() > 1
    assert float(scaled.norm()) == pytest.approx(0.01, rel=1e-4)
    assert_close(scaled / scaled.norm(), whole / whole.norm())
    assert_close(gradient(model, rollout, config(max_grad_norm=1e6)), whole)  # a shorter one is left alone
    learner = Learner(model, clipped)
    learner.update(rollout, 0)
    assert learner.drain_metrics(0)["train/grad_norm"] == pytest.approx(float(whole.norm()))  # logged before clipping


def _infinite_reward(rollout: Rollout) -> None:
    rollout.rewards[1, 1] = math.inf


def _nan_observation(rollout: Rollout) -> None:
    rollout.obs[2, 0] = math.nan


def _huge_reward(rollout: Rollout) -> None:
    rollout.rewards[0] = 3e38  # finite, but its square is not


@pytest.mark.parametrize("spoil", [_infinite_reward, _nan_observation, _huge_reward])
@pytest.mark.parametrize("max_grad_norm", [0.5, None])
@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "rmsprop", "adam"])
def test_a_loss_that_is_not_finite_never_reaches_the_weights(
    optimizer: str, max_grad_norm: float | None, spoil: Callable[[Rollout], None]
) -> None:
    cfg = config(optimizer=optimizer, max_grad_norm=max_grad_norm, normalize_obs=True)
    model = make_model(VECTOR, cfg)
    good, _ = random_rollout(model, steps=4, count=3, seed=0)
    bad, _ = random_rollout(model, steps=4, count=3, seed=1)
    spoil(bad)
    learner = Learner(model, cfg)
    learner.update(good, 0)
    before = _bits(learner)
    with pytest.raises(NumericError, match="the update after 12 steps is not finite; it was not applied") as caught:
        learner.update(bad, 12)
    assert _bits(learner) == before
    assert caught.value.evidence is not None
    assert torch.equal(caught.value.evidence["rollout"]["rewards"], bad.rewards)
    learner.update(good, 12)
    assert learner.weights.isfinite().all()
    assert _bits(learner) != before
    assert math.isfinite(learner.drain_metrics(0)["train/loss"])


def _bits(learner: Learner) -> dict[str, bytes]:
    """Weights, optimizer and statistics."""
    state = learner.state_dict()
    return {name: one.numpy().tobytes() for part in ("model", "optimizer") for name, one in state[part].items()}


NUMBERS = st.sampled_from([0.0, -1.5, 1e-30, 1e19, 3e38, -3e38, math.inf, -math.inf, math.nan])


@given(
    changes=st.fixed_dictionaries(
        {
            "optimizer": st.sampled_from(["rmsprop_tf", "rmsprop", "adam"]),
            "max_grad_norm": st.sampled_from([0.5, None]),
            "normalize_obs": st.booleans(),
            "normalize_advantage": st.booleans(),
        }
    ),
    spaces=st.sampled_from([VECTOR, TORQUE]),
    places=st.lists(
        st.tuples(st.sampled_from(["obs", "rewards", "final_values", "actions"]), st.integers(0, 999), NUMBERS)
    ),
    gaps=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_a_rollout_weights_stay_finite_or_as_they_were(
    changes: dict[str, Any], spaces: Spaces, places: list[tuple[str, int, float]], gaps: bool
) -> None:
    cfg = config(**changes)
    model = make_model(spaces, cfg)
    rollout, _ = random_rollout(model, steps=3, count=2, gaps=gaps)
    for name, index, number in places:
        part = getattr(rollout, name)
        if part.is_floating_point():
            part.view(-1)[index % part.numel()] = number
    learner = Learner(model, cfg)
    before = _bits(learner)
    try:
        learner.update(rollout, 0)
    except NumericError:
        assert _bits(learner) == before
    state = learner.state_dict()
    assert all(one.isfinite().all() for part in ("model", "optimizer") for one in state[part].values())


def test_rows_of_weight_0_can_hold_anything_finite() -> None:
    cfg = config(normalize_obs=True, gae_lambda=0.9)
    model = make_model(VECTOR, cfg)
    rollout, _ = random_rollout(model, steps=6, count=4, seed=3, gaps=True)
    assert rollout.weight is not None
    hole = rollout.weight == 0
    assert hole.any()
    other = replace(rollout, obs=rollout.obs.clone(), rewards=rollout.rewards.clone(), actions=rollout.actions.clone())
    other.obs[:-1][hole] = 50.0
    other.rewards[hole] = -1000.0
    other.actions[hole] = 0

    def learned(seen: Rollout) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        learner = Learner(make_model(VECTOR, cfg), cfg)
        learner.update(seen, 0)
        assert learner.model.normalizer is not None
        return learner.weights.detach(), dict(learner.model.normalizer.named_buffers())

    weights, statistics = learned(rollout)
    other_weights, other_statistics = learned(other)
    assert_close(other_weights, weights)
    assert_close(other_statistics, statistics)
    rows = rollout.obs[:-1][~hole]
    assert_close(statistics["mean"].float(), rows.mean(0))
    assert float(statistics["count"]) == len(rows) == rollout.transitions


def test_the_normaliser_learns_after_the_gradient_and_not_before() -> None:
    cfg = config(normalize_obs=True)
    model = make_model(VECTOR, cfg, torch.float64)
    rollout, final_obs = random_rollout(model, steps=5, count=4)
    naive = naive_a2c(model, streams_of(rollout, final_obs), cfg)  # with the statistics that the policy acted with
    assert relative_error(gradient(model, rollout, cfg), naive.gradient) < 1e-10


def test_a_restored_learner_continues_as_the_saved_one_would_have() -> None:
    for optimizer in ("rmsprop_tf", "rmsprop", "adam"):
        cfg = config(optimizer=optimizer, lr_schedule="linear", normalize_obs=True)
        model = make_model(VECTOR, cfg)
        rollouts = [random_rollout(model, steps=3, count=2, seed=seed)[0] for seed in range(4)]
        straight = Learner(model, cfg)
        for k in range(2):
            straight.update(rollouts[k], 1000 * k)
        restored = Learner(make_model(VECTOR, replace(cfg, seed=9)), cfg)
        restored.load_state_dict(copy.deepcopy(straight.state_dict()))  # as through a file
        for learner in (straight, restored):
            for k in (2, 3):
                learner.update(rollouts[k], 1000 * k)
        assert torch.equal(restored.weights, straight.weights), optimizer
