"""The learner: one forward, one backward and one optimizer step per rollout."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from a2c.envs.look import decided_by
from a2c.errors import NumericError
from a2c.learning.averaging import Alone, Averaging
from a2c.learning.coefficients import Coefficients, Schedules
from a2c.learning.graphed_update import GraphedUpdate, Improve
from a2c.learning.loss_metrics import LossMetrics
from a2c.learning.optimizers import Optimizer, critic_rates, make_optimizer
from a2c.learning.soundness import ADVICE, Soundness
from a2c.machine.clock import UPDATE, LoopClock
from a2c.machine.compiling import compiled_or_plain
from a2c.machine.device import TorchModes, flush_denormals
from a2c.machine.graphs import Graphs
from a2c.maths.distributions import pullback_of
from a2c.maths.losses import loss_gradients, value_losses
from a2c.maths.returns import lambda_returns, successor_values
from a2c.maths.trees import single
from a2c.network.flat_weights import flatten_parameters, gradient_of
from a2c.network.obs_normalizer import ObsNormalizer
from a2c.network.passes import Pass, pass_over, written_out
from a2c.network.protocol import Network, remembers
from a2c.network.value_normalizer import ValueNormalizer
from a2c.rollout import Rollout
from a2c.settings.config import Config

log = logging.getLogger("a2c")


class Learner:
    """Improves the model from rollouts; nothing in an update waits for the device.

    Args:
        model: the network, already on its device.
        cfg: the settings.
        clock: measures where the time goes; None: a new one.
        graphs: captures updates in CUDA graphs; None: kernel by kernel.
        notify: called with one line when updates cannot be compiled.
        optimizer: makes the optimizer from the settings and the model's flat weights.
        statistics: the normaliser that observations update; None: the model's own.
        averaging: what an update takes its means over; None: its own rollout.
    """

    def __init__(
        self,
        model: Network,
        cfg: Config,
        *,
        clock: LoopClock | None = None,
        graphs: Graphs | None = None,
        notify: Callable[[str], None] = log.warning,
        optimizer: Callable[[Config, nn.Parameter], Optimizer] = make_optimizer,
        statistics: ObsNormalizer | None = None,
        averaging: Averaging | None = None,
    ) -> None:
        self.model, self.cfg = model, (cfg := decided_by(model.spaces, cfg))
        self.averaging: Averaging = averaging or Alone()
        self.weights = flatten_parameters(model)
        device = self.weights.device
        self.clock = LoopClock(device) if clock is None else clock
        self._schedules = Schedules(cfg, device if cfg.compile or graphs is not None else None)
        self.optimizer = optimizer(cfg, self.weights)
        self._rates = None if cfg.critic_lr is None else critic_rates(model, self.weights, cfg.critic_lr / cfg.lr)
        self._value_normalizer: ValueNormalizer | None = getattr(model, "value_normalizer", None)  # a user's has none
        self._huber = cfg.value_loss == "huber"
        own_value_loss = self._huber or self._value_normalizer is not None
        weighted = "value_coef" in self._schedules.changing
        make = partial(LossMetrics, device, own_value_loss=own_value_loss, weighted=weighted)
        self.metrics = self.averaging.metrics(make)
        self._soundness = Soundness(device, late=device.type != "cpu" or graphs is not None, compiled=cfg.compile)
        self._modes = TorchModes()
        self._statistics = model.normalizer if statistics is None else statistics
        self._log_prob_entropy_pullback = pullback_of(model.distribution)
        self._passes: dict[tuple[int, int], Pass] = {}  # all are kept, because graphs write to their memory
        self._pass = self._pass_of(cfg.n_step, cfg.num_envs)
        improve: Improve = self._improve
        if cfg.compile and written_out(model):
            improve = compiled_or_plain(improve, notify)
        elif cfg.compile and remembers(model):
            notify("updates are not compiled: the network has a memory, which goes step by step")
        self._run = improve if graphs is None else GraphedUpdate(improve, self._state, graphs)

    def update(self, rollout: Rollout, env_steps: int) -> None:
        """Take one gradient step on a rollout; one without a transition changes nothing.

        Args:
            rollout: T steps of N environments.
            env_steps: transitions before this rollout, on which every schedule depends.

        Raises:
            NumericError: on the CPU, the loss or gradient is not finite; weights, optimizer and statistics are as they
                were. Elsewhere they then stay as they are, and :meth:`drain_metrics` raises.
        """
        self.clock.enter(UPDATE)
        self._modes.restore()  # environments in this process may have set others
        if self.averaging.skips(rollout.transitions):
            return
        self._pass = self._pass_of(*rollout.rewards.shape)
        coefficients = self._schedules.held_at(env_steps)
        self._soundness.begin(rollout, env_steps)
        with flush_denormals():
            self._run(rollout, coefficients)
        error = self._soundness.refused_now(rollout, env_steps)
        if error is not None:
            self.metrics.take()  # they are not finite either
            raise error

    def _pass_of(self, steps: int, count: int) -> Pass:
        """The pass over rollouts of this size; a loop other than the trainer's may give several sizes."""
        if (steps, count) not in self._passes:
            make = partial(pass_over, self.model, self.weights, compiled=self.cfg.compile)
            self._passes[steps, count] = self.averaging.pass_over(make, self.weights, steps, count)
        return self._passes[steps, count]

    def _state(self) -> list[Tensor]:
        """Every tensor that an update changes."""
        buffers = [*self.model.buffers(), *([] if self._statistics is None else self._statistics.buffers())]
        once = {id(tensor): tensor for tensor in buffers}.values()  # the statistics are usually the model's own
        gradient = gradient_of(self.weights)
        return [
            self.weights.data,
            gradient,
            *self.optimizer.state.values(),
            *once,
            *self.metrics.tensors,
            *self._soundness.tensors,
        ]

    @torch.no_grad()
    def _improve(self, rollout: Rollout, coefficients: Coefficients) -> None:
        """The update itself; it changes tensors in place, so that a CUDA graph can repeat it.

        The gradient of the loss with respect to the network's outputs is in closed form (:func:`loss_gradients`, the
        distribution's pullback; tested against autograd through :func:`a2c.maths.losses.actor_critic_loss`), because
        the many small steps of autograd cost more than the network does.
        """
        cfg, weight = self.cfg, rollout.weight
        lr, beta, value_coef, gae_lambda, max_grad_norm = coefficients
        params, all_values = self._pass.forward(rollout)
        values, following = all_values[:-1], all_values[1:]
        log_probs, entropies, pullback = self._log_prob_entropy_pullback(params, rollout.actions)

        next_values = successor_values(following, rollout.final_values, rollout.terminated, rollout.truncated)
        done = rollout.terminated | rollout.truncated
        returns = lambda_returns(rollout.rewards, next_values, done, cfg.gamma, gae_lambda)
        advantages = residuals = returns - values
        if cfg.normalize_advantage:
            advantages = self.averaging.standardized(advantages, weight)

        huber, scale = self._huber, None if self._value_normalizer is None else self._value_normalizer.scale
        d_log_probs, d_entropies, d_values = loss_gradients(
            values,
            returns,
            advantages,
            value_coef=value_coef,
            beta=beta,
            weight=weight,
            count=self.averaging.count,
            huber=huber,
            scale=scale,
        )
        self._pass.backward(pullback(d_log_probs, d_entropies), d_values)
        losses = value_losses(residuals, huber, scale) if huber or scale is not None else None
        self.metrics.add(
            log_probs * advantages,
            residuals,
            entropies,
            returns,
            beta=beta,
            value_coef=value_coef,
            weight=weight,
            value_losses=losses,
        )
        # Sums over all that the loss is made of, over the gradient and all observations: finite if every one is.
        evidence, seen = self.metrics.products.sum(), None
        if self._statistics is not None:
            obs = single(rollout.obs)
            seen = self.averaging.seen(self._statistics, obs[:-1], weight)
            evidence = evidence + (seen[0] + seen[1]).sum() + obs[-1].sum(dtype=seen[0].dtype)
        evidence = self.averaging.gradient(gradient_of(self.weights), rollout.transitions, evidence)
        if self.averaging.empty:
            self._soundness.forget()
            return
        grad_norm = self.optimizer.clip(max_grad_norm)
        evidence = evidence + grad_norm
        self.metrics.add_norm(grad_norm)
        weights = [self.weights.data, *self.optimizer.state.values()]
        rate = lr if self._rates is None else self._rates * lr
        sound = self._soundness.apply(lambda: self.optimizer.step(rate), weights, evidence, rollout)
        if sound is False:
            return
        masked = [sound] if isinstance(sound, Tensor) else []
        if self._statistics is not None and seen is not None:
            self._statistics.merge(*seen, *masked)
        if self._value_normalizer is not None:
            head: nn.Linear = self.model.value_head  # type: ignore[attr-defined]
            self._value_normalizer.merge(*self.averaging.moments(returns, weight), head, *masked)

    def drain_metrics(self, env_steps: int) -> dict[str, float]:
        """Means over the transitions since the last call, as ``train/...``: the only wait for the device.

        Raises:
            NumericError: the update that its evidence describes was refused, and with it all later ones; or the weights
                are not finite, as with an absurd learning rate.
        """
        self.averaging.to_first(self.metrics.products)
        self.check()
        if not self.weights.isfinite().all():
            raise NumericError(f"the weights after {env_steps:,} steps are not finite; {ADVICE}")
        means, now = self.metrics.drain(self.cfg.value_coef), self._schedules.at(env_steps)._asdict()
        means["learning_rate"], means["beta"] = now.pop("lr"), now.pop("beta")
        means |= {name: value for name, value in now.items() if name in self._schedules.changing}
        return {f"train/{name}": value for name, value in means.items()}

    def counted(self, rollout: Rollout) -> int:
        """The transitions that the run counts with a rollout of the last update: those of other ranks too."""
        return self.averaging.counted(rollout.transitions)

    def check(self) -> None:
        """Wait for the device; raises :class:`NumericError` if :meth:`refused` has one."""
        error = self.refused()
        if error is not None:
            raise error

    def refused(self) -> NumericError | None:
        """The error of an update that was refused on the device, where that shows late; waits for the device.

        All updates after it were refused, too: weights, optimizer and statistics are those of before it.
        """
        return self._soundness.refused_before()

    def state_dict(self) -> dict[str, Any]:
        metrics = self.metrics.state()
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state, "metrics": metrics}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        saved = state["optimizer"]
        if saved.keys() != self.optimizer.state.keys():
            raise ValueError(f"it holds the state of another optimizer: {', '.join(saved)}")
        for name, tensor in self.optimizer.state.items():
            tensor.copy_(saved[name])
        self.metrics.load(state.get("metrics", ()))  # not in version 0.1
