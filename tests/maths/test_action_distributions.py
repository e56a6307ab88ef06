"""Distributions for every action space: right by torch.distributions, by quadrature and by their own samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch import distributions as theirs
from torch.testing import assert_close

from a2c.maths.distributions import (
    GSDE,
    Bernoullis,
    Betas,
    Categorical,
    Categoricals,
    DiagonalGaussian,
    Joint,
    SquashedGaussian,
    pullback_of,
)
from a2c.maths.distributions.betas import TRIES
from a2c.maths.noise import uniform_noise

N = 20_000  # samples

MIXED = Joint((DiagonalGaussian(2), Categorical(3), Bernoullis(2), GSDE(1, 3, learn_features=True), Betas(1)))
EVERY = [
    Categoricals((3, 3)),
    Categoricals((2, 4, 4, 1, 2)),
    Bernoullis(3),
    DiagonalGaussian(2, state_dependent=True),
    SquashedGaussian(2, log_scale=0.7),
    SquashedGaussian(3, state_dependent=True),
    Betas(2, log_scale=-0.3),
    GSDE(2, 3),
    GSDE(3, 3, learn_features=True),
    MIXED,
    Joint((Categorical(4), Categoricals((2, 3)), Bernoullis(1))),
    Joint((SquashedGaussian(1), Joint((Categorical(2), DiagonalGaussian(1))))),
]
every = pytest.mark.parametrize("distribution", EVERY, ids=lambda each: type(each).__name__)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(distribution, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Different parameters for every row, free ones excepted, and noise."""
    params = draw(count, distribution.param_size, seed=seed).float()
    if free := distribution.free_size:
        params[:, -free:] = params[0, -free:].clone()
    return params, noise_of(distribution, count, seed)


def noise_of(distribution, count: int, seed: int = 0) -> Tensor:
    return distribution.noise(uniform_noise(seed, range(1), 1, range(count), distribution.noise_size))[0, 0]


def kolmogorov_smirnov(cdf) -> float:
    """sqrt(n) times the largest gap between cdf(samples) and uniform: above 1.95 once in a thousand."""
    ordered = np.sort(np.asarray(cdf, dtype=np.float64))
    return math.sqrt(len(ordered)) * float(np.abs(ordered - (np.arange(len(ordered)) + 0.5) / len(ordered)).max())


# ---- what holds for every one ----


@every
def test_it_has_the_sizes_and_the_dtype_that_it_says(distribution):
    params, noise = rows(distribution, 5)
    actions = distribution.sample(params, noise)
    for drawn in (actions, distribution.mode(params)):
        assert (drawn.shape, drawn.dtype) == ((5, *distribution.action_shape), distribution.action_dtype)
    assert [x.shape for x in distribution.log_prob_entropy(params, actions)] == [(5,), (5,)]
    out = torch.full_like(actions, 9)
    assert distribution.sample(params, noise, out=out) is out
    assert torch.equal(out, actions)


@every
def test_sampling_is_pure_and_a_row_is_drawn_alike_alone_and_in_a_batch(distribution):
    params, noise = rows(distribution, 37)
    before = params.clone(), noise.clone(), torch.get_rng_state()
    together = distribution.sample(params, noise)
    alone = torch.stack([distribution.sample(*row) for row in zip(params, noise, strict=True)])
    assert torch.equal(alone, together)
    assert torch.equal(distribution.sample(params[5:11], noise[5:11]), together[5:11])
    assert torch.equal(params, before[0])
    assert torch.equal(noise, before[1])
    assert torch.equal(torch.get_rng_state(), before[2])
    uniform = uniform_noise(0, range(1), 1, range(37), distribution.noise_size)[0, 0]
    assert torch.equal(torch.stack([distribution.noise(row) for row in uniform]), noise)


@every
def test_entropy_is_the_mean_of_minus_log_p(distribution):
    params = rows(distribution, 1, seed=1)[0].expand(N, -1)
    actions = distribution.sample(params, noise_of(distribution, N, seed=1))
    log_prob, entropy = distribution.log_prob_entropy(params.double(), actions)
    gap = -log_prob - entropy
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(N)


