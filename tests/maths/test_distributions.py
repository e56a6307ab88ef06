"""Distributions agree with torch.distributions, and sampling is a pure function of (parameters, noise)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from a2c.maths.distributions import Categorical, DiagonalGaussian, pullback_of
from a2c.maths.noise import uniform_noise


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- categorical ----


def test_categorical_by_hand():
    # logits (0, log 3): p = (1/4, 3/4); log p(1) = log 3/4; H = -(1/4 log 1/4 + 3/4 log 3/4) = 0.562335
    log_prob, entropy = Categorical(2).log_prob_entropy(torch.tensor([0.0, math.log(3)]), torch.tensor(1))
    assert_close(log_prob, torch.tensor(math.log(0.75)))
    assert_close(entropy, torch.tensor(0.5623351446))


@given(st.integers(1, 9), st.integers(0, 2**31), st.sampled_from([0.1, 1.0, 30.0]))
def test_categorical_agrees_with_torch(n, seed, scale):
    logits = draw(5, 3, n, seed=seed) * scale
    actions = torch.randint(0, n, (5, 3), generator=torch.Generator().manual_seed(seed))
    log_prob, entropy = Categorical(n).log_prob_entropy(logits, actions)
    theirs = torch.distributions.Categorical(logits=logits)
    assert_close(log_prob, theirs.log_prob(actions))
    assert_close(entropy, theirs.entropy())


def test_a_certain_policy_has_entropy_zero_and_finite_gradients():
    logits = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    log_prob, entropy = Categorical(3).log_prob_entropy(logits, torch.tensor([1]))
    (log_prob + entropy).sum().backward()
    assert entropy.item() == 0
    assert log_prob.item() == -1e4
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_gumbel_max_draws_every_action_as_often_as_its_probability():
    # chi-square with 3 degrees of freedom: above 16.3 once in a thousand
    n, probabilities = 40_000, torch.tensor([0.05, 0.15, 0.3, 0.5])
    categorical = Categorical(4)
    noise = categorical.noise(uniform_noise(3, range(1), 1, range(n), 4))[0, 0]
    actions = categorical.sample(probabilities.log().expand(n, 4), noise)
    counts = torch.bincount(actions, minlength=4)
    assert float(((counts - n * probabilities).square() / (n * probabilities)).sum()) < 16.3


def test_gumbel_noise_has_the_moments_of_its_distribution():
    # mean 0.57722 (Euler's constant), variance pi^2/6 = 1.64493
    noise = Categorical(4).noise(uniform_noise(3, range(1), 100, range(100), 4)).double()
    n = noise.numel()
    assert abs(float(noise.mean()) - 0.5772156649) < 4 * math.sqrt(1.645 / n)
    assert abs(float(noise.var()) - math.pi**2 / 6) < 4 * math.sqrt((5.4 - 1) / n) * 1.645  # kurtosis 5.4


def test_categorical_mode_is_the_likeliest_action():
    assert Categorical(3).mode(torch.tensor([[0.0, 2.0, 1.0], [3.0, -1.0, 0.0]])).tolist() == [1, 0]


# ---- gaussian ----


def test_gaussian_by_hand():
    # mean 1, std 2, action 5: z = 2; log p = -z^2/2 - log 2 - log(2 pi)/2 = -2 - 0.693147 - 0.918939 = -3.612086
    # H = 1/2 + log 2 + log(2 pi)/2 = 2.112086; two such dimensions add up
    params = torch.tensor([1.0, 1.0, math.log(2), math.log(2)])
    log_prob, entropy = DiagonalGaussian(2).log_prob_entropy(params, torch.tensor([5.0, 5.0]))
    assert_close(log_prob, torch.tensor(-2 * 3.612086))
    assert_close(entropy, torch.tensor(2 * 2.112086))


@given(st.integers(1, 5), st.integers(0, 2**31))
def test_gaussian_agrees_with_torch(size, seed):
    params, actions = draw(4, 3, 2 * size, seed=seed), draw(4, 3, size, seed=seed + 1) * 3
    mean, log_std = params.chunk(2, -1)
    theirs = torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp()), 1)
    log_prob, entropy = DiagonalGaussian(size).log_prob_entropy(params, actions)
    assert_close(log_prob, theirs.log_prob(actions))
    assert_close(entropy, theirs.entropy())


def test_gaussian_noise_is_standard_normal_and_independent_between_dimensions():
    noise = DiagonalGaussian(3).noise(uniform_noise(3, range(1), 100, range(300), 6)).double().view(-1, 3)
    n = len(noise)
    assert noise.mean(0).abs().max() < 4 / math.sqrt(n)
    assert (noise.square().mean(0) - 1).abs().max() < 4 * math.sqrt(2 / n)
    assert (noise**3).mean(0).abs().max() < 4 * math.sqrt(15 / n)
    assert ((noise**4).mean(0) - 3).abs().max() < 4 * math.sqrt(96 / n)
    correlation = torch.corrcoef(noise.T) - torch.eye(3)
    assert correlation.abs().max() < 4 / math.sqrt(n)
    ordered = noise.flatten().sort().values
    cdf = 0.5 * (1 + torch.erf(ordered / math.sqrt(2)))  # Kolmogorov-Smirnov, as for the uniform numbers
    gap = (cdf - (torch.arange(len(cdf)) + 0.5) / len(cdf)).abs().max()
    assert math.sqrt(len(cdf)) * float(gap) < 1.95


def test_gaussian_noise_by_hand():
    # Box-Muller of (radius, angle) pairs: sqrt(-2 log e^-2) cos(2 pi / 2) = -2; sqrt(-2 log e^-8) cos(2 pi / 6) = 2
    uniform = torch.tensor([math.exp(-2), 1 / 2, math.exp(-8), 1 / 6])
    assert_close(DiagonalGaussian(2).noise(uniform), torch.tensor([-2.0, 2.0]), rtol=1e-5, atol=0)


def test_gumbel_noise_by_hand():
    # -log(-log u): 0 at u = 1/e, 1 at u = exp(-1/e)
    uniform = torch.tensor([math.exp(-1), math.exp(-math.exp(-1))])
    assert_close(Categorical(2).noise(uniform), torch.tensor([0.0, 1.0]), rtol=1e-5, atol=1e-6)


def test_a_gaussian_sample_is_mean_plus_std_times_noise():
    params = torch.tensor([1.0, -2.0, math.log(3), 0.0])
    assert_close(DiagonalGaussian(2).sample(params, torch.tensor([2.0, 0.5])), torch.tensor([7.0, -1.5]))


def test_gaussian_mode_is_the_mean():
    params = torch.tensor([[1.0, -2.0, 5.0, 5.0]])
    assert DiagonalGaussian(2).mode(params).tolist() == [[1.0, -2.0]]


def test_a_gaussian_density_is_largest_at_its_mode_and_falls_by_half_z_squared():
    gaussian, params = DiagonalGaussian(1), torch.tensor([0.5, -1.0])
    at = [float(gaussian.log_prob_entropy(params, torch.tensor([0.5 + z * math.exp(-1)]))[0]) for z in (0, 1, 2)]
    assert at[0] - at[1] == pytest.approx(0.5, abs=1e-6)
    assert at[0] - at[2] == pytest.approx(2.0, abs=1e-6)


# ---- both ----


@pytest.mark.parametrize("distribution", [Categorical(5), DiagonalGaussian(3)], ids=["categorical", "gaussian"])
class TestBoth:
    def test_sampling_is_pure(self, distribution):
        params = draw(7, distribution.param_size).float()
        noise = distribution.noise(uniform_noise(3, range(1), 1, range(7), distribution.noise_size))[0, 0]
        before = params.clone(), noise.clone(), torch.get_rng_state()
        first, second = distribution.sample(params, noise), distribution.sample(params, noise)
        assert torch.equal(first, second)
        assert torch.equal(params, before[0])
        assert torch.equal(noise, before[1])
        assert torch.equal(torch.get_rng_state(), before[2])

    def test_a_row_is_drawn_alike_alone_and_in_a_batch(self, distribution):
        params = draw(4, 3, distribution.param_size).float()
        noise = distribution.noise(uniform_noise(3, range(1), 4, range(3), distribution.noise_size))[0]
        together = distribution.sample(params, noise)
        assert torch.equal(distribution.sample(params[2, 1], noise[2, 1]), together[2, 1])

    def test_log_probabilities_and_entropies_are_one_number_a_row(self, distribution):
        params = draw(4, 3, distribution.param_size).float()
        actions = distribution.mode(params)
        assert [x.shape for x in distribution.log_prob_entropy(params, actions)] == [(4, 3), (4, 3)]

    def test_entropy_is_the_mean_of_minus_log_p(self, distribution):
        params = torch.randn(distribution.param_size, generator=torch.Generator().manual_seed(1)).expand(20_000, -1)
        noise = distribution.noise(uniform_noise(3, range(1), 1, range(20_000), distribution.noise_size))[0, 0]
        log_prob, entropy = distribution.log_prob_entropy(params, distribution.sample(params, noise))
        assert abs(float((-log_prob - entropy).mean())) < 4 * float(log_prob.std()) / math.sqrt(20_000)

    def test_the_score_function_has_mean_zero(self, distribution):
        # E[grad log pi] = 0: what lets any baseline be subtracted without bias
        params = torch.randn(distribution.param_size, generator=torch.Generator().manual_seed(2))
        rows = params.expand(20_000, -1).clone().requires_grad_()
        noise = distribution.noise(uniform_noise(5, range(1), 1, range(20_000), distribution.noise_size))[0, 0]
        actions = distribution.sample(rows, noise).detach()
        (scores,) = torch.autograd.grad(distribution.log_prob_entropy(rows, actions)[0].sum(), rows)
        assert (scores.mean(0).abs() < 4 * scores.std(0) / math.sqrt(20_000)).all()


class OfAnother:
    """A categorical of somebody else's, without a closed form of its gradient."""

    def __init__(self, n: int) -> None:
        self.log_prob_entropy = Categorical(n).log_prob_entropy


