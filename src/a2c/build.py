"""Build environments, network, learner and collector from the settings."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from a2c.collecting.collector import Collector
from a2c.collecting.device_collector import AnyCollector, DeviceCollector
from a2c.collecting.preflight import fitting
from a2c.envs.choosing.choose import Plan
from a2c.envs.choosing.plan import plan
from a2c.envs.choosing.rebuilding import LOSES, explained, prepare_rebuilding
from a2c.envs.converting.masks import AUTO, INFO, offers_mask
from a2c.envs.device.lockstep import DeviceEnvs, make_device_envs
from a2c.envs.groups import EnvGroups, in_groups
from a2c.envs.healing import Restarts
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.look import decided, decided_by
from a2c.envs.make_vector_env import make_vector_env, newest_frames
from a2c.envs.remarks import Remarks
from a2c.envs.seeding import TRIAL, env_seed
from a2c.envs.single.atari import is_atari
from a2c.envs.single.registry import find_spec
from a2c.envs.spaces import Spaces, spaces_of
from a2c.errors import EnvironmentFailure
from a2c.learning.averaging import Alone, Averaging, averaging_of
from a2c.learning.learner import Learner
from a2c.machine.clock import LoopClock
from a2c.machine.device import TorchModes, set_threads, use_device
from a2c.machine.graphs import Graphs
from a2c.network.making import OwnNetwork, make_network
from a2c.network.torso_choice import convolves
from a2c.settings.config import Config

log = logging.getLogger("a2c")


@dataclass(frozen=True, slots=True)
class TrainingEnvs:
    """The training environments, the plan that says what steps them, and how to make their collector."""

    envs: EnvGroups | DeviceEnvs
    plan: Plan
    resumes: str  # what comes of episodes in flight when a run is stopped and resumed; empty: they are not kept
    make_collector: Callable[..., Any]  # (network, settings, index of the next update, clock=, graphs=, notify=)
    remarks: Remarks

    @property
    def spaces(self) -> Spaces:
        """Observation and action space of each environment."""
        return self.envs.spaces

    def heal(self, restarts: Restarts) -> None:
        """From now on, make environments anew that fail in a step, as often as is allowed."""
        for group in self.envs.groups if isinstance(self.envs, EnvGroups) else ():
            group.continuity.heal(restarts)

    def facts(self) -> dict[str, str]:
        """The lines of the start panel about them."""
        return self.plan.facts() | {"resume": self.resumes}


@contextlib.contextmanager
def make_envs(cfg: Config, *, first: int = 0, resumable: bool = True) -> Iterator[TrainingEnvs]:
    """Make the training environments and close them on leaving; after a failure, terminate without waiting for them.

    Args:
        cfg: the settings.
        first: global index of the first environment; above 0 where other processes have the ones before.
        resumable: keep what rebuilds episodes in flight in a resumed run.

    Raises:
        ConfigError: there is no such device, or the settings do not fit the environment or this machine.
        EnvironmentFailure: an environment cannot be made.
    """
    cfg = decided(cfg)
    device = use_device(cfg.device, tf32=cfg.tf32)  # report a missing device before any process starts
    fits = fitting(cfg, str(device))
    chosen = plan(cfg, partial(_look, cfg, fits))
    fits(None, chosen)
    env, frames = newest_frames(cfg.env, chosen)
    remarks = Remarks(huge=math.inf) if cfg.normalize_obs else Remarks()

    def group(begin: int, count: int) -> LockstepEnvs:
        return LockstepEnvs(
            make_vector_env(env, count, chosen),
            clip_reward=cfg.env.clip_reward,
            life_loss=cfg.env.atari.life_loss,
            step_timeout=cfg.env.step_timeout,
            first=first + begin,
            frames=frames,
            remarks=remarks,
        )

    made: TrainingEnvs
    if chosen.vectorization == "device":
        on_device = make_device_envs(cfg.env, cfg.num_envs, device)
        try:
            if resumable:
                on_device.try_out(env_seed(cfg.seed, TRIAL, 0))
        except BaseException:
            on_device.close()
            raise
        lost = on_device.no_state()
        resumes = f"{LOSES}: {lost}" if lost else "exact"
        made = TrainingEnvs(on_device, chosen, resumes, partial(DeviceCollector, on_device), remarks)
    else:
        groups = in_groups(cfg.num_envs, cfg.env_groups, group)
        try:
            resumes = _prepare(groups, cfg) if resumable else ""
        except EnvironmentFailure as error:  # it took its process with it, or hung: training will tell, and save first
            groups.close(terminate=True)
            groups = in_groups(cfg.num_envs, cfg.env_groups, group)
            said = str(error).partition("\n")[0].partition(": ")[2]  # without the kind of the error
            resumes = f"{LOSES}: in a trial, {said}"
        except BaseException:
            groups.close(terminate=True)
            raise
        made = TrainingEnvs(groups, chosen, resumes, partial(Collector, groups.groups, first=first), remarks)
    failed = True
    try:
        fits(made.spaces, chosen)  # of environments of other kinds they are not known before
        yield made
        failed = False
    finally:
        made.envs.close(terminate=failed)


def _look(cfg: Config, fits: Callable[..., object], env: gym.Env[Any, Any]) -> None:
    """See from one environment whether all fit into this machine, and whether infos hold masks of legal actions."""
    fits(spaces_of(env.observation_space, env.action_space), None)
    if cfg.env.masks == AUTO and offers_mask(env, env_seed(cfg.seed, TRIAL, 0)):
        cfg.env.masks = INFO  # from here on, for every process and checkpoint


def _prepare(envs: EnvGroups, cfg: Config) -> str:
    """Keep what rebuilds episodes in flight; returns what comes of them."""
    found = prepare_rebuilding(envs.groups, env_seed(cfg.seed, TRIAL, 0), alone=cfg.eval.episodes == 0)
    action = envs.groups[0].action_space
    size = int(np.prod(action.shape or ())) * np.dtype(action.dtype).itemsize
    return explained(found, size, envs.groups[0].num_envs)


def build(
    cfg: Config,
    envs: TrainingEnvs,
    update: int = 0,
    notify: Callable[[str], None] = log.warning,
    own: OwnNetwork | None = None,
    averaging: Averaging | None = None,
) -> tuple[Learner, AnyCollector]:
    """Build the network, its learner and the collector for these environments.

    Args:
        cfg: the settings.
        envs: from :func:`make_envs`.
        update: index of the next update; not 0 in a resumed run.
        notify: called with one line when something falls back to a slower way.
        own: makes a network of the user's; None: ours, or that of ``network.make``.
        averaging: what updates take their means over; None: what these environments collect.

    Returns:
        The learner, which has the network, and the collector.

    Raises:
        ConfigError: the network does not fit the observations.
        EnvironmentFailure, NumericError: the first reset of the environments failed.
    """
    cfg = decided_by(envs.spaces, cfg)
    set_threads(cfg.threads, convolutions=convolves(envs.spaces, cfg.network))
    device = use_device(cfg.device, tf32=cfg.tf32)
    envs.remarks.tell = notify
    envs.remarks.image(envs.spaces.obs_shape, stacked=is_atari(find_spec(cfg.env.id)))
    network = make_network(cfg, envs.spaces, own).to(device)
    # One clock for both, in which each marks its part of the loop, and one capturer of graphs.
    clock = LoopClock(device)
    graphs = Graphs(notify) if cfg.cuda_graphs and device.type == "cuda" else None
    averaging = averaging_of(cfg) if averaging is None else averaging
    updates = graphs if isinstance(averaging, Alone) else None  # in others the host reads what ranks have summed
    learner = Learner(network, cfg, clock=clock, graphs=updates, notify=notify, averaging=averaging)
    envs.heal(Restarts(cfg.env.restarts, cfg.seed, notify))
    modes = TorchModes()
    more = {} if isinstance(averaging, Alone) else {"moments_of": averaging.returns, "leaves": averaging.leaves}
    collector = envs.make_collector(network, cfg, update, clock=clock, graphs=graphs, notify=notify, **more)
    modes.restore()  # the environments have been reset
    return learner, collector