@every
def test_the_score_function_has_mean_zero(distribution):
    # E[grad log pi] = 0: what lets any baseline be subtracted without bias
    params = rows(distribution, 1, seed=2)[0].expand(N, -1)
    actions = distribution.sample(params, noise_of(distribution, N, seed=2))
    *_, pullback = pullback_of(distribution)(params.double(), actions)
    scores = pullback(torch.ones(N, dtype=torch.float64), 0.0)
    assert (scores.mean(0).abs() <= 4 * scores.std(0) / math.sqrt(N)).all()
    assert (scores.std(0) > 0).sum() >= distribution.param_size - getattr(distribution, "features", 0) - 1


class WithoutPullback:
    """Only what autograd needs."""

    def __init__(self, distribution) -> None:
        self.log_prob_entropy = distribution.log_prob_entropy


@every
@pytest.mark.parametrize("scale", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("of_entropy", ["number", "each"])
def test_the_closed_form_of_its_gradient_is_that_of_autograd(distribution, scale, of_entropy):
    params = draw(4, 3, distribution.param_size, seed=3) * scale
    near = draw(4, 3, distribution.param_size, seed=4)  # actions that another policy has drawn
    noise = noise_of(distribution, 12).view(4, 3, -1).double()
    actions = distribution.sample(near, noise)
    d_log_prob = draw(4, 3, seed=5)
    d_entropy = draw(4, 3, seed=6) if of_entropy == "each" else 0.25
    own = distribution.log_prob_entropy_pullback(params, actions)
    other = pullback_of(WithoutPullback(distribution))(params, actions)
    assert_close(own[:2], other[:2], rtol=1e-12, atol=1e-12)
    assert_close(own[2](d_log_prob, d_entropy), other[2](d_log_prob, d_entropy), rtol=1e-10, atol=1e-10)


# ---- several choices ----


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**31))
def test_categoricals_agree_with_torch(sizes, seed):
    logits = draw(4, 3, sum(sizes), seed=seed) * 3
    actions = torch.stack([torch.randint(n, (4, 3), generator=torch.Generator().manual_seed(seed)) for n in sizes], -1)
    log_prob, entropy = Categoricals(tuple(sizes)).log_prob_entropy(logits, actions)
    parts = [theirs.Categorical(logits=part) for part in logits.split(sizes, -1)]
    assert_close(log_prob, sum(part.log_prob(actions[..., k]) for k, part in enumerate(parts)))
    assert_close(entropy, sum(part.entropy() for part in parts))


def test_categoricals_by_hand():
    # (0, log 3 | 0, 0, log 2): p = (1/4, 3/4 | 1/4, 1/4, 1/2); log p(1, 0) = log 3/4 + log 1/4
    # H = -(1/4 log 1/4 + 3/4 log 3/4) - (2/4 log 1/4 + 1/2 log 1/2) = 0.562335 + 1.039721
    params = torch.tensor([0.0, math.log(3), 0.0, 0.0, math.log(2)])
    log_prob, entropy = Categoricals((2, 3)).log_prob_entropy(params, torch.tensor([1, 0]))
    assert_close(log_prob, torch.tensor(math.log(3 / 16)))
    assert_close(entropy, torch.tensor(1.602056))
    assert Categoricals((2, 3)).mode(params).tolist() == [1, 2]


@pytest.mark.parametrize("sizes", [(3, 3, 3), (3, 2, 2, 5)], ids=str)
def test_categoricals_draw_what_each_categorical_would(sizes):
    distribution = Categoricals(sizes)
    params, noise = rows(distribution, 50)
    parts = zip(sizes, params.split(sizes, -1), noise.split(sizes, -1), strict=True)
    alone = torch.stack([Categorical(n).sample(*part) for n, *part in parts], -1)
    assert torch.equal(distribution.sample(params, noise), alone)
    assert len(alone.unique(dim=0)) > 5


