"""Returns follow the recursions of docs/semantics: by hand, against naive loops, and in their limits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from a2c.maths.returns import lambda_returns, n_step_returns, successor_values


def shifted(values: Tensor, bootstrap: Tensor) -> Tensor:
    """V(obs[t+1]) from V(obs[t]) ``[T, N]`` and V(obs[T]) ``[N]``."""
    return torch.cat([values[1:], bootstrap.unsqueeze(0)])


def column(*numbers: float) -> Tensor:
    """One environment's numbers over time, ``[T, 1]``."""
    return torch.tensor(numbers).unsqueeze(1)


# ---- by hand ----


def test_truncation_bootstraps_and_termination_does_not():
    #            t=0      t=1 (ends)   t=2
    rewards = column(1.0, 2.0, 4.0)
    done = column(False, True, False)
    # terminated at t=1: G1 = 2;                 G0 = 1 + 0.5*2  = 2
    # truncated at t=1:  G1 = 2 + 0.5*10 = 7;    G0 = 1 + 0.5*7  = 4.5
    # both:              G2 = 4 + 0.5*6 = 7 (the rollout ends: bootstrap)
    terminated = n_step_returns(rewards, column(0.0, 0.0, 6.0), done, gamma=0.5)
    truncated = n_step_returns(rewards, column(0.0, 10.0, 6.0), done, gamma=0.5)
    assert_close(terminated, column(2.0, 2.0, 7.0))
    assert_close(truncated, column(4.5, 7.0, 7.0))


def test_the_successor_of_a_step_is_what_truly_followed_it():
    #                   t=0   t=1 (dies)  t=2 (clock)  t=3 (both)  t=4 (rollout ends)
    values = column(1.0, 2.0, 3.0, 4.0, 5.0)
    final_values = column(77.0, 77.0, 30.0, 77.0, 77.0)  # 77 must appear nowhere
    terminated = column(False, True, False, True, False)
    truncated = column(False, False, True, True, False)
    # V(obs[1]) = 2;    dead: 0;    V(final) = 30, not V(obs[3]) = 4;    terminated wins: 0;    V(obs[T]) = 6
    following = successor_values(shifted(values, torch.tensor([6.0])), final_values, terminated, truncated)
    assert_close(following, column(2.0, 0.0, 30.0, 0.0, 6.0))


def test_terminated_wins_where_both_flags_are_set():
    both = column(True)
    following = successor_values(column(2.0), column(3.0), both, both)
    assert_close(following, column(0.0))


def test_the_end_of_a_rollout_is_no_truncation():
    # Nothing ended, so V(obs[T]) = 8 follows the last step, whatever final_values holds: G = 1 + 0.5*8 = 5
    nothing = column(False)
    following = successor_values(column(8.0), column(77.0), nothing, nothing)
    assert_close(n_step_returns(column(1.0), following, nothing, gamma=0.5), column(5.0))


def test_lambda_mixes_the_next_value_with_the_next_return():
    # gamma = 0.5, lambda = 0.25
    # G1 = 2 + 0.5*8                          = 6      (the rollout ends)
    # G0 = 1 + 0.5*(0.75*4 + 0.25*6) = 1 + 0.5*4.5 = 3.25
    found = lambda_returns(column(1.0, 2.0), column(4.0, 8.0), column(False, False), gamma=0.5, gae_lambda=0.25)
    assert_close(found, column(3.25, 6.0))


def test_no_return_leaks_from_one_episode_or_environment_into_another():
    rewards = torch.tensor([[1.0, 5.0], [2.0, 5.0], [1e6, 5.0]])
    done = torch.tensor([[False, False], [True, False], [False, False]])
    next_values = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1e6, 0.0]])
    # left: G1 = 2, G0 = 1 + 2 = 3 although 1e6 follows in the next episode; right: 15, 10, 5
    found = n_step_returns(rewards, next_values, done, gamma=1.0)
    assert_close(found[:2, 0], torch.tensor([3.0, 2.0]))
    assert_close(found[:, 1], torch.tensor([15.0, 10.0, 5.0]))


