"""Options of the value: Huber's loss, standardised targets, a learning rate of its own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import a2c
from a2c.errors import ConfigError
from a2c.learning.learner import Learner
from a2c.maths.losses import actor_critic_loss, loss_gradients, value_losses
from a2c.network.making import make_network
from a2c.network.passes import AutogradPass, MLPPass, pass_over
from a2c.network.value_normalizer import LEAST, ValueNormalizer
from a2c.storage.checkpoint import load_checkpoint
from builders import LIGHT, VECTOR, config, make_model, random_rollout

DOUBLE = torch.float64


def row(*numbers: float) -> Tensor:
    return torch.tensor([numbers], dtype=DOUBLE)


# ---- Huber ----


def test_huber_is_the_square_within_one_and_a_line_beyond() -> None:
    #                       0.25    1      2*3-1   2*10-1
    residuals, expected = row(-0.5, 1.0, -3.0, 10.0), row(0.25, 1.0, 5.0, 19.0)
    assert_close(value_losses(residuals, huber=True), expected)
    assert_close(value_losses(residuals), row(0.25, 1.0, 9.0, 100.0))
    # in units of a deviation of 2: e = -0.25, 0.5, -1.5, 5
    assert_close(value_losses(residuals, huber=True, scale=torch.tensor(2.0)), row(0.0625, 0.25, 2.0, 9.0))


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("scale", [None, 3.0])
@pytest.mark.parametrize("huber", [False, True])
def test_the_gradient_in_closed_form_is_that_of_autograd(huber: bool, scale: float | None, gaps: bool) -> None:
    draw = torch.Generator().manual_seed(1)
    values = (4 * torch.randn(3, 5, generator=draw, dtype=DOUBLE)).requires_grad_()
    returns = 4 * torch.randn(3, 5, generator=draw, dtype=DOUBLE)
    weight = torch.randint(0, 2, (3, 5), generator=draw).to(DOUBLE) if gaps else None
    more: dict[str, Any] = {"huber": huber, "scale": None if scale is None else torch.tensor(scale, dtype=DOUBLE)}
    zeros, advantages = torch.zeros(3, 5, dtype=DOUBLE), (returns - values).detach()
    loss = actor_critic_loss(zeros, zeros, values, returns, advantages, value_coef=0.7, weight=weight, **more).loss
    loss.backward()  # type: ignore[no-untyped-call]
    found = loss_gradients(values.detach(), returns, advantages, value_coef=0.7, weight=weight, **more)[2]
    assert values.grad is not None
    assert_close(found, values.grad)


def test_with_huber_one_huge_return_moves_the_critic_no_further_than_one_step() -> None:
    found = loss_gradients(row(0.0, 0.0), row(0.5, 1e6), row(0.0, 0.0), huber=True)[2]
    assert_close(found, row(-0.25, -0.5))  # 2 * 0.5 * (V - G, at most 1) / 2


# ---- standardised targets ----


def critic(normalizer: ValueNormalizer, head: nn.Linear, features: Tensor) -> Tensor:
    return normalizer(head(features).squeeze(-1))


def test_values_do_not_jump_when_the_statistics_move() -> None:
    torch.manual_seed(0)
    normalizer, head = ValueNormalizer().double(), nn.Linear(6, 1, dtype=DOUBLE)
    features = torch.randn(9, 6, dtype=DOUBLE)
    before = critic(normalizer, head, features)
    for mean, var in ((100.0, 2500.0), (-3.0, 0.0), (1e5, 1e8)):
        weight = head.weight.clone()
        normalizer.merge(torch.tensor(mean, dtype=DOUBLE), torch.tensor(var, dtype=DOUBLE), head)
        assert not torch.equal(head.weight, weight)
        assert_close(critic(normalizer, head, features), before, rtol=1e-9, atol=1e-9)


def test_the_statistics_are_those_of_all_rollouts_and_of_where_they_began() -> None:
    normalizer, head = ValueNormalizer().double(), nn.Linear(2, 1, dtype=DOUBLE)
    returns = torch.randn(5, 8, dtype=DOUBLE) * 3 + 7
    for rollout in returns:
        normalizer.merge(rollout.mean(), rollout.var(correction=0), head)
    # the beginning, mean 0 and variance 1, counts as one more rollout
    mean = returns.mean() * 5 / 6
    square = (5 * returns.square().mean() + 1) / 6
    assert_close(normalizer.mean, mean)
    assert_close(normalizer.var, square - mean.square())


def test_targets_that_never_vary_do_not_blow_it_up() -> None:
    normalizer, head = ValueNormalizer(), nn.Linear(2, 1)
    for _ in range(3000):
        normalizer.merge(torch.tensor(5.0), torch.tensor(0.0), head)
    assert normalizer.scale >= LEAST
    assert head.weight.isfinite().all()


def test_a_refused_update_leaves_head_and_statistics_to_the_bit() -> None:
    normalizer, head = ValueNormalizer(), nn.Linear(2, 1)
    before = copy.deepcopy((normalizer.state_dict(), head.state_dict()))
    normalizer.merge(torch.tensor(torch.nan), torch.tensor(1.0), head, torch.tensor(False))
    assert_close((normalizer.state_dict(), head.state_dict()), before, rtol=0, atol=0)


NETWORKS: list[dict[str, Any]] = [{}, {"shared_torso": True}, {"value_hidden_sizes": [9]}]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_written_out_pass_gives_what_autograd_gives_with_all_options(network: dict[str, Any]) -> None:
    cfg = config(normalize_value=True, value_loss="huber", gae_lambda=0.9, network=network)
    model = make_model(VECTOR, cfg, DOUBLE, spread=0.1)
    model.value_normalizer.merge(torch.tensor(4.0, dtype=DOUBLE), torch.tensor(9.0, dtype=DOUBLE), model.value_head)
    rollout, _ = random_rollout(model, steps=4, count=3, gaps=True)
    learner = Learner(copy.deepcopy(model), cfg)
    assert isinstance(pass_over(learner.model, learner.weights, 4, 3), MLPPass)
    twin = Learner(copy.deepcopy(model), cfg)
    twin._passes[4, 3] = AutogradPass(twin.model, twin.weights)
    for one in (learner, twin):
        one.update(rollout, 0)
    assert_close(learner.weights.grad, twin.weights.grad, rtol=1e-10, atol=1e-12)
    assert_close(learner.model.state_dict(), twin.model.state_dict(), rtol=1e-10, atol=1e-12)
    assert_close(learner.drain_metrics(0), twin.drain_metrics(0), rtol=1e-6, atol=1e-9)


def test_the_whole_gradient_is_that_of_the_loss_as_written_down() -> None:
    """Of a shared network: what the head sees in standardised units, and the loss in them."""
    cfg = config(normalize_value=True, network={"shared_torso": True})
    model = make_model(VECTOR, cfg, DOUBLE, spread=0.1)
    model.value_normalizer.merge(torch.tensor(4.0, dtype=DOUBLE), torch.tensor(9.0, dtype=DOUBLE), model.value_head)
    rollout, _ = random_rollout(model, steps=1, count=3)
    learner = Learner(copy.deepcopy(model), cfg)
    learner.update(rollout, 0)
    mean, scale = model.value_normalizer.mean, model.value_normalizer.scale
    params, values = model(rollout.obs[0])
    ends = torch.where(rollout.truncated, rollout.final_values, model.value(rollout.obs[1]).unsqueeze(0)).detach()
    returns = (rollout.rewards + cfg.gamma * torch.where(rollout.terminated, 0.0, ends)).squeeze(0)
    policy = torch.distributions.Categorical(logits=params)
    log_probs = policy.log_prob(rollout.actions.squeeze(0))
    standardised = model.value_head(model.torso(rollout.obs[0])).squeeze(-1)
    value_loss = ((returns - mean) / scale - standardised).square().mean()
    loss = -(log_probs * (returns - values).detach()).mean() + 0.5 * value_loss - cfg.beta * policy.entropy().mean()
    expected = torch.autograd.grad(loss, list(model.parameters()))
    found = [param.grad for param in learner.model.parameters()]
    # the learner has rescaled the head since, but not its gradient
    assert_close(found, list(expected), rtol=1e-8, atol=1e-12)
    assert learner.drain_metrics(0)["train/value_loss"] == pytest.approx(float(value_loss.detach()), rel=1e-6)


def test_rewards_a_thousand_times_as_large_give_the_same_policy() -> None:
    """What normalised targets are for: with beta=0 and standardised advantages only the value's loss has a scale."""
    found = []
    for unit in (1.0, 1024.0):  # a power of two: dividing by it loses no bit
        cfg = config(normalize_value=True, normalize_advantage=True, beta=0.0, optimizer="adam", gamma=0.0)
        model = make_model(VECTOR, cfg, DOUBLE, spread=0.1)
        learner = Learner(model, cfg)
        model.value_normalizer.mean.fill_(3.0 * unit)
        model.value_normalizer.var.fill_(unit**2)
        for update in range(20):
            rollout, _ = random_rollout(model, steps=4, count=3, seed=update)
            rollout.rewards.add_(3.0).mul_(unit)
            learner.update(rollout, 0)
        found.append((model.policy(rollout.obs[0]).detach(), model.value(rollout.obs[0]).detach() / unit))
    assert_close(found[0], found[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("memory", [None, pytest.param("gru", marks=pytest.mark.long)])
def test_it_trains_evaluates_and_resumes(tmp_path: Path, memory: str | None) -> None:
    options = ("normalize_value=true", "value_loss=huber", "critic_lr=1e-3", f"network.memory={memory or 'null'}")
    base = ("env.id=CartPole-v1", *LIGHT, *options, f"runs_dir={tmp_path}")
    whole = a2c.train(a2c.load_config(*base, "total_steps=200"))
    half = a2c.train(a2c.load_config(*base, "total_steps=100"))
    resumed = a2c.train(a2c.load_config(f"resume={half.folder}", f"runs_dir={tmp_path}", "total_steps=200"))
    one, other = (load_checkpoint(Path(run.last_checkpoint))["learner"]["model"] for run in (whole, resumed))
    assert one["value_normalizer.count"] > 1
    assert_close(one, other, rtol=0, atol=0)


def test_a3c_has_no_standardised_targets() -> None:
    with pytest.raises(ConfigError, match="normalize_value=true does not go with algo=a3c"):
        a2c.load_config("env=cartpole", "algo=a3c", "normalize_value=true")


# ---- a rate of its own ----


@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "rmsprop", "adam"])
def test_the_critic_moves_by_its_own_rate_and_the_policy_as_before(optimizer: str) -> None:
    moved = []
    for critic_lr in (None, 0.05):
        cfg = config(lr=0.01, critic_lr=critic_lr, optimizer=optimizer, lr_schedule="linear", total_steps=100)
        learner = Learner(make_model(VECTOR, cfg, DOUBLE, spread=0.1), cfg)
        before = copy.deepcopy(learner.model.state_dict())
        rollout, _ = random_rollout(learner.model, steps=4, count=3)
        learner.update(rollout, 50)
        moved.append({name: value - before[name] for name, value in learner.model.state_dict().items()})
    for name, step in moved[0].items():
        factor = 5.0 if name.startswith("value") else 1.0
        assert_close(moved[1][name], step * factor, rtol=1e-9, atol=1e-14, msg=name)
    assert any(step.any() for name, step in moved[0].items() if name.startswith("value_torso"))