# ---- several switches ----


@given(st.integers(1, 5), st.integers(0, 2**31), st.sampled_from([0.1, 1.0, 10.0]))
def test_bernoullis_agree_with_torch(size, seed, scale):
    logits, actions = draw(4, 3, size, seed=seed) * scale, (draw(4, 3, size, seed=seed + 1) > 0).long()
    ours = Bernoullis(size).log_prob_entropy(logits, actions)
    other = theirs.Independent(theirs.Bernoulli(logits=logits), 1)
    assert_close(ours, (other.log_prob(actions.double()), other.entropy()))


def test_certain_bernoullis_have_exact_numbers_and_finite_gradients():
    params, actions = torch.tensor([[1e3, -1e3], [1e3, -1e3]]), torch.tensor([[1, 0], [0, 1]])
    log_prob, entropy, pullback = Bernoullis(2).log_prob_entropy_pullback(params, actions)
    assert log_prob.tolist() == [0, -2e3]
    assert entropy.tolist() == [0, 0]
    # what was certain has nothing to learn; what was impossible moves by 1
    assert pullback(torch.ones(2), 1.0).tolist() == [[0, 0], [-1, 1]]
    # and where p rounds to 1, log p and H do not round to 0: -log p = e^-30, H = 30 e^-30 + e^-30
    log_prob, entropy = Bernoullis(1).log_prob_entropy(torch.tensor([30.0], dtype=torch.float64), torch.tensor([1]))
    assert float(log_prob) == pytest.approx(-math.exp(-30), rel=1e-9)
    assert float(entropy) == pytest.approx(31 * math.exp(-30), rel=1e-9)
    # nor is log p(0) = -21 - log(1 + e^-21) just -21
    log_prob, _ = Bernoullis(1).log_prob_entropy(torch.tensor([21.0], dtype=torch.float64), torch.tensor([0]))
    assert float(log_prob) == pytest.approx(-21 - math.exp(-21), abs=1e-12)


def test_bernoullis_draw_1_as_often_as_its_probability():
    p = torch.tensor([0.02, 0.3, 0.9])
    bernoullis = Bernoullis(3)
    actions = bernoullis.sample(torch.logit(p), noise_of(bernoullis, N)).double()
    assert ((actions.mean(0) - p).abs() < 4 * (p * (1 - p) / N).sqrt()).all()
    assert torch.corrcoef(actions.T).fill_diagonal_(0).abs().max() < 4 / math.sqrt(N)
    assert bernoullis.mode(torch.logit(p)).tolist() == [0, 0, 1]


def test_logistic_noise_is_logistic():
    # log(u / (1 - u)): log 3 at 3/4
    assert_close(Bernoullis(2).noise(torch.tensor([0.75, 0.25])), torch.tensor([math.log(3), -math.log(3)]))
    assert kolmogorov_smirnov(torch.sigmoid(noise_of(Bernoullis(1), N)).flatten()) < 1.95


# ---- a normal whose spread depends on the state ----


def test_a_spread_that_is_computed_from_the_state_is_clamped_and_not_free():
    # log_std 50 and -50 are taken as 2 and -20; what is free is taken as it is
    params = torch.tensor([1.0, 1.0, 50.0, -50.0], dtype=torch.float64)
    noise = torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert (DiagonalGaussian(2).free_size, DiagonalGaussian(2, state_dependent=True).free_size) == (2, 0)
    assert (SquashedGaussian(2).free_size, SquashedGaussian(2, state_dependent=True).free_size) == (2, 0)
    gaussian, squashed = DiagonalGaussian(2, state_dependent=True), SquashedGaussian(2, state_dependent=True)
    expected = torch.tensor([1 + 0.5 * math.exp(2), 1 + 0.5 * math.exp(-20)], dtype=torch.float64)
    assert_close(gaussian.sample(params, noise), expected)
    assert_close(squashed.sample(params, torch.cat([noise, noise]))[:2], expected)
    for distribution, actions in ((gaussian, expected), (squashed, torch.cat([expected, noise]))):
        *_, pullback = distribution.log_prob_entropy_pullback(params, actions)
        assert pullback(torch.tensor(1.0), 1.0)[2:].tolist() == [0, 0]  # the clamp holds: no way to learn
    _, entropy = gaussian.log_prob_entropy(params, noise)
    assert float(entropy) == pytest.approx(2 - 20 + 2 * 1.4189385)
    assert float(DiagonalGaussian(1).sample(torch.tensor([0.0, 3.0]), torch.tensor([1.0]))) == pytest.approx(
        math.exp(3)
    )


