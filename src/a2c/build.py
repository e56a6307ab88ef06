"""From the settings to environments, network, learner and collector."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from a2c.collecting.collector import Collector
from a2c.collecting.device_collector import AnyCollector, DeviceCollector
from a2c.envs.choosing.choose import Plan
from a2c.envs.choosing.plan import plan
from a2c.envs.device.lockstep import DeviceEnvs, make_device_envs
from a2c.envs.groups import EnvGroups, in_groups
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.make_vector_env import make_vector_env
from a2c.envs.spaces import Spaces
from a2c.learning.learner import Learner
from a2c.machine.clock import LoopClock
from a2c.machine.device import resolve_device, set_threads
from a2c.network.actor_critic import ActorCritic
from a2c.network.torsos import torso_kind
from a2c.settings.config import Config

log = logging.getLogger("a2c")


@dataclass(frozen=True, slots=True)
class TrainingEnvs:
    """The environments of a run, what steps them, and who collects from them."""

    envs: EnvGroups | DeviceEnvs
    plan: Plan
    make_collector: Callable[..., Any]  # (network, settings, index of the first update, clock=, notify=)

    @property
    def spaces(self) -> Spaces:
        """What each of them shows and takes."""
        return self.envs.spaces


@contextlib.contextmanager
def make_envs(cfg: Config, *, first: int = 0) -> Iterator[TrainingEnvs]:
    """The training environments; gone afterwards, and without waiting for them if something failed.

    Args:
        cfg: the settings.
        first: global index of the first environment, where others are elsewhere.

    Raises:
        ConfigError, EnvironmentFailure: they cannot be made.
    """
    device = resolve_device(cfg.device)  # a missing one is told before anything starts
    chosen = plan(cfg)

    def group(begin: int, count: int) -> LockstepEnvs:
        return LockstepEnvs(
            make_vector_env(cfg.env, count, chosen),
            clip_reward=cfg.env.clip_reward,
            life_loss=cfg.env.atari.life_loss,
            step_timeout=cfg.env.step_timeout,
            first=first + begin,
        )

    made: TrainingEnvs
    if chosen.vectorization == "device":
        on_device = make_device_envs(cfg.env, cfg.num_envs, device)
        made = TrainingEnvs(on_device, chosen, partial(DeviceCollector, on_device))
    else:
        groups = in_groups(cfg.num_envs, cfg.env_groups, group)
        made = TrainingEnvs(groups, chosen, partial(Collector, groups.groups, first=first))
    failed = True
    try:
        yield made
        failed = False
    finally:
        made.envs.close(terminate=failed)


def build(
    cfg: Config, envs: TrainingEnvs, update: int = 0, notify: Callable[[str], None] = log.warning
) -> tuple[Learner, AnyCollector]:
    """Network, learner and collector for these environments, from the settings alone.

    Args:
        cfg: the settings.
        envs: from :func:`make_envs`.
        update: index of the first update to come; not 0 in a resumed run.
        notify: called with one line when something falls back to a slower way.
    """
    set_threads(cfg.threads, convolutions=torso_kind(envs.spaces, cfg.network) == "nature_cnn")
    network = make_network(cfg, envs.spaces).to(resolve_device(cfg.device))
    clock = LoopClock(next(network.parameters()).device)  # each marks its own part of the loop
    learner = Learner(network, cfg, clock=clock, notify=notify)
    return learner, envs.make_collector(network, cfg, update, clock=clock, notify=notify)


def make_network(cfg: Config, spaces: Spaces) -> ActorCritic:
    """The network, as the seed initialises it, on the CPU."""
    return ActorCritic(spaces, cfg.network, normalize_obs=cfg.normalize_obs, seed=cfg.seed, precision=cfg.precision)
