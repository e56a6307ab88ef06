"""The claim on n-step returns: continuations are Gymnasium's, and every verdict can come out."""

from __future__ import annotations

import copy
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from a2c.envs.spaces import Spaces
from a2c.network.actor_critic import ActorCritic
from a2c.settings.compose import load_config
from a2c.study.batches import trained
from a2c.study.claim import Data, Verdict
from a2c.study.claims.n_step import CLAIM, LENGTHS
from a2c.study.continuations import has_fallen, play, states_met
from a2c.study.frozen import fitted, rollouts, values_and_advantages
from a2c.study.record import as_stored
from builders import config, make_model

from .stubs import settings


def pushing_right() -> ActorCritic:
    """A policy whose every action is 1, with a critic that has learned nothing."""
    model = make_model(Spaces((4,), "float32", 2, discrete=True), config())
    with torch.no_grad():
        model.policy_head.linear.bias.copy_(torch.tensor([-100.0, 100.0]))
        model.policy_head.linear.weight.zero_()
    return model


def test_a_continuation_falls_when_a_copy_of_the_environment_does():
    env = gym.make("CartPole-v1").unwrapped
    env.reset(seed=3)
    for action in (0, 0, 1, 0):
        env.step(action)
    state = torch.tensor(np.asarray(env.state), dtype=torch.float32)
    fallen = 0
    other = copy.deepcopy(env)
    while not other.step(1)[2]:
        fallen += 1
    model = pushing_right()
    done, (values,) = play(model, [model], state.repeat(3, 1), (1, 40), torch.Generator().manual_seed(0))
    assert done.shape == (40, 3)
    assert (~done).sum(0).tolist() == [fallen] * 3
    copied = copy.deepcopy(env)
    obs = copied.step(1)[0]
    with torch.no_grad():
        torch.testing.assert_close(values[1], model.value(torch.as_tensor(obs)[None]).expand(3), rtol=1e-4, atol=1e-5)


def test_states_are_met_before_the_pole_falls():
    met = states_met(pushing_right(), 12, torch.Generator().manual_seed(0))
    assert met.shape == (12, 4)
    assert not has_fallen(met).any()
    assert met[:, 1].max() > 0.5  # some of them well under way


def test_a_fitted_critic_is_nearer_to_the_returns_and_the_policy_is_the_same():
    cfg = load_config("env=cartpole_study", "vectorization=sync", "device=cpu", "total_steps=2000", "gamma=0.9")
    model = trained(cfg)
    better = fitted(model, cfg, 4000)

    def residual(critic: ActorCritic) -> float:
        played = rollouts(cfg, model, 20)
        return float(np.mean([values_and_advantages(critic, cfg, rollout)[1].square().mean() for rollout in played]))

    assert residual(better) < 0.5 * residual(model)
    obs = torch.randn(9, 4)
    torch.testing.assert_close(better.policy(obs), model.policy(obs))
    assert not torch.equal(better.value(obs), model.value(obs))


def made_up(
    bias: list[float], variance: list[float], other: list[float] | None = None, spread: tuple[float, ...] = (0, 0, 0)
) -> Data:
    """Two seeds of three states each, all with these numbers at the first and the last n, plus ``spread`` in the three
    states at the last; ``other`` is the bias of the second critic.
    """

    def states(ends: list[float]) -> list[list[list[float]]]:
        first, last = ends
        return [[np.linspace(first, last + more, len(LENGTHS)).tolist() for more in spread]] * 2

    quantities = {"squared_bias": states(bias), "variance": states(variance)}
    second = {"squared_bias": states(other or bias), "variance": states(variance)}
    return {"lengths": list(LENGTHS), "critics": {"one": quantities, "other": second}, "value": [30.0, 31.0]}


def test_less_bias_and_more_variance_is_supported():
    judgement = CLAIM.judge(made_up([100, 1], [1, 100]))
    assert judgement.verdict is Verdict.SUPPORTED
    ratios = {number.name: number.value for number in judgement.numbers}
    assert ratios["squared bias at n = 128 against n = 1, one"] == pytest.approx(0.01)
    assert ratios["variance at n = 128 against n = 1, one"] == pytest.approx(100)
    assert ratios["squared bias at n = 128 minus n = 1, one"] == pytest.approx(-99)


def test_the_n_of_least_error_is_told():
    data = made_up([100, 1], [1, 200])
    found = data["critics"]["one"]
    found["squared_bias"] = [[[100, 50, 20, 9, 5, 3, 2, 1]] * 3] * 2
    found["variance"] = [[[1, 2, 4, 8, 16, 50, 100, 200]] * 3] * 2
    numbers = {number.name: number.value for number in CLAIM.judge(data).numbers}
    assert numbers["n with the least mean squared error, one"] == 8


@pytest.mark.parametrize(("bias", "variance"), [([100, 1], [5, 5]), ([5, 5], [1, 100])])
def test_one_half_with_every_critic_is_a_condition(bias: list[float], variance: list[float]):
    assert CLAIM.judge(made_up(bias, variance)).verdict is Verdict.CONDITIONAL


def test_bias_that_falls_with_one_critic_only_is_a_condition_as_long_as_variance_rises_with_both():
    assert CLAIM.judge(made_up([100, 1], [1, 100], other=[1, 1])).verdict is Verdict.CONDITIONAL
    assert CLAIM.judge(made_up([100, 1], [5, 5], other=[1, 1])).verdict is Verdict.NOT_SUPPORTED


def test_evidence_of_the_contrary_is_no_condition():
    falling = CLAIM.judge(made_up([100, 1], [100, 1]))
    assert falling.verdict is Verdict.NOT_SUPPORTED
    assert "the variance falls" in falling.why
    assert CLAIM.judge(made_up([100, 1], [1, 100], other=[1, 100])).verdict is Verdict.NOT_SUPPORTED


def test_more_bias_and_less_variance_is_not_supported():
    assert CLAIM.judge(made_up([1, 100], [100, 1])).verdict is Verdict.NOT_SUPPORTED


def test_intervals_wide_around_zero_leave_it_open():
    judgement = CLAIM.judge(made_up([5, 5], [5, 5], spread=(-20, 1, 20)))
    assert judgement.verdict is Verdict.NOT_SUPPORTED
    assert "the bias does not clearly change and the variance does not clearly change" in judgement.why


def test_a_negative_estimate_of_no_bias_that_grows_is_not_a_fall():
    # The ratio of -5 and -10 is 0.5, and that of 5 and -10 negative: below 1 both, and yet the bias grows.
    for last in (-5, 5):
        judgement = CLAIM.judge(made_up([-10, last], [1, 100]))
        assert judgement.verdict is Verdict.NOT_SUPPORTED
        assert "the bias rises" in judgement.why
        assert "squared bias at n = 128 against n = 1, one" not in {number.name for number in judgement.numbers}


def test_a_bias_that_falls_to_a_negative_estimate_of_none_falls():
    assert CLAIM.judge(made_up([100, -1], [1, 100])).verdict is Verdict.SUPPORTED


def test_a_tiny_study_measures_judges_and_draws(tmp_path: Path):
    data = as_stored(CLAIM.measure(settings(tmp_path, scale=0.02)))
    for found in data["critics"].values():
        assert np.shape(found["squared_bias"]) == np.shape(found["variance"]) == (2, 3, len(LENGTHS))
    assert CLAIM.judge(data).why
    assert len(CLAIM.draw(data).axes) == 2
