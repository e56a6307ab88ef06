"""Masks of legal actions: nothing illegal is ever drawn, and learning is that of a policy without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from a2c.envs.converting.masks import mask_row
from a2c.envs.spaces import Spaces
from a2c.machine.processes.failure_report import ContractError
from a2c.maths.distributions import Categorical
from a2c.maths.noise import uniform_noise
from a2c.network.masking import Masking
from builders import config, make_model

FEATURES, ACTIONS = 3, 6
MASKED = Spaces((FEATURES + ACTIONS,), "float32", ACTIONS, discrete=True, mask=ACTIONS)
LEGAL = [0, 2, 5]


def observations(count: int) -> torch.Tensor:
    mask = torch.zeros(count, ACTIONS)
    mask[:, LEGAL] = 1
    return torch.cat([torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(1)), mask], 1)


def test_no_illegal_action_in_a_million() -> None:
    model = make_model(MASKED, config())
    obs = observations(1000)
    noise = Categorical(ACTIONS).noise(uniform_noise(0, range(1000), 1, range(1000), ACTIONS, torch.device("cpu")))
    with torch.no_grad():
        params = model.policy(obs)
        drawn = {int(a) for update in noise[:, 0] for a in model.distribution.sample(params, update).unique()}
    assert drawn <= set(LEGAL)
    assert len(drawn) == len(LEGAL)


def test_gradients_are_those_of_a_policy_that_never_had_the_illegal_actions() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, ACTIONS, dtype=torch.float64, requires_grad=True)
    obs = observations(7).double()
    masked = Masking(MASKED, Categorical(ACTIONS)).masked(logits, obs)
    few = logits[:, LEGAL]
    taken = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    for params, actions, count in ((masked, torch.tensor(LEGAL)[taken], ACTIONS), (few, taken, len(LEGAL))):
        log_prob, entropy = Categorical(count).log_prob_entropy(params, actions)
        found = torch.autograd.grad((log_prob * 1.3 + entropy * 0.7).sum(), logits, retain_graph=True)[0]
        if count == ACTIONS:
            expected, expected_log_prob, expected_entropy = found, log_prob, entropy
    torch.testing.assert_close(expected, found, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(expected_log_prob, log_prob, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(expected_entropy, entropy, rtol=1e-12, atol=1e-12)


def test_closed_form_gradients_are_finite_and_those_of_autograd() -> None:
    logits = torch.randn(7, ACTIONS, dtype=torch.float64)
    params = Masking(MASKED, Categorical(ACTIONS)).masked(logits, observations(7).double())
    actions = torch.tensor([0, 2, 5, 0, 2, 5, 0])
    _, _, pullback = Categorical(ACTIONS).log_prob_entropy_pullback(params, actions)
    inputs = params.clone().requires_grad_()
    log_prob, entropy = Categorical(ACTIONS).log_prob_entropy(inputs, actions)
    (expected,) = torch.autograd.grad((log_prob * 1.3 + entropy * 0.7).sum(), inputs)
    found = pullback(torch.full((7,), 1.3, dtype=torch.float64), torch.full((7,), 0.7, dtype=torch.float64))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("normalize_obs", [False, True])
def test_the_mask_is_no_feature(normalize_obs: bool) -> None:
    model = make_model(MASKED, config(normalize_obs=normalize_obs))
    obs = observations(5)
    other = obs.clone()
    other[:, FEATURES:] = 1
    with torch.no_grad():
        assert torch.equal(model.value(obs), model.value(other))
        assert torch.equal(model.policy(obs)[:, LEGAL], model.policy(other)[:, LEGAL])
    assert model.normalizer is None or model.normalizer.mean.shape == (FEATURES,)


@pytest.mark.parametrize(
    ("mask", "sizes", "row"),
    [
        ([1, 0, True], (3,), [1, 0, 1]),
        (([0, 1], [1, 1, 0]), (2, 3), [0, 1, 1, 1, 0]),
        ({"a": [1, 0], "b": [0, 1]}, (2, 2), [1, 0, 0, 1]),
        (None, (2,), [1, 1]),
        (np.array([[1, 0], [1, 1]], bool), (2, 2), [1, 0, 1, 1]),
    ],
)
def test_a_mask_is_read_as_it_is_told(mask: object, sizes: tuple[int, ...], row: list[int]) -> None:
    assert mask_row(mask, sizes).tolist() == row


def test_a_mask_without_a_legal_action_is_an_error_unless_the_episode_is_over() -> None:
    with pytest.raises(ContractError, match="no legal action"):
        mask_row([1, 1, 0, 0], (2, 2))
    assert mask_row([1, 1, 0, 0], (2, 2), over=True).tolist() == [1, 1, 1, 1]
    with pytest.raises(ContractError, match="3 numbers for 4 choices"):
        mask_row([1, 1, 0], (2, 2))


@pytest.mark.parametrize(
    "policy", [{}, {"distribution": "squashed"}, {"distribution": "beta"}, {"state_dependent_std": True}], ids=str
)
def test_a_mask_finds_the_logits_behind_a_continuous_part_of_any_distribution(policy: dict[str, object]) -> None:
    parts = (("continuous", (2,)), ("discrete", (3,)))
    spaces = Spaces(
        (4 + 3,), "float32", 3, discrete=False, low=(-1, -1, 0), high=(1, 1, 2), parts=parts, mask=3
    )  # four features, and a mask of three choices
    model = make_model(spaces, config(policy=policy))
    obs = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0, 1.0, 0.0]])
    with torch.no_grad():
        params = model.policy(obs)
        choice = model.distribution.parts[1]
        logits = model.distribution._params(params)[1]
        continuous = model.distribution._params(params)[0]
    assert logits.flatten().tolist()[0] < -1e8
    assert logits.flatten().tolist()[2] < -1e8
    assert choice.mode(logits).tolist() == [[1]]
    assert continuous.abs().max() < 100
