"""The network that the settings ask for."""

from __future__ import annotations

from typing import cast

from a2c.envs.spaces import Spaces
from a2c.network.actor_critic import ActorCritic
from a2c.network.protocol import Network
from a2c.network.recurrent import RecurrentActorCritic
from a2c.settings.config import Config


def make_network(cfg: Config, spaces: Spaces) -> Network:
    """Make the network on the CPU; the seed alone determines its weights.

    Raises:
        ConfigError: it does not fit the observations.
    """
    kind = ActorCritic if cfg.network.memory is None else RecurrentActorCritic
    made = kind(
        spaces, cfg.network, normalize_obs=cfg.normalize_obs, seed=cfg.seed, precision=cfg.precision, policy=cfg.policy
    )
    return cast(Network, made)
