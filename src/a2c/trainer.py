"""The main loop of A2C; AC is the same loop with one environment and one step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from a2c.config import Config
from a2c.device import resolve_device, set_threads
from a2c.device_envs.adapter import DeviceEnvs, make_device_envs
from a2c.device_rollout import AnyCollector, DeviceCollector
from a2c.envs import LockstepEnvs, make_vector_env, plan
from a2c.envs.groups import EnvGroups, in_groups
from a2c.errors import EnvironmentFailure
from a2c.learner import Learner
from a2c.model import ActorCritic
from a2c.rollout import Collector
from a2c.run import open_run
from a2c.spec import Spec, spec_of
from a2c.summary import Summary
from a2c.torsos import torso_kind

__all__ = ["Summary", "train"]


def train(cfg: Config, folder: Path) -> Summary:
    """Train an agent in a run folder.

    Args:
        cfg: validated settings (:func:`a2c.load_config`).
        folder: the run folder, made if missing; ``cfg.resume`` may name a run to continue.

    Returns:
        What came of it, as in ``summary.json``.

    Raises:
        A2CError: one of its kinds, with a line that says what happened and an exit code.
    """
    with make_envs(cfg) as envs, open_run(cfg, folder) as run:
        learner, collector = build(cfg, envs, run.update)
        state = run.restore(learner, collector, envs.choice)
        try:
            while state.env_steps < cfg.total_steps and not run.stop:
                rollout = collector.collect(state.update)  # [T, N], already on the device
                learner.update(rollout, state.env_steps)  # one forward, one backward, one step
                state = state.after(rollout)
                if run.due(state):  # the only wait for the device outside acting
                    state = run.report(state, learner, collector)
        except EnvironmentFailure:
            run.save("last", state, learner, collector)  # the weights are sound: lose the rollout, not the run
            raise
        return run.finish(state, learner, collector)


def build(cfg: Config, envs: EnvGroups | DeviceEnvs, update: int = 0) -> tuple[Learner, AnyCollector]:
    """Model, learner and collector for these environments, from the settings alone.

    Args:
        update: index of the first update to come; not 0 in a resumed run.
    """
    spec = spec_of(envs.observation_space, envs.action_space)
    set_threads(cfg, torso_kind(spec, cfg.network))
    model = make_model(cfg, spec).to(resolve_device(cfg.device))
    learner = Learner(model, cfg)
    if isinstance(envs, DeviceEnvs):
        return learner, DeviceCollector(envs, model, cfg, update)
    return learner, Collector(envs.groups, model, cfg, update)


def make_model(cfg: Config, spec: Spec) -> ActorCritic:
    """The network, as the seed initialises it, on the CPU."""
    return ActorCritic(spec, cfg.network, normalize_obs=cfg.normalize_obs, seed=cfg.seed, precision=cfg.precision)


@contextlib.contextmanager
def make_envs(cfg: Config, *, first: int = 0) -> Iterator[EnvGroups | DeviceEnvs]:
    """The training environments; gone afterwards, and without waiting for them if something failed.

    ``first`` is the global index of the first, where others are elsewhere.
    """
    device = resolve_device(cfg.device)  # a missing one is told before anything starts
    choice = plan(cfg)

    def group(begin: int, count: int) -> LockstepEnvs:
        return LockstepEnvs(
            make_vector_env(replace(cfg, num_envs=count), choice),
            clip_reward=cfg.env.clip_reward,
            life_loss=cfg.env.atari.life_loss,
            step_timeout=cfg.env.step_timeout,
            choice=choice,
            first=first + begin,
        )

    envs: EnvGroups | DeviceEnvs
    if choice.vectorization == "device":
        envs = make_device_envs(cfg, device, choice)
    else:
        envs = in_groups(cfg.num_envs, cfg.env_groups, group, choice)
    failed = True
    try:
        yield envs
        failed = False
    finally:
        envs.close(terminate=failed)