def test_a_reward_of_one_for_ever_is_worth_one_over_one_minus_gamma():
    # V = 1/(1 - 0.9) = 10 is the fixed point of every lambda: G = 1 + 0.9*10 = 10
    ones, tens = torch.ones(7, 3, dtype=torch.float64), torch.full((7, 3), 10.0, dtype=torch.float64)
    for gae_lambda in (0.0, 0.3, 1.0):
        assert_close(lambda_returns(ones, tens, ones < 0, gamma=0.9, gae_lambda=gae_lambda), tens)


# ---- against the definitions, one number at a time ----


@dataclass
class Case:
    """What one rollout gives: ``[T, N]`` each, ``bootstrap`` ``[N]``."""

    rewards: Tensor
    values: Tensor
    bootstrap: Tensor
    final_values: Tensor
    terminated: Tensor
    truncated: Tensor
    gamma: float
    gae_lambda: float

    @property
    def done(self) -> Tensor:
        return self.terminated | self.truncated

    @property
    def next_values(self) -> Tensor:
        following = shifted(self.values, self.bootstrap)
        return successor_values(following, self.final_values, self.terminated, self.truncated)

    def returns(self, gae_lambda: float) -> Tensor:
        return lambda_returns(self.rewards, self.next_values, self.done, self.gamma, gae_lambda)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    steps, count = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    ends = draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype) * 3

    def flags() -> Tensor:
        return torch.rand(steps, count, generator=generator) < ends

    return Case(
        rewards=numbers(steps, count),
        values=numbers(steps, count),
        bootstrap=numbers(count),
        final_values=numbers(steps, count),
        terminated=flags(),
        truncated=flags(),
        gamma=draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1)),
        gae_lambda=draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1)),
    )


def naive_next_value(case: Case, t: int, i: int) -> float:
    if case.terminated[t, i]:
        return 0.0
    if case.truncated[t, i]:
        return float(case.final_values[t, i])
    if t == len(case.rewards) - 1:
        return float(case.bootstrap[i])
    return float(case.values[t + 1, i])


def naive_n_step(case: Case, t: int, i: int) -> float:
    """Rewards up to the end of the episode or the rollout, then the value of what follows."""
    total, discount = 0.0, 1.0
    for k in range(t, len(case.rewards)):
        total += discount * float(case.rewards[k, i])
        discount *= case.gamma
        if case.done[k, i] or k == len(case.rewards) - 1:
            return total + discount * naive_next_value(case, k, i)
    raise AssertionError("a rollout has an end")


def naive_advantage(case: Case, t: int, i: int) -> float:
    """A[t] = delta[t] + gamma lambda (not done[t]) A[t+1]."""
    delta = float(case.rewards[t, i]) + case.gamma * naive_next_value(case, t, i) - float(case.values[t, i])
    if case.done[t, i] or t == len(case.rewards) - 1:
        return delta
    return delta + case.gamma * case.gae_lambda * naive_advantage(case, t + 1, i)


def everywhere(case: Case, naive: object) -> Tensor:
    steps, count = case.rewards.shape
    numbers = [[naive(case, t, i) for i in range(count)] for t in range(steps)]  # type: ignore[operator]
    return torch.tensor(numbers, dtype=case.rewards.dtype)


def close(found: Tensor, expected: Tensor) -> None:
    tolerance = 1e-4 if found.dtype == torch.float32 else 1e-11
    assert_close(found, expected, rtol=tolerance, atol=tolerance)


@given(cases())
def test_successor_values_are_those_of_the_definition(case):
    assert torch.equal(case.next_values, everywhere(case, naive_next_value))


@given(cases())
def test_lambda_one_sums_rewards_up_to_the_end_of_episode_or_rollout(case):
    close(case.returns(1.0), everywhere(case, naive_n_step))


@given(cases())
def test_return_minus_value_is_the_gae_recursion(case):
    close(case.returns(case.gae_lambda) - case.values, everywhere(case, naive_advantage))


# ---- reductions, bit for bit ----


@given(cases())
def test_lambda_one_is_the_n_step_return(case):
    n_step = n_step_returns(case.rewards, case.next_values, case.done, case.gamma)
    assert torch.equal(case.returns(1.0), n_step)
    # and what the code says of it: r + gamma * (G[t+1], or the next value where the row is an end)
    following = torch.cat([n_step[1:], case.next_values[-1:]])
    assert torch.equal(n_step, case.rewards.add(torch.where(case.done, case.next_values, following), alpha=case.gamma))


