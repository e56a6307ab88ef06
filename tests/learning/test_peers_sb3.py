"""The same rollout and weights give the same gradient and the same step as in Stable-Baselines3's A2C."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from a2c.envs.spaces import spaces_of
from a2c.learning.learner import Learner
from a2c.learning.optimizers import RMSpropTF
from a2c.network.actor_critic import ActorCritic
from a2c.network.flat_weights import clip_gradient, flatten_parameters
from a2c.rollout import Rollout
from a2c.settings.config import Config
from builders import config, gradient, relative_error

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of another library's import are not ours to fix
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
    from stable_baselines3.common.vec_env import DummyVecEnv

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
STEPS, COUNT, GAMMA = 7, 5, 0.97
ENVS = ["CartPole-v1", "Pendulum-v1"]  # discrete and Box actions


class Pair(NamedTuple):
    theirs: Any  # stable_baselines3.A2C
    model: ActorCritic
    cfg: Config


def pair(
    env_id: str,
    dtype: torch.dtype,
    *,
    gae_lambda: float = 1.0,
    normalize_advantage: bool = False,
    optimizer: str = "rmsprop_tf",
) -> Pair:
    """Both libraries with the same weights and settings."""
    same = {"gamma": GAMMA, "gae_lambda": gae_lambda, "normalize_advantage": normalize_advantage}
    like_tensorflow = {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"alpha": 0.99, "eps": 1e-5}}
    theirs = sb3.A2C(
        "MlpPolicy",
        DummyVecEnv([lambda: gym.make(env_id)] * COUNT),
        n_steps=STEPS,
        vf_coef=0.5,
        ent_coef=0.02,
        max_grad_norm=0.5,
        seed=3,
        device="cpu",
        policy_kwargs=like_tensorflow if optimizer == "rmsprop_tf" else None,  # their default is torch's RMSprop
        **same,
    )
    cfg = config(num_envs=COUNT, n_step=STEPS, beta=0.02, max_grad_norm=0.5, optimizer=optimizer, **same)
    theirs.set_logger(Logger(None, []))
    theirs.policy.to(dtype)
    # Observations are cast to float32 before this.
    theirs.policy.features_extractor.register_forward_pre_hook(lambda _, args: args[0].to(dtype))
    env = gym.make(env_id)
    model = ActorCritic(spaces_of(env.observation_space, env.action_space), cfg.network).to(dtype)
    env.close()
    with torch.no_grad():
        for ours, other in matched(model, theirs.policy):
            other.add_(torch.randn(other.shape, dtype=dtype, generator=torch.Generator().manual_seed(len(other))) / 10)
            ours.copy_(other)
    return Pair(theirs, model, cfg)


def matched(model: ActorCritic, policy: Any) -> list[tuple[Tensor, Tensor]]:
    """Parameters of both that mean the same, in the order of ours."""
    assert model.value_torso is not None
    body, heads = policy.mlp_extractor, model.policy_head
    theirs = [
        *body.policy_net.parameters(),
        *body.value_net.parameters(),
        *([] if model.spaces.discrete else [policy.log_std]),
        *policy.action_net.parameters(),
        *policy.value_net.parameters(),
    ]
    ours = [
        *model.torso.parameters(),
        *model.value_torso.parameters(),
        *([] if heads.log_std is None else [heads.log_std]),
        *heads.linear.parameters(),
        *model.value_head.parameters(),
    ]
    assert len(ours) == len(list(model.parameters()))
    assert {id(part) for part in theirs} == {id(part) for part in policy.parameters()}
    return list(zip(ours, theirs, strict=True))


def filled(pair: Pair, seed: int = 0) -> Rollout:
    """A random rollout, put into their buffer by their conventions and returned by ours."""
    theirs, model = pair.theirs, pair.model
    dtype = next(model.parameters()).dtype
    draw = torch.Generator().manual_seed(seed)
    obs = torch.randn(STEPS + 1, COUNT, *model.spaces.obs_shape, generator=draw).to(dtype)
    final_obs = torch.randn(STEPS, COUNT, *model.spaces.obs_shape, generator=draw).to(dtype)
    rewards = torch.randn(STEPS, COUNT, generator=draw, dtype=dtype)
    fate = torch.randint(0, 5, (STEPS, COUNT), generator=draw)
    terminated, truncated = fate == 0, fate == 1
    done = terminated | truncated
    assert terminated.any()
    assert truncated.any()
    if model.spaces.discrete:
        actions = torch.randint(0, model.spaces.actions, (STEPS, COUNT), generator=draw)
    else:
        actions = torch.randn(STEPS, COUNT, model.spaces.actions, generator=draw, dtype=dtype)

    buffer, policy = theirs.rollout_buffer, theirs.policy
    numbers = np.float64 if dtype == torch.float64 else np.float32
    buffer.reset()
    for name in ("observations", "rewards", "values", "log_probs", "advantages", "returns", "episode_starts"):
        setattr(buffer, name, getattr(buffer, name).astype(numbers))
    if not model.spaces.discrete:
        buffer.actions = buffer.actions.astype(numbers)
    with torch.no_grad():
        final_values = policy.predict_values(final_obs.flatten(0, 1)).view(STEPS, COUNT) * truncated
        starts = np.ones(COUNT)
        for t in range(STEPS):
            values, log_probs, _ = policy.evaluate_actions(obs[t], actions[t])
            # A truncation, in their convention: V(final observation) comes with the reward.
            paid = rewards[t] + GAMMA * final_values[t]
            shown = actions[t].unsqueeze(-1) if model.spaces.discrete else actions[t]
            buffer.add(obs[t].numpy(), shown.numpy(), paid.numpy(), starts, values, log_probs)
            starts = done[t].numpy()
        buffer.compute_returns_and_advantage(policy.predict_values(obs[-1]), starts)
    return Rollout(obs, actions, rewards, terminated, truncated, final_values, None, STEPS * COUNT)


def their_gradient(pair: Pair) -> Tensor:
    """The gradient that one ``train()`` computes, before it is clipped."""
    seen: list[Tensor] = []

    def keep(parameters: Any, max_norm: float) -> None:
        seen.append(torch.cat([theirs.grad.flatten() for _, theirs in matched(pair.model, pair.theirs.policy)]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", keep)
        pair.theirs.train()
    assert len(seen) == 1
    return seen[0]


def our_gradient(pair: Pair, rollout: Rollout) -> Tensor:
    """Ours, in the order of :func:`matched`."""
    flat = gradient(pair.model, rollout, replace(pair.cfg, max_grad_norm=None))
    params = list(pair.model.parameters())
    spans = dict(zip(map(id, params), flat.split([param.numel() for param in params]), strict=True))
    return torch.cat([spans[id(ours)] for ours, _ in matched(pair.model, pair.theirs.policy)])


def weights(pair: Pair) -> tuple[Tensor, Tensor]:
    both = matched(pair.model, pair.theirs.policy)
    ours, theirs = (torch.cat([part.detach().flatten() for part in parts]) for parts in zip(*both, strict=True))
    return ours, theirs


@pytest.mark.parametrize("gae_lambda", [1.0, 0.95])
@pytest.mark.parametrize("env", ENVS)
def test_losses_and_gradient_are_equal_on_the_same_rollout(env: str, gae_lambda: float) -> None:
    found = pair(env, torch.float64, gae_lambda=gae_lambda)
    rollout = filled(found)
    ours = our_gradient(found, rollout)
    learner = Learner(found.model, found.cfg)
    learner.update(rollout, 0)
    losses = learner.drain_metrics(0)
    assert relative_error(ours, their_gradient(found)) < 1e-6
    logged = found.theirs.logger.name_to_value
    assert losses["train/policy_loss"] == pytest.approx(logged["train/policy_loss"], rel=1e-6)
    assert losses["train/value_loss"] == pytest.approx(logged["train/value_loss"], rel=1e-6)
    assert losses["train/entropy"] == pytest.approx(-logged["train/entropy_loss"], rel=1e-6)
    assert losses["train/explained_variance"] == pytest.approx(logged["train/explained_variance"], rel=1e-5)


@pytest.mark.parametrize("env", ENVS)
def test_standardised_advantages_differ_by_bessels_correction_alone(env: str) -> None:
    found = pair(env, torch.float64, normalize_advantage=True)
    learner = Learner(found.model, found.cfg)
    learner.update(filled(found), 0)
    found.theirs.train()
    n = STEPS * COUNT  # they divide by the deviation of a sample, n - 1; we by that of a population, n
    theirs = found.theirs.logger.name_to_value["train/policy_loss"]
    assert learner.drain_metrics(0)["train/policy_loss"] == pytest.approx(theirs * (n / (n - 1)) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "rmsprop"])
@pytest.mark.parametrize("env", ENVS)
def test_weights_move_alike_in_whole_updates(env: str, optimizer: str) -> None:
    found = pair(env, torch.float64, gae_lambda=0.95, optimizer=optimizer)
    learner = Learner(found.model, found.cfg)
    before, _ = weights(found)
    for seed in range(3):  # clipping and RMSprop's memory included
        rollout = filled(found, seed)
        learner.update(rollout, 0)
        found.theirs.train()
        ours, theirs = weights(found)
        assert relative_error(ours - before, theirs - before) < 1e-6


def test_rmsprop_takes_the_same_steps() -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = [(5, 3), (5,), (1,)]
    start = [torch.randn(shape, generator=draw) for shape in shapes]
    ours, theirs = torch.nn.Module(), torch.nn.Module()
    for module in (ours, theirs):
        for k, part in enumerate(start):
            module.register_parameter(f"w{k}", torch.nn.Parameter(part.clone()))
    flat = flatten_parameters(ours)
    mine = RMSpropTF(flat, alpha=0.99, eps=1e-5)
    other = RMSpropTFLike(theirs.parameters(), lr=7e-4, alpha=0.99, eps=1e-5)
    for scale in (0.1, 1.0, 10.0, 0.01):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            b.grad = scale * torch.randn(b.shape, generator=draw)
            assert a.grad is not None
            a.grad.copy_(b.grad)
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        assert float(clip_gradient(flat, 0.5)) == pytest.approx(float(norm), rel=1e-6)
        mine.step(7e-4)
        other.step()
        expected = torch.cat([part.detach().flatten() for part in theirs.parameters()])
        torch.testing.assert_close(flat.detach(), expected, rtol=1e-6, atol=1e-8)
