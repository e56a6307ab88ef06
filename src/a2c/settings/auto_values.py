"""Settings that nobody gives: the word auto becomes the value that learns most environments of this kind.

``docs/defaults.md`` has the measurements behind the values of A2C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from a2c.settings.config import Config, NetworkConfig
from a2c.settings.setting import AUTO, settings

# Plain A2C: the settings of Mnih et al. 2016, with the clipping and the learning rate that re-implementations use.
# AC and A3C have them too: what helps A2C was not measured there.
PAPER: Mapping[str, Any] = {
    "n_step": 5,  # t_max
    "gae_lambda": 1.0,  # the n-step return
    "beta": 0.01,
    "value_coef": 0.5,
    "lr": 7.0e-4,
    "lr_schedule": "constant",
    "optimizer": "rmsprop_tf",
    "max_grad_norm": 0.5,
    "normalize_advantage": False,
    "normalize_obs": False,
    "normalize_reward": False,
    "env.symbols": None,
    "network.hidden_sizes": [64, 64],
    "network.layer_norm": "none",
    "network.activation": "tanh",
    "network.log_std_init": 0.0,
    "policy.distribution": "gaussian",
}


@dataclass(frozen=True, slots=True)
class Traits:
    """What the values follow from.

    Attributes:
        continuous: whether an action has continuous parts.
        bounded: whether all of them have bounds.
        images: whether an observation is an image, or holds one.
        tabular: whether an observation is a choice, or several, and nothing else: one-hot, a row of a table.
        symbols: how many each channel of the grids in it may hold.
    """

    continuous: bool = False
    bounded: bool = True
    images: bool = False
    tabular: bool = False
    symbols: tuple[int, ...] = ()


MINIGRID = ("MiniGrid-", "BabyAI-")  # how ids begin that minigrid registers where it is imported
SYMBOLS = (11, 6, 4)  # the objects, colours and states of its grids, as it comes
TABLES = ("Blackjack-", "CliffWalking-", "FrozenLake", "Taxi-")  # how the ids of Gymnasium's tables begin
KINDS = tuple(
    Traits(continuous, bounded, images)
    for continuous, bounded in ((False, True), (True, True), (True, False))
    for images in (False, True)
)


def values_for(algo: str, traits: Traits, distribution: str = AUTO, *, mlp: bool = True) -> dict[str, Any]:
    """The value of every setting that may be auto, by its dotted key.

    Args:
        algo: the algorithm.
        traits: of the environment.
        distribution: ``policy.distribution``, if it is given.
        mlp: whether the network is our mlp.
    """
    if algo != "a2c":
        return dict(PAPER)
    squashed = traits.continuous and traits.bounded and distribution in (AUTO, "squashed")
    return {
        "n_step": 8,
        "gae_lambda": 0.95 if traits.images else 0.98,
        "beta": 0.001 if traits.continuous else 0.01,
        "value_coef": 0.25,
        "lr": 7.0e-4,
        "lr_schedule": "linear",
        "optimizer": "adam",
        "max_grad_norm": 2.0,
        "normalize_advantage": False,
        "normalize_obs": not traits.images,
        "normalize_reward": True,
        "env.symbols": list(traits.symbols) or None,
        "network.hidden_sizes": [128, 128],
        "network.layer_norm": "both" if mlp else "none",  # of an mlp alone; without it relu stops exploring early
        "network.activation": "tanh" if traits.tabular else "relu",  # relu learns to fear the cliff, and no more
        "network.log_std_init": 0.0 if squashed or not traits.continuous else -0.5,
        "policy.distribution": "squashed" if squashed else "gaussian",  # or the one that is given
    }


def undecided(cfg: Config) -> list[str]:
    """The dotted keys of the settings that are still auto, and have no meaning before they are decided."""
    return [key for key, value, rule in settings(cfg) if rule.auto and value == AUTO]


def decide(cfg: Config, traits: Traits | None = None) -> Config:
    """The settings with a value in the place of each auto; ``cfg`` itself if there is none.

    Args:
        cfg: the settings.
        traits: of the environment; None: not known yet, where about the right size will do.
    """
    keys = undecided(cfg)
    if not keys:
        return cfg
    traits, given, network = traits or Traits(), cfg.policy.distribution, cfg.network
    if network.make is not None and given == AUTO:
        given = "gaussian"  # whose mean is an action, so that a network of the user's can be written without asking
    by_itself = network.torso == AUTO and not traits.images and not network.encoders
    mlp = network.make is None and (by_itself or network.torso == "mlp")
    values = values_for(cfg.algo, traits, given, mlp=mlp)
    of: dict[str, dict[str, Any]] = {"": {}, "env": {}, "network": {}, "policy": {}}
    for key in keys:
        group, _, name = key.rpartition(".")
        of[group][name] = values[key]
    groups = {group: replace(getattr(cfg, group), **found) for group, found in of.items() if group}
    return replace(cfg, **of[""], **groups)


def decide_as(cfg: Config, saved: Mapping[str, Any]) -> None:
    """Give settings that are still auto the values that a run began with.

    Args:
        cfg: it is changed.
        saved: the settings of that run, nested, in today's form.
    """
    for key in undecided(cfg):
        group, _, name = key.rpartition(".")
        kept = saved.get(group, {}) if group else saved
        if name in kept:
            setattr(getattr(cfg, group) if group else cfg, name, kept[name])


def reads_symbols(network: NetworkConfig) -> bool:
    """Whether a network gets grids of symbols one-hot by itself: one that convolves wants them as images."""
    return network.make is None and network.torso in (AUTO, "mlp") and not network.encoders