@given(cases())
def test_lambda_zero_is_td_zero(case):
    assert torch.equal(case.returns(0.0), case.rewards.add(case.next_values, alpha=case.gamma))


@given(cases())
def test_a_rollout_of_one_step_is_td_zero_for_every_lambda(case):
    rewards, next_values, done = case.rewards[-1:], case.next_values[-1:], case.done[-1:]
    found = lambda_returns(rewards, next_values, done, case.gamma, case.gae_lambda)
    assert torch.equal(found, rewards.add(next_values, alpha=case.gamma))


@given(cases())
def test_environments_do_not_mix(case):
    together = case.returns(case.gae_lambda)
    for i in range(together.shape[1]):
        one = slice(i, i + 1)
        alone = lambda_returns(
            case.rewards[:, one], case.next_values[:, one], case.done[:, one], case.gamma, case.gae_lambda
        )
        assert torch.equal(alone, together[:, one])


@given(cases())
def test_arguments_stay_as_they_are(case):
    before = [case.rewards.clone(), case.values.clone(), case.final_values.clone()]
    case.returns(case.gae_lambda)
    assert all(torch.equal(a, b) for a, b in zip(before, (case.rewards, case.values, case.final_values), strict=True))


# ---- gradients, garbage, errors ----


def test_no_gradient_flows_through_a_target():
    rewards, values, final_values = (torch.randn(4, 2, requires_grad=True) for _ in range(3))
    bootstrap = torch.randn(2, requires_grad=True)
    terminated, truncated = torch.rand(4, 2) < 0.2, torch.rand(4, 2) < 0.2
    following = successor_values(shifted(values, bootstrap), final_values.detach(), terminated, truncated)
    assert not following.requires_grad
    following = successor_values(shifted(values, bootstrap), final_values, terminated, truncated)
    for gae_lambda in (1.0, 0.5):
        returns = lambda_returns(rewards, following, terminated | truncated, 0.9, gae_lambda)
        assert not returns.requires_grad
        # (G - V)^2 has the gradient -2 (G - V) of V alone: nothing from the V inside of G
        (gradient,) = torch.autograd.grad((returns - values).square().sum(), values)
        assert_close(gradient, -2 * (returns - values).detach())


def test_what_final_values_holds_elsewhere_does_not_matter():
    nan = float("nan")
    flags = column(False, True), column(True, False)
    following = successor_values(column(2.0, 3.0), column(9.0, nan), *flags)
    assert_close(following, column(9.0, 0.0))
    following = successor_values(column(2.0, 3.0), column(nan, nan), flags[0], flags[0])
    assert_close(following, column(2.0, 0.0))


@pytest.mark.parametrize("name", ["final_values", "terminated", "truncated"])
def test_a_shape_that_does_not_fit_is_named(name):
    arguments = {
        "following": torch.zeros(5, 3),
        "final_values": torch.zeros(5, 3),
        "terminated": torch.zeros(5, 3, dtype=torch.bool),
        "truncated": torch.zeros(5, 3, dtype=torch.bool),
    }
    successor_values(**arguments)
    with pytest.raises(ValueError, match=f"^{name} has shape"):
        successor_values(**{**arguments, name: arguments[name][..., :1]})


@pytest.mark.parametrize("name", ["next_values", "done"])
def test_a_shape_that_would_broadcast_is_refused(name):
    arguments = {
        "rewards": torch.zeros(5, 3),
        "next_values": torch.zeros(5, 3),
        "done": torch.zeros(5, 3, dtype=torch.bool),
    }
    lambda_returns(**arguments, gamma=0.9)
    with pytest.raises(ValueError, match=rf"{name} has shape \[5, 1\]; expected \[T, N\] = \[5, 3\]"):
        lambda_returns(**{**arguments, name: arguments[name][:, :1]}, gamma=0.9)


@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (5, 3, 1)])
def test_only_time_major_rollouts_of_a_step_or_more_are_taken(shape):
    zeros = torch.zeros(shape)
    with pytest.raises(ValueError, match="T >= 1"):
        n_step_returns(zeros, zeros, zeros > 0, gamma=0.9)
