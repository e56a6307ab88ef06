"""The network that the settings ask for, or that a user makes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from a2c.envs.look import decided_by
from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.network.actor_critic import ActorCritic
from a2c.network.masking import unmasked_shape
from a2c.network.own_code import CONSTRUCTOR, a_module, called, found
from a2c.network.own_module import OwnModule, OwnRecurrentModule, has_method
from a2c.network.protocol import Network
from a2c.network.recurrent import RecurrentActorCritic
from a2c.settings.code_names import name_of
from a2c.settings.config import Config

OwnNetwork = Callable[[Spaces], nn.Module]  # makes a network of the user's; the spaces are as it sees observations

TRIED = 2  # observations of the trial pass


def make_network(cfg: Config, spaces: Spaces, own: OwnNetwork | None = None) -> Network:
    """Make the network on the CPU; the seed alone determines its weights.

    Args:
        cfg: the settings.
        spaces: of the environment.
        own: makes a network of the user's; None: ours, or the one that ``network.make`` names.

    Raises:
        ConfigError: it does not fit the observations or the actions, or code of the user's raised.
    """
    cfg = decided_by(spaces, cfg)
    with seeded(cfg.seed):  # what of it is the user's draws from torch's own generator
        if own is not None or cfg.network.make is not None:
            return _own_network(cfg, spaces, own)
        kind = ActorCritic if cfg.network.memory is None else RecurrentActorCritic
        made = kind(
            spaces,
            cfg.network,
            normalize_obs=cfg.normalize_obs,
            normalize_value=cfg.normalize_value,
            seed=cfg.seed,
            precision=cfg.precision,
            policy=cfg.policy,
        )
        return cast(Network, made)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block torch's own generator on the CPU begins with a seed; afterwards it goes on where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _own_network(cfg: Config, spaces: Spaces, own: OwnNetwork | None) -> Network:
    named = cfg.network.make or name_of(own)
    name = f"network.make={named}"
    make = found("network.make", named) if own is None else own
    # A mask of legal actions is not for it to see: it is laid over its parameters.
    seen = replace(spaces, obs_shape=unmasked_shape(spaces), mask=0)
    module = a_module(called(make, name, CONSTRUCTOR, seen), name)
    whole = all(has_method(module, name) for name in ("policy", "value", "describe"))
    if whole and all(hasattr(module, name) for name in ("spaces", "distribution", "normalizer")):
        return cast(Network, module)
    kind = OwnRecurrentModule if has_method(module, "initial_memory") else OwnModule
    network = kind(module, spaces, name, normalize_obs=cfg.normalize_obs, policy=cfg.policy)
    network.train(False)  # batch statistics see no trial
    _try_out(network, name)
    network.train(True)
    a_module(module, name)  # lazy layers have their weights by now
    return cast(Network, network)


def _try_out(network: OwnModule | OwnRecurrentModule, name: str) -> None:
    """Run all that training will run, on zeros.

    Raises:
        ConfigError: it raises, gives something that does not fit, or has nothing to learn.
    """
    spaces = network.spaces
    obs = torch.zeros(TRIED, *spaces.obs_shape, dtype=torch.uint8 if spaces.obs_dtype == "uint8" else torch.float32)
    if isinstance(network, OwnRecurrentModule):
        memory = network.initial_memory(TRIED)
        if memory.any():
            raise ConfigError(f"{name}: initial_memory needs to give zeros: acting clears a memory with them")
        params, values, _ = network.forward(torch.stack([obs, obs]), memory, torch.zeros(2, TRIED, dtype=torch.bool))
        network.policy(obs, memory)
        network.value(obs, memory)
    else:
        params, values = network.forward(obs)
        network.policy(obs)
        network.value(obs)
    for what, given in (("parameters", params), ("values", values)):
        if not given.requires_grad:
            raise ConfigError(f"{name}: its {what} follow from no weights of its own: there is nothing to learn")
        if given.dtype != torch.float32:
            raise ConfigError(f"{name}: its {what} are {str(given.dtype).removeprefix('torch.')}, not float32")
