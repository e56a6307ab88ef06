"""The loss is the article's: hand-computed, free of gradient through its targets, blind to rows of weight 0."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from a2c.maths.losses import Losses, actor_critic_loss, loss_gradients, loss_sums, mean, standardize, variance

WEIGHT = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])


def tensors(**changes: Tensor) -> dict[str, Tensor]:
    names = ("log_probs", "entropies", "values", "returns", "advantages")
    draw = torch.Generator().manual_seed(1)
    found = {name: torch.randn(2, 3, generator=draw, dtype=torch.float64) for name in names}
    return {**found, **changes}


def test_every_term_by_hand():
    losses = actor_critic_loss(
        log_probs=torch.tensor([[-1.0], [-2.0]]),
        entropies=torch.tensor([[0.5], [0.7]]),
        values=torch.tensor([[1.0], [2.0]]),
        returns=torch.tensor([[3.0], [1.0]]),
        advantages=torch.tensor([[2.0], [-1.0]]),
        value_coef=0.5,
        beta=0.1,
    )
    # L_policy = -(-1*2 + -2*-1)/2   = 0
    # L_value  = ((3-1)^2 + (1-2)^2)/2 = 2.5
    # H        = (0.5 + 0.7)/2       = 0.6
    # L        = 0 + 0.5*2.5 - 0.1*0.6 = 1.19
    assert_close(losses.policy_loss, torch.tensor(0.0))
    assert_close(losses.value_loss, torch.tensor(2.5))
    assert_close(losses.entropy, torch.tensor(0.6))
    assert_close(losses.loss, torch.tensor(1.19))


def test_a_good_action_becomes_likelier_and_a_bad_one_less():
    log_probs = torch.zeros(2, 1, requires_grad=True)
    zeros = torch.zeros(2, 1)
    actor_critic_loss(log_probs, zeros, zeros, zeros, torch.tensor([[3.0], [-1.0]])).loss.backward()
    # dL/d log pi = -A/2: descent raises log pi where A > 0
    assert_close(log_probs.grad, torch.tensor([[-1.5], [0.5]]))


def test_value_coef_is_the_only_half():
    # d/dV of value_coef * (G - V)^2 at G - V = 3: -2 * value_coef * 3, so -3 for 0.5 and -6 for 1
    zeros = torch.zeros(1, 1)
    for value_coef, expected in ((0.5, -3.0), (1.0, -6.0)):
        values = torch.zeros(1, 1, requires_grad=True)
        losses = actor_critic_loss(zeros, zeros, values, torch.full((1, 1), 3.0), zeros, value_coef=value_coef)
        losses.loss.backward()
        assert_close(losses.value_loss, torch.tensor(9.0))
        assert_close(values.grad, torch.tensor([[expected]]))


def test_the_entropy_bonus_raises_entropy():
    entropies = torch.zeros(2, 2, requires_grad=True)
    zeros = torch.zeros(2, 2)
    actor_critic_loss(zeros, entropies, zeros, zeros, zeros, beta=0.2).loss.backward()
    assert_close(entropies.grad, torch.full((2, 2), -0.2 / 4))


def test_no_gradient_flows_through_returns_or_advantages():
    inputs = {name: tensor.requires_grad_() for name, tensor in tensors().items()}
    actor_critic_loss(**inputs).loss.backward()
    assert {name for name, tensor in inputs.items() if tensor.grad is None} == {"returns", "advantages"}


def test_the_coefficients_weigh_their_terms():
    base = actor_critic_loss(**tensors(), value_coef=0.0, beta=0.0)
    both = actor_critic_loss(**tensors(), value_coef=0.3, beta=0.7)
    assert_close(base.loss, base.policy_loss)
    assert_close(both.loss, base.policy_loss + 0.3 * base.value_loss - 0.7 * base.entropy)


# ---- rows that are no transitions ----


def terms(losses: Losses) -> list[Tensor]:
    return [losses.loss, losses.policy_loss, losses.value_loss, losses.entropy]


def test_a_row_of_weight_zero_is_as_good_as_absent():
    inputs = tensors()
    kept = {name: tensor[WEIGHT > 0].unsqueeze(1) for name, tensor in inputs.items()}
    for found, expected in zip(
        terms(actor_critic_loss(**inputs, weight=WEIGHT.double())), terms(actor_critic_loss(**kept)), strict=True
    ):
        assert_close(found, expected, rtol=1e-14, atol=1e-14)


def test_a_row_of_weight_zero_gets_no_gradient_at_all():
    inputs = {name: tensor.requires_grad_() for name, tensor in tensors().items()}
    actor_critic_loss(**inputs, weight=WEIGHT.double()).loss.backward()
    for name in ("log_probs", "entropies", "values"):
        gradient = inputs[name].grad
        assert gradient is not None
        assert torch.equal(gradient == 0, WEIGHT == 0), name


def test_the_gradient_of_a_valid_row_is_that_of_the_valid_rows_alone():
    inputs = {name: tensor.requires_grad_() for name, tensor in tensors().items()}
    actor_critic_loss(**inputs, weight=WEIGHT.double()).loss.backward()
    kept = {name: tensor.detach()[WEIGHT > 0].unsqueeze(1).requires_grad_() for name, tensor in inputs.items()}
    actor_critic_loss(**kept).loss.backward()
    for name in ("log_probs", "entropies", "values"):
        assert_close(inputs[name].grad[WEIGHT > 0], kept[name].grad.squeeze(1), rtol=1e-14, atol=1e-14)


def test_a_weight_of_ones_is_no_weight():
    ones = torch.ones(2, 3, dtype=torch.float64)
    for found, expected in zip(
        terms(actor_critic_loss(**tensors(), weight=ones)), terms(actor_critic_loss(**tensors())), strict=True
    ):
        assert_close(found, expected, rtol=1e-14, atol=1e-14)


def test_a_rollout_without_any_transition_teaches_nothing():
    inputs = {name: tensor.requires_grad_() for name, tensor in tensors().items()}
    losses = actor_critic_loss(**inputs, weight=torch.zeros(2, 3, dtype=torch.float64))
    losses.loss.backward()
    assert losses.loss == 0
    assert all((tensor.grad == 0).all() for tensor in inputs.values() if tensor.grad is not None)


# ---- statistics ----


def test_mean_and_variance_by_hand():
    x = torch.tensor([[1.0, 100.0, 2.0], [100.0, 3.0, 6.0]])
    # valid: 1 2 3 6: mean 3, squared distances 4 1 0 9: variance 14/4 = 3.5 (population)
    assert_close(mean(x, WEIGHT), torch.tensor(3.0))
    assert_close(variance(x, WEIGHT), torch.tensor(3.5))
    assert_close(variance(torch.tensor([1.0, 2.0, 3.0, 6.0])), torch.tensor(3.5))


def test_standardized_advantages_by_hand():
    x = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert_close(standardize(x), torch.tensor([-2.0, -1.0, 0.0, 3.0]) / sqrt(3.5))


def test_standardized_advantages_have_mean_zero_and_deviation_one_over_valid_rows():
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, generator=draw, dtype=torch.float64) * 5 + 7
    valid = standardize(torch.where(WEIGHT > 0, x, 1e3), WEIGHT.double())[WEIGHT > 0]
    assert_close(valid, standardize(x[WEIGHT > 0]))
    assert abs(float(valid.mean())) < 1e-12
    assert abs(float(valid.square().mean()) - 1) < 1e-7


def test_equal_advantages_standardize_to_zero():
    assert torch.equal(standardize(torch.full((2, 3), 4.0)), torch.zeros(2, 3))


# ---- errors ----


@pytest.mark.parametrize("name", ["entropies", "values", "returns", "advantages", "weight"])
@pytest.mark.parametrize("shape", [(2, 1), (3,), (2, 3, 1)])
def test_a_shape_that_would_broadcast_is_refused(name, shape):
    with pytest.raises(ValueError, match=f"^{name} has shape"):
        actor_critic_loss(**{**tensors(), name: torch.zeros(shape)})


def test_ranks_with_unequal_counts_add_up_to_the_whole():
    """Sums and counts are added before they are divided; a mean of the ranks' means would be another number."""
    draw = torch.Generator().manual_seed(0)
    whole = [torch.randn(4, 6, generator=draw, dtype=torch.float64) for _ in range(5)]
    weight = torch.ones(4, 6, dtype=torch.float64)
    weight[:3, :2] = 0
    expected = actor_critic_loss(*whole, value_coef=0.7, beta=0.1, weight=weight)
    parts = [slice(0, 2), slice(2, 6)]  # 2 and 16 transitions
    sums = [loss_sums(*(one[:, part] for one in whole), weight=weight[:, part]) for part in parts]
    assert [float(one.count) for one in sums] == [2.0, 16.0]
    assert_close((sums[0] + sums[1]).means(value_coef=0.7, beta=0.1).loss, expected.loss)
    of_means = sum(one.means(value_coef=0.7, beta=0.1).loss for one in sums) / 2
    assert abs(float(of_means - expected.loss)) > 1e-2

    _, _, values, returns, advantages = whole
    options = {"value_coef": 0.7, "beta": 0.1}
    together = loss_gradients(values, returns, advantages, **options, weight=weight)
    summed = [
        loss_gradients(values[:, p], returns[:, p], advantages[:, p], **options, weight=weight[:, p], count=1)
        for p in parts
    ]
    for whole_gradient, *apart in zip(together, *summed, strict=True):
        assert_close(torch.cat(apart, dim=1) / weight.sum(), whole_gradient)


def test_a_batch_without_time_has_a_loss_too():
    one = torch.tensor([1.0, 2.0])
    losses = actor_critic_loss(log_probs=one, entropies=one, values=one, returns=one + 1, advantages=one)
    assert_close(losses.value_loss, torch.tensor(1.0))