# ---- sizes, layer normalisation, initial weights ----


def test_the_values_mlp_may_have_other_sizes() -> None:
    model: Any = make_network(config(network={"hidden_sizes": [8], "value_hidden_sizes": [16, 4]}), VECTOR)
    assert [layer.out_features for layer in model.torso.linears] == [8]
    assert [layer.out_features for layer in model.value_torso.linears] == [16, 4]
    assert model.value_head.in_features == 4
    assert isinstance(pass_over(model, Learner(model, config()).weights, 2, 3), MLPPass)


@pytest.mark.parametrize(("where", "policy", "value"), [("critic", 0, 2), ("both", 2, 2)])
def test_layers_are_normalised_before_their_activation(where: str, policy: int, value: int) -> None:
    model: Any = make_network(config(network={"layer_norm": where}), VECTOR)
    for torso, count in ((model.torso, policy), (model.value_torso, value)):
        assert sum(isinstance(layer, nn.LayerNorm) for layer in torso) == count
    obs = torch.randn(5, 4)
    x = nn.Sequential.forward(model.value_torso, obs)  # type: ignore[no-untyped-call]
    assert_close(model.value_torso(obs), x)
    assert isinstance(pass_over(model, Learner(model, config()).weights, 2, 3), MLPPass)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            {"layer_norm": "critic", "shared_torso": True},
            "network.layer_norm=critic is of the value's own mlp",
        ),
        ({"value_hidden_sizes": [3], "memory": "lstm"}, r"network.value_hidden_sizes=\[3\] is of the value's own mlp"),
    ],
)
def test_what_only_a_critic_of_its_own_can_have_is_refused_elsewhere(network: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_network(config(network=network), VECTOR)


def test_initial_weights_may_be_those_of_pytorch_and_follow_from_the_seed() -> None:
    first, again = (make_network(config(network={"init": "default"}), VECTOR) for _ in range(2))
    other = make_network(config(seed=2, network={"init": "default"}), VECTOR)
    assert_close(first.state_dict(), again.state_dict(), rtol=0, atol=0)
    weight, second = (one.state_dict()["torso.1.weight"] for one in (first, other))
    assert not torch.equal(weight, second)
    assert weight.abs().max() <= 0.5  # uniform within 1 / sqrt(4 inputs)
    assert first.state_dict()["torso.1.bias"].any()
