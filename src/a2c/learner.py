"""The learner: one forward, one backward and one optimizer step per rollout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from a2c.config import Config
from a2c.losses import actor_critic_loss, standardize, variance
from a2c.model import ActorCritic
from a2c.optim import clip_gradient, flatten_parameters, make_optimizer
from a2c.returns import lambda_returns, successor_values
from a2c.rollout import Rollout
from a2c.schedules import scheduled

METRICS = ("loss", "policy_loss", "value_loss", "entropy", "grad_norm", "residual_variance", "return_variance")


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
        self._sums = torch.zeros(len(METRICS), device=self.weights.device)
        self._updates = 0

    def update(self, rollout: Rollout, env_steps: int) -> None:
        """Take one gradient step on a rollout.

        Args:
            rollout: T steps of N environments.
            env_steps: transitions before this rollout; every schedule is computed from it.
        """
        cfg, model = self.cfg, self.model
        beta = scheduled(cfg.beta_schedule, cfg.beta, env_steps, cfg.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = scheduled(cfg.lr_schedule, cfg.lr, env_steps, cfg.total_steps)

        steps, count = rollout.rewards.shape
        params, values = model(rollout.obs[:-1].flatten(0, 1))
        params, values = params.view(steps, count, -1), values.view(steps, count)
        with torch.no_grad():  # where the next rollout starts needs no gradient: a backward over T rows, not T+1
            bootstrap = model.value(rollout.obs[-1])
        log_probs, entropies = model.distribution.log_prob_entropy(params, rollout.actions)

        next_values = successor_values(values, bootstrap, rollout.final_values, rollout.terminated, rollout.truncated)
        done = rollout.terminated | rollout.truncated
        returns = lambda_returns(rollout.rewards, next_values, done, cfg.gamma, cfg.gae_lambda)
        advantages = returns - values.detach()
        residual_variance, return_variance = variance(advantages, rollout.weight), variance(returns, rollout.weight)
        if cfg.normalize_advantage:
            advantages = standardize(advantages, rollout.weight)

        losses = actor_critic_loss(
            log_probs,
            entropies,
            values,
            returns,
            advantages,
            value_coef=cfg.value_coef,
            beta=beta,
            weight=rollout.weight,
        )
        self.optimizer.zero_grad(set_to_none=False)  # gradients are views of one vector: keep them
        losses.loss.backward()  # type: ignore[no-untyped-call]
        grad_norm = clip_gradient(self.weights, cfg.max_grad_norm)
        self.optimizer.step()
        if model.normalizer is not None:
            model.normalizer.update(rollout.obs[:-1], rollout.weight)

        terms = (losses.loss, losses.policy_loss, losses.value_loss, losses.entropy, grad_norm)
        self._add([*terms, residual_variance, return_variance])

    @torch.no_grad()
    def _add(self, metrics: list[Tensor]) -> None:
        self._sums += torch.stack(metrics)
        self._updates += 1

    def drain_metrics(self, env_steps: int) -> dict[str, float]:
        """Means over the updates since the last call: the only wait for the device."""
        cfg = self.cfg
        means = dict(zip(METRICS, (self._sums / max(self._updates, 1)).tolist(), strict=True))
        self._sums.zero_()
        self._updates = 0
        residual, total = means.pop("residual_variance"), means.pop("return_variance")
        means["explained_variance"] = 1 - residual / total if total > 0 else 0.0
        means["learning_rate"] = scheduled(cfg.lr_schedule, cfg.lr, env_steps, cfg.total_steps)
        means["beta"] = scheduled(cfg.beta_schedule, cfg.beta, env_steps, cfg.total_steps)
        return {f"train/{name}": value for name, value in means.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