@pytest.mark.parametrize("d_entropy", [0.25, torch.tensor(0.25, dtype=torch.float64), "each"], ids=str)
def test_a_distribution_without_a_pullback_gets_one_by_autograd(d_entropy):
    draw = torch.Generator().manual_seed(0)
    params = torch.randn(3, 2, 4, generator=draw, dtype=torch.float64)
    actions = torch.randint(4, (3, 2), generator=draw)
    d_log_prob = torch.randn(3, 2, generator=draw, dtype=torch.float64)
    d_entropy = torch.randn(3, 2, generator=draw, dtype=torch.float64) if isinstance(d_entropy, str) else d_entropy
    with torch.no_grad():  # as in an update
        own = pullback_of(Categorical(4))(params, actions)
        other = pullback_of(OfAnother(4))(params, actions)
        assert not any(part.requires_grad for part in other[:2])
        assert_close(other[0], own[0])
        assert_close(other[1], own[1])
        assert_close(other[2](d_log_prob, d_entropy), own[2](d_log_prob, d_entropy))


def test_a_distribution_owns_the_shape_and_dtype_of_its_actions():
    for distribution, shape, dtype, free in (
        (Categorical(3), (), torch.int64, 0),
        (DiagonalGaussian(2), (2,), torch.float32, 2),
    ):
        noise = distribution.noise(torch.full((5, distribution.noise_size), 0.5))
        action = distribution.sample(torch.zeros(5, distribution.param_size), noise)
        assert (action.shape, action.dtype) == ((5, *distribution.action_shape), distribution.action_dtype)
        assert (distribution.action_shape, distribution.action_dtype) == (shape, dtype)
        assert distribution.free_size == free


def test_an_entropy_that_does_not_depend_on_the_parameters_has_no_gradient():
    class OfFixedWidth:
        def log_prob_entropy(self, params, actions):
            return -0.5 * (actions - params).square().sum(-1), torch.ones(params.shape[:-1])

    params, actions = draw(3, 2), draw(3, 2, seed=1)
    *_, pullback = pullback_of(OfFixedWidth())(params, actions)
    assert_close(pullback(torch.ones(3, dtype=torch.float64), 0.1), actions - params)
