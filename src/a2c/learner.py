"""The learner: one forward, one backward and one optimizer step per rollout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from a2c.config import Config
from a2c.device import flush_denormals
from a2c.losses import loss_gradients, standardize
from a2c.model import ActorCritic
from a2c.moments import LossMoments
from a2c.optim import clip_gradient, flatten_parameters, make_optimizer
from a2c.returns import lambda_returns, successor_values
from a2c.rollout import Rollout
from a2c.schedules import scheduled


class Learner:
    """Improves the model from rollouts; nothing in an update waits for the device.

    Args:
        model: the network, already on its device.
        cfg: the settings.
    """

    def __init__(self, model: ActorCritic, cfg: Config) -> None:
        self.model, self.cfg = model, cfg
        self.weights = flatten_parameters(model)
        self.optimizer = make_optimizer(cfg, [self.weights])
        self._moments = LossMoments(self.weights.device)

    def update(self, rollout: Rollout, env_steps: int) -> None:
        """Take one gradient step on a rollout.

        Args:
            rollout: T steps of N environments.
            env_steps: transitions before this rollout; every schedule is computed from it.
        """
        cfg = self.cfg
        beta = scheduled(cfg.beta_schedule, cfg.beta, env_steps, cfg.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = scheduled(cfg.lr_schedule, cfg.lr, env_steps, cfg.total_steps)
        with flush_denormals():
            self._improve(rollout, beta)

    @torch.no_grad()
    def _improve(self, rollout: Rollout, beta: Tensor | float) -> None:
        """The update itself: tensors in, weights changed in place, as a CUDA graph can repeat it.

        The gradient of the loss with respect to the network's outputs is in closed form (:func:`loss_gradients`, the
        distribution's pullback; tested against autograd through :func:`a2c.losses.actor_critic_loss`): the many small
        steps of autograd cost more than the network does.
        """
        cfg, model, weight = self.cfg, self.model, rollout.weight
        params, all_values, model_pullback = model.forward_pullback(rollout.obs)
        values, following = all_values[:-1], all_values[1:]
        distribution = model.distribution
        log_probs, entropies, pullback = distribution.log_prob_entropy_pullback(params, rollout.actions)

        next_values = successor_values(following, rollout.final_values, rollout.terminated, rollout.truncated)
        done = rollout.terminated | rollout.truncated
        returns = lambda_returns(rollout.rewards, next_values, done, cfg.gamma, cfg.gae_lambda)
        advantages = residuals = returns - values
        if cfg.normalize_advantage:
            advantages = standardize(advantages, weight)

        d_log_probs, d_entropies, d_values = loss_gradients(
            values, returns, advantages, value_coef=cfg.value_coef, beta=beta, weight=weight
        )
        model_pullback(pullback(d_log_probs, d_entropies), d_values)
        grad_norm = clip_gradient(self.weights, cfg.max_grad_norm)
        self.optimizer.step()
        if model.normalizer is not None:
            model.normalizer.update(rollout.obs[:-1], weight)
        self._moments.add(
            log_probs * advantages, residuals, entropies, returns, beta=beta, weight=weight, grad_norm=grad_norm
        )

    def drain_metrics(self, env_steps: int) -> dict[str, float]:
        """Means over the transitions since the last call: the only wait for the device."""
        cfg = self.cfg
        means = self._moments.drain(cfg.value_coef)
        means["learning_rate"] = scheduled(cfg.lr_schedule, cfg.lr, env_steps, cfg.total_steps)
        means["beta"] = scheduled(cfg.beta_schedule, cfg.beta, env_steps, cfg.total_steps)
        return {f"train/{name}": value for name, value in means.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
