"""A2C through a memory, written the slow, obvious way: one environment and one step at a time, gates by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

from a2c.rollout import Rollout
from a2c.settings.config import Config


class Naive(NamedTuple):
    params: Tensor  # [T, N, P]
    values: Tensor  # [T+1, N]
    states: Tensor  # [T, N, S]  after each step
    final_values: Tensor  # [T, N]  where truncated, else 0
    gradient: Tensor  # flat, in the order of model.parameters()


def step(model: Any, obs: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One observation and the state before it -> policy parameters, value, the state after it."""
    x = nn.Sequential.forward(model.torso, obs.unsqueeze(0))[0]  # type: ignore[no-untyped-call]
    cell = model.memory
    inner, outer = cell.weight_ih @ x + cell.bias_ih, cell.bias_hh
    if model.memory_kind == "lstm":
        shown, kept = state.chunk(2)
        i, f, g, o = (inner + cell.weight_hh @ shown + outer).chunk(4)
        kept = f.sigmoid() * kept + i.sigmoid() * g.tanh()
        shown = o.sigmoid() * kept.tanh()
        state = torch.cat([shown, kept])
    else:
        r, z, n = inner.chunk(3)
        of_r, of_z, of_n = (cell.weight_hh @ state + outer).chunk(3)
        fresh = (n + (r + of_r).sigmoid() * of_n).tanh()
        keep = (z + of_z).sigmoid()
        shown = state = (1 - keep) * fresh + keep * state
    params = model.policy_head.linear.weight @ shown + model.policy_head.linear.bias
    if model.policy_head.log_std is not None:
        params = torch.cat([params, model.policy_head.log_std])
    return params, (model.value_head.weight @ shown + model.value_head.bias)[0], state


def naive_a2c(model: Any, rollout: Rollout, final_obs: Tensor, cfg: Config) -> Naive:
    """Values, states and gradient of a rollout without gaps; ``rollout.memory[0]`` is where it begins."""
    steps, count = rollout.rewards.shape
    assert rollout.memory is not None
    assert rollout.began is not None
    assert isinstance(rollout.obs, Tensor)
    loss, columns = torch.zeros((), dtype=torch.float64), []
    for i in range(count):
        state = rollout.memory[0, i]
        params, values, states, finals = [], [], [], []
        for t in range(steps + 1):
            if rollout.began[t, i]:
                state = torch.zeros_like(state)
            of_policy, value, state = step(model, rollout.obs[t, i], state)
            values.append(value)
            if t < steps:
                params.append(of_policy)
                states.append(state)
                with torch.no_grad():
                    final = step(model, final_obs[t, i], state)[1]
                finals.append(final if rollout.truncated[t, i] else torch.zeros_like(final))
        for t in range(steps):
            advantage, weight = 0.0, 1.0
            for k in range(t, steps):
                done = bool(rollout.terminated[k, i] or rollout.truncated[k, i])
                after = float(finals[k]) if done else values[k + 1].item()  # 0 where terminated
                advantage += weight * (float(rollout.rewards[k, i]) + cfg.gamma * after - values[k].item())
                weight *= cfg.gamma * cfg.gae_lambda
                if done:
                    break
            pi = distribution(model, params[t])
            loss = loss - pi.log_prob(rollout.actions[t, i]) * advantage - cfg.beta * pi.entropy()
            loss = loss + cfg.value_coef * (advantage + values[t].detach() - values[t]) ** 2
        columns.append([torch.stack(part) for part in (params, values, states, finals)])
    gradient = torch.autograd.grad(loss / (steps * count), list(model.parameters()))
    found = (torch.stack(parts, 1).detach() for parts in zip(*columns, strict=True))
    return Naive(*found, torch.cat([part.flatten() for part in gradient]))


def distribution(model: Any, params: Tensor) -> Distribution:
    if model.spaces.discrete:
        return Categorical(logits=params)
    mean, log_std = params.chunk(2)
    return Independent(Normal(mean, log_std.exp()), 1)
