"""The main loop of A3C: the workers learn, and rest while the run reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from torch import nn

from a2c.a3c.team import Team
from a2c.build import make_envs
from a2c.collecting.preflight import check_fits, needs
from a2c.envs.converting.masks import AUTO, INFO
from a2c.envs.look import decided
from a2c.envs.spaces import Spaces
from a2c.errors import WEIGHTS_ARE_SOUND, ConfigError
from a2c.learning.learner import Learner
from a2c.machine.cores import usable_cores
from a2c.machine.device import set_threads
from a2c.machine.limits import limits_here
from a2c.machine.processes.apart import call_apart
from a2c.machine.processes.foreign_code import GaveUpError
from a2c.network.making import OwnNetwork, make_network
from a2c.network.torso_choice import convolves
from a2c.run.callback import Callback
from a2c.run.opening import open_run
from a2c.run.summary import Summary
from a2c.settings.config import Config


def train(cfg: Config, folder: Path, *, network: OwnNetwork | None = None, callback: Callback | None = None) -> Summary:
    """Train an agent with asynchronous workers in a run folder.

    Args, Returns, Raises: as :func:`a2c.trainer.train`.

    Source: Mnih et al. 2016 (A3C).
    """
    cfg = replace(decided(cfg), num_workers=cfg.num_workers or usable_cores(), device="cpu")
    assert cfg.num_workers is not None
    learner, workers = build(cfg, network), cfg.num_workers
    with (
        open_run(cfg, folder, network, callback) as run,
        Team(of_worker(cfg), learner, workers, folder, network, run.console.note) as team,
    ):
        state = run.begin(learner, team, {"environments": explain(cfg)})
        for line in team.start(state):
            run.console.note(line)
        try:
            run.take_up()
            while state.env_steps < cfg.total_steps and not run.over():
                state = team.learn(state, run.next_report(state), run.tick)  # every worker: pull, collect, push
                if run.due(state):  # the workers rest meanwhile
                    run.report(state)
        except WEIGHTS_ARE_SOUND as error:
            run.rescue(error, team.where(state))  # lose the rollouts, not the run
            raise
        except GaveUpError:
            state = team.where(state)
            run.give_up()
        return run.finish(state)


def build(cfg: Config, network: OwnNetwork | None = None) -> Learner:
    """Make the main process's own learner, which holds what the workers share whenever they rest.

    Args: as for :func:`train`.

    Raises:
        ConfigError, EnvironmentFailure: as :func:`a2c.envs.make_env`.
    """
    cfg = decided(cfg)
    # What is wrong with the environment shows before any worker starts.
    one = replace(of_worker(cfg), num_envs=1)
    spaces = call_apart(_spaces, one) if cfg.env.isolate else _spaces(one)
    if spaces.mask and cfg.env.masks == AUTO:
        cfg.env.masks = INFO  # from here on, for every process and checkpoint
    check_fits(needs(cfg, spaces, team=cfg.num_workers or 1), limits_here())
    set_threads(cfg.threads, convolutions=convolves(spaces, cfg.network))
    learner = Learner(make_network(cfg, spaces, network), cfg)
    for module in cast(nn.Module, learner.model).modules():
        if getattr(module, "running_mean", None) is not None:
            raise ConfigError(
                f"algo=a3c shares weights, and {type(module).__name__} has statistics of its own beside them: "
                "nn.LayerNorm and nn.GroupNorm have none"
            )
    return learner


def _spaces(cfg: Config) -> Spaces:
    with make_envs(cfg) as envs:
        return envs.spaces


def of_worker(cfg: Config) -> Config:
    """The settings of one worker, which steps its own environments and is a process of its own."""
    vectorization, env = "sync" if cfg.vectorization == "auto" else cfg.vectorization, replace(cfg.env, isolate=False)
    return replace(cfg, env=env, vectorization=vectorization, num_workers=None, compile=False)


def explain(cfg: Config) -> str:
    """Say in the start panel who steps the environments."""
    each = "its own environment" if cfg.num_envs == 1 else f"{cfg.num_envs} environments of its own"
    return f"{cfg.num_workers} workers, each with {each}, learn without a lock"