# ---- squashed normals ----

LOW, HIGH = -1.0, 5.0  # the box of one squashed action: (high - low) / 2 = 3


def squashed(mean: float, log_std: float) -> tuple[Tensor, Tensor, Tensor]:
    """u, the action in the box, and log pi of it, along the whole box."""
    u = torch.linspace(-14, 14, 100_001, dtype=torch.float64)
    actions = torch.stack([u, torch.zeros_like(u)], -1)
    params = torch.tensor([mean, log_std], dtype=torch.float64).expand(len(u), 2)
    log_prob, _ = SquashedGaussian(1, log_scale=math.log(3)).log_prob_entropy(params, actions)
    return u, LOW + (HIGH - LOW) * (torch.tanh(u) + 1) / 2, log_prob


def entropy_by_quadrature(mean: float, log_std: float) -> float:
    _, action, log_prob = squashed(mean, log_std)
    return -float(torch.trapezoid(log_prob.exp() * log_prob, action))


def mean_estimate_of_entropy(params: Tensor) -> Tensor:
    """The mean over e, by Gauss-Hermite quadrature."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(120))
    actions = torch.stack([torch.zeros_like(nodes), nodes], -1)
    _, entropy = SquashedGaussian(1, log_scale=math.log(3)).log_prob_entropy(params.expand(len(nodes), 2), actions)
    return (weights * entropy).sum() / weights.sum()


@given(st.integers(1, 4), st.integers(0, 2**31))
def test_a_squashed_gaussian_agrees_with_torch(size, seed):
    params, u = draw(4, 3, 2 * size, seed=seed), draw(4, 3, size, seed=seed + 1) * 2
    mean, log_std = params.chunk(2, -1)
    scale = draw(size, seed=seed + 2).exp()
    transforms = [theirs.TanhTransform(cache_size=1), theirs.AffineTransform(0.5, scale, event_dim=0)]
    other = theirs.Independent(theirs.TransformedDistribution(theirs.Normal(mean, log_std.exp()), transforms), 1)
    ours = SquashedGaussian(size, log_scale=float(scale.log().sum()))
    log_prob, _ = ours.log_prob_entropy(params, torch.cat([u, torch.zeros_like(u)], -1))
    assert_close(log_prob, other.log_prob(0.5 + scale * torch.tanh(u)), rtol=1e-6, atol=1e-6)


def test_a_squashed_gaussian_by_hand():
    # mean 0, std 1, u = 1: log N = -1/2 - 0.918939; tanh(1)^2 = 0.580026, log(1 - 0.580026) = -0.867562
    # log pi = -1.418939 + 0.867562 = -0.551377;  H at e = 1, the same point, is minus that
    params, actions = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0])
    assert_close(
        SquashedGaussian(1).log_prob_entropy(params, actions), (torch.tensor(-0.551377), torch.tensor(0.551377))
    )


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.7, 0.3), (-1.5, -1.0), (0.2, 1.0)])
def test_a_squashed_density_integrates_to_1_and_its_estimates_to_its_entropy(mean, log_std):
    _, action, log_prob = squashed(mean, log_std)
    assert float(torch.trapezoid(log_prob.exp(), action)) == pytest.approx(1, abs=1e-5)
    params = torch.tensor([mean, log_std], dtype=torch.float64, requires_grad=True)
    estimate = mean_estimate_of_entropy(params)
    assert float(estimate.detach()) == pytest.approx(entropy_by_quadrature(mean, log_std), abs=1e-3)
    # and the mean of its gradients is the gradient of the entropy, by central differences
    (gradient,) = torch.autograd.grad(estimate, params)
    h = 1e-3
    by_mean = (entropy_by_quadrature(mean + h, log_std) - entropy_by_quadrature(mean - h, log_std)) / (2 * h)
    by_log_std = (entropy_by_quadrature(mean, log_std + h) - entropy_by_quadrature(mean, log_std - h)) / (2 * h)
    assert gradient.tolist() == pytest.approx([by_mean, by_log_std], abs=2e-3)


def test_a_squashed_action_at_the_edge_keeps_its_probability():
    # tanh(u) is 1 in float32 from u = 10 on; log(1 - tanh(u)^2) = 2 log 2 - 2 |u| there
    actions = torch.tensor([[40.0, 0.0], [-40.0, 0.0], [1e3, 0.0]])
    params = torch.tensor([[40.0, 0.0], [-40.0, 0.0], [1e3, 0.0]])
    log_prob, entropy, pullback = SquashedGaussian(1).log_prob_entropy_pullback(params, actions)
    expected = torch.tensor([80.0, 80.0, 2e3]) - 2 * math.log(2) - 0.918939
    assert_close(log_prob, expected)
    assert_close(entropy, -expected)
    assert_close(pullback(torch.zeros(3), 1.0), torch.tensor([[-2.0, 1.0], [2.0, 1.0], [-2.0, 1.0]]))


def test_a_squashed_sample_is_normal_and_its_second_noise_is_fresh():
    distribution = SquashedGaussian(2)
    params = torch.tensor([1.0, -2.0, math.log(3), 0.0])
    drawn = distribution.sample(params, noise_of(distribution, N)).double()
    noise = torch.stack([(drawn[:, 0] - 1) / 3, drawn[:, 1] + 2, drawn[:, 2], drawn[:, 3]])
    for column in noise:
        assert kolmogorov_smirnov(scipy.special.ndtr(column.numpy())) < 1.95
    for moment in (noise, noise.square()):  # cos and sin of one angle share their radius: squares tell
        assert torch.corrcoef(moment).fill_diagonal_(0).abs().max() < 4 / math.sqrt(N)
    assert distribution.mode(params).tolist() == [1, -2, 0, 0]


# ---- beta ----


def params_of_beta(alpha: float, beta: float) -> Tensor:
    """The parameters x of given alpha and beta: softplus backwards."""
    return torch.tensor([alpha - 1, beta - 1], dtype=torch.float64).expm1().log()


@given(st.integers(1, 4), st.integers(0, 2**31), st.sampled_from([0.5, 3.0, 30.0]))
def test_betas_agree_with_torch(size, seed, scale):
    params, actions = draw(4, 3, 2 * size, seed=seed) * scale, torch.sigmoid(draw(4, 3, size, seed=seed + 1))
    alpha, beta = (1 + torch.log1p(params.exp())).chunk(2, -1)
    other = theirs.Independent(theirs.Beta(alpha, beta), 1)
    log_prob, entropy = Betas(size, log_scale=0.4).log_prob_entropy(params, actions)
    assert_close(log_prob, other.log_prob(actions) - 0.4)
    assert_close(entropy, other.entropy() + 0.4)


@pytest.mark.parametrize(("alpha", "beta"), [(1.001, 1.5), (2.0, 5.0), (30.0, 4.0)])
def test_a_beta_density_integrates_to_1_over_the_box_and_minus_p_log_p_to_its_entropy(alpha, beta):
    x = torch.linspace(0, 1, 100_001, dtype=torch.float64).unsqueeze(-1)
    box = Betas(1, log_scale=math.log(6))
    log_prob, entropy = box.log_prob_entropy(params_of_beta(alpha, beta).expand(len(x), 2), x)
    p = log_prob.exp()
    action = LOW + (HIGH - LOW) * x[:, 0]
    assert float(torch.trapezoid(p, action)) == pytest.approx(1, abs=1e-4)
    assert -float(torch.trapezoid(p * log_prob, action)) == pytest.approx(float(entropy[0]), abs=1e-3)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.01, 4.0), (2.0, 2.0), (8.0, 1.5), (300.0, 100.0)])
def test_beta_samples_have_their_distribution(alpha, beta):
    betas = Betas(2)
    params = torch.tensor([alpha - 1, 2.0, beta - 1, 4.0], dtype=torch.float64).expm1().clamp_min(1e-30).log().float()
    drawn = betas.sample(params, noise_of(betas, N)).double()
    assert kolmogorov_smirnov(scipy.special.betainc(alpha, beta, drawn[:, 0].numpy())) < 1.95
    assert kolmogorov_smirnov(scipy.special.betainc(3, 5, drawn[:, 1].numpy())) < 1.95
    assert abs(float(torch.corrcoef(drawn.T)[0, 1])) < 4 / math.sqrt(N)


def test_a_gamma_takes_the_first_try_that_is_accepted_and_the_proposals_mode_after_the_last():
    # alpha = beta = 4: d = 11/3, 1 / (3 sqrt d) = 0.174078; z = -10 makes the root negative: never accepted.
    # z = 1: cube = 1.174078^3 = 1.618417, accepted at log u = -9: 1/2 + d (1 - cube + log cube) = -0.002218 > -9
    betas, params = Betas(1), params_of_beta(4, 4)
    noise = torch.zeros(2, TRIES + 1, 2, dtype=torch.float64)
    noise[0] = -10
    noise[0, -1] = 0
    noise[1] = -9
    nothing = betas.noise(torch.full((betas.noise_size,), 0.5)).view_as(noise)
    assert nothing[:, -1].tolist() == [[0, 0], [-1, -1]]
    assert float(betas.sample(params, noise.flatten())) == pytest.approx(0.5)  # d / (d + d)
    noise[0, 2, 0], noise[0, 3, 0] = 1, 2
    assert float(betas.sample(params, noise.flatten())) == pytest.approx(1.618417 / 2.618417, rel=1e-5)
    noise[1, 2, 0] = -0.00221  # just above: the try after it, cube = 1.348155^3 = 2.450303
    assert float(betas.sample(params, noise.flatten())) == pytest.approx(2.450303 / 3.450303, rel=1e-5)
    noise[1, 2, 0] = -0.00223
    assert float(betas.sample(params, noise.flatten())) == pytest.approx(1.618417 / 2.618417, rel=1e-5)


def test_betas_are_finite_at_the_edges_and_their_actions_inside():
    params = torch.tensor([[-200.0, -200.0], [-200.0, 9.0], [60.0, -200.0], [1e4, 1e4]])
    for action in (0.0, 1.0):
        log_prob, entropy, pullback = Betas(1).log_prob_entropy_pullback(params, torch.full((4, 1), action))
        assert log_prob.isfinite().all()
        assert entropy.isfinite().all()
        assert pullback(torch.ones(4), 1.0).isfinite().all()
    assert float(log_prob[0]) == 0  # alpha = beta = 1 is uniform
    many = params.repeat(1000, 1)
    drawn = Betas(1).sample(many, noise_of(Betas(1), 4000))
    assert ((drawn > 0) & (drawn < 1)).all()


def test_the_mode_of_a_beta_is_where_its_density_is_largest():
    params = torch.cat([params_of_beta(3, 2), params_of_beta(1.5, 7)]).view(2, 2).float()
    assert_close(Betas(1).mode(params), torch.tensor([[2 / 3], [0.5 / 6.5]]))
    assert Betas(1).mode(torch.tensor([-200.0, -200.0])).tolist() == [0.5]


# ---- state-dependent exploration ----


def test_gsde_by_hand():
    # F = 2, D = 1: latent (2, -1), std (0.5, 3), e (1, 2): 10 + 2*0.5*1 - 1*3*2 = 5; variance 1 + 9 = 10
    # log N(5; 10, 10) = -25/20 - log(10)/2 - 0.918939 = -3.320231
    params = torch.tensor([10.0, 2.0, -1.0, math.log(0.5), math.log(3)])
    gsde = GSDE(1, 2)
    assert float(gsde.sample(params, torch.tensor([1.0, 2.0]))) == pytest.approx(5)
    log_prob, entropy = gsde.log_prob_entropy(params, torch.tensor([5.0]))
    assert float(log_prob) == pytest.approx(-3.320231, abs=1e-5)
    assert float(entropy) == pytest.approx(0.5 * math.log(10) + 1.418939, abs=1e-5)
    assert gsde.mode(params).tolist() == [10]


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**31))
def test_gsde_agrees_with_torch(size, features, seed):
    gsde = GSDE(size, features)
    params, actions = draw(3, gsde.param_size, seed=seed), draw(3, size, seed=seed + 1)
    mean, latent, log_std = params[:, :size], params[:, size : size + features], params[:, size + features :]
    spread = latent.unsqueeze(-2) * log_std.exp().view(3, features, size).mT  # [3, D, F]: a row for every action
    other = theirs.Independent(theirs.Normal(mean, (spread.square().sum(-1) + 1e-6).sqrt()), 1)
    assert_close(gsde.log_prob_entropy(params, actions), (other.log_prob(actions), other.entropy()))


def test_the_variance_of_gsde_is_that_of_its_samples():
    gsde = GSDE(3, 5)
    params = rows(gsde, 1, seed=8)[0]
    drawn = gsde.sample(params.expand(N, -1), noise_of(gsde, N)).double()
    mean, latent, log_std = params[0].double().split([3, 5, 15])
    variance = latent.square() @ torch.exp(2 * log_std).view(5, 3)
    assert ((drawn.mean(0) - mean).abs() < 4 * (variance / N).sqrt()).all()
    assert ((drawn.var(0) / variance - 1).abs() < 4 * math.sqrt(2 / N)).all()
    for column in ((drawn - mean) / variance.sqrt()).T:
        assert kolmogorov_smirnov(scipy.special.ndtr(column.numpy())) < 1.95


def test_with_the_same_noise_gsde_explores_alike_in_like_states():
    gsde = GSDE(2, 3)
    noise = noise_of(gsde, 1)
    params = rows(gsde, 2)[0]
    params[1] = params[0]
    assert torch.equal(*gsde.sample(params, noise))
    params[1, 2:5] *= 2  # twice the features: twice the noise
    off = gsde.sample(params, noise) - params[:, :2]
    assert_close(off[1], 2 * off[0])


def test_gsde_moves_its_features_only_where_it_is_told_to():
    params, actions = draw(4, GSDE(2, 3).param_size), draw(4, 2, seed=1)
    ones = torch.ones(4, dtype=torch.float64)
    told, by_default = (
        GSDE(2, 3, learn_features=flag).log_prob_entropy_pullback(params, actions)[2](ones, 1.0)
        for flag in (True, False)
    )
    assert (by_default[:, 2:5] == 0).all()
    assert (told[:, 2:5] != 0).all()
    assert torch.equal(told[:, :2], by_default[:, :2])
    assert torch.equal(told[:, 5:], by_default[:, 5:])


# ---- joint ----


def test_a_joint_distribution_is_the_sum_of_its_parts():
    # parameters: Gaussian mean 2, categorical 3, Bernoulli 2, gSDE mean 1 + latent 3, Beta 2; then log_std 2 and 3
    gaussian, categorical, bernoullis, gsde, betas = MIXED.parts
    params, noise = draw(6, 18, seed=1), noise_of(MIXED, 6).double()
    own = [params[:, [0, 1, 13, 14]], params[:, 2:5], params[:, 5:7], params[:, [7, 8, 9, 10, 15, 16, 17]],
           params[:, 11:13]]  # fmt: skip
    assert (MIXED.param_size, MIXED.free_size, MIXED.noise_size) == (18, 5, 4 + 3 + 2 + 4 + 24)
    # noise: 2, 3, 2, 3 and the rest; actions: 2, 1, 2, 1, 1
    noises = noise.split([2, 3, 2, 3, noise.shape[-1] - 10], -1)
    parts = [part.sample(*each) for part, *each in zip(MIXED.parts, own, noises, strict=True)]
    actions = MIXED.sample(params, noise)
    assert MIXED.action_columns == (slice(0, 2), slice(2, 3), slice(3, 5), slice(5, 6), slice(6, 7))
    expected = torch.cat([parts[0], parts[1].unsqueeze(-1), *parts[2:]], -1)
    assert torch.equal(actions, expected)
    terms = [part.log_prob_entropy(*each) for part, *each in zip(MIXED.parts, own, parts, strict=True)]
    log_prob, entropy, pullback = MIXED.log_prob_entropy_pullback(params, actions)
    assert_close(log_prob, sum(term[0] for term in terms))
    assert_close(entropy, sum(term[1] for term in terms))
    assert torch.equal(MIXED.mode(params)[:, 2], categorical.mode(own[1]).double())
    # and its free parameters are the last: moving them moves no logits
    gradient = pullback(torch.ones(6, dtype=torch.float64), 0.5)
    of_gaussian = gaussian.log_prob_entropy_pullback(own[0], parts[0])[2](torch.ones(6, dtype=torch.float64), 0.5)
    assert_close(gradient[:, [0, 1, 13, 14]], of_gaussian)
    assert (bernoullis.free_size, gsde.free_size, betas.free_size) == (0, 3, 0)


def test_the_noise_of_a_joint_distribution_is_that_of_its_parts():
    uniform = uniform_noise(1, range(1), 1, range(9), MIXED.noise_size)[0, 0]
    columns = uniform.split([part.noise_size for part in MIXED.parts], -1)
    expected = torch.cat([part.noise(own) for part, own in zip(MIXED.parts, columns, strict=True)], -1)
    assert torch.equal(MIXED.noise(uniform), expected)


def test_choices_are_packed_exactly_beside_numbers():
    # 2^24 - 1 is the largest odd number that a float32 holds with every one below it
    n = 2**24
    joint = Joint((Categorical(n), DiagonalGaussian(1)))
    params = torch.zeros(n + 2)
    params[n - 1] = 9
    actions = joint.mode(params)
    assert actions.dtype == torch.float32
    assert int(actions[0]) == n - 1
    log_prob, _ = joint.log_prob_entropy(params, actions)
    assert float(log_prob) == pytest.approx(9 - math.log(n - 1 + math.exp(9)) - 0.918939, abs=1e-2)


def test_choices_alone_stay_integers():
    joint = Joint((Categorical(3), Categoricals((2, 2))))
    assert joint.action_dtype == torch.int64
    assert joint.mode(torch.tensor([0.0, 0, 1, 1, 0, 0, 1])).tolist() == [2, 0, 1]


def test_a_part_without_a_pullback_gets_one_by_autograd():
    class Plain(WithoutPullback):
        param_size, free_size, noise_size, action_shape, action_dtype = 3, 0, 3, (), torch.int64

        def noise(self, uniform: Tensor) -> Tensor:
            return uniform

    params, actions = draw(5, 7), torch.cat([torch.tensor([[0], [2], [1], [1], [0]]), draw(5, 2, seed=1)], -1)
    own, other = (
        Joint((first, DiagonalGaussian(2))).log_prob_entropy_pullback(params, actions)[2](draw(5, seed=2), 0.1)
        for first in (Categorical(3), Plain(Categorical(3)))
    )
    assert_close(own, other)
