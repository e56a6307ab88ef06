"""The main loop of A3C: the workers learn, and rest while the run reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from a2c.config import Config
from a2c.cores import usable_cores
from a2c.device import set_threads
from a2c.envs.choose import Choice
from a2c.errors import EnvironmentFailure
from a2c.hogwild.team import make_team
from a2c.learner import Learner
from a2c.run import open_run
from a2c.spec import spec_of
from a2c.summary import Summary
from a2c.torsos import torso_kind
from a2c.trainer import make_envs, make_model


def train(cfg: Config, folder: Path) -> Summary:
    """Train an agent with asynchronous workers in a run folder.

    Args, Returns, Raises: as :func:`a2c.trainer.train`.

    Source: Mnih et al. 2016 (A3C).
    """
    cfg = replace(cfg, num_workers=cfg.num_workers or usable_cores(), device="cpu")
    assert cfg.num_workers is not None
    learner = build(cfg)
    with open_run(cfg, folder) as run, make_team(of_worker(cfg), learner, cfg.num_workers) as team:
        state = run.restore(learner, team, explain(cfg))
        team.start(state)
        try:
            while state.env_steps < cfg.total_steps and not run.stop:
                state = team.learn(state, run.next_report(state), run.tick)  # every worker: pull, collect, push
                if run.due(state):  # they rest meanwhile
                    state = run.report(state, learner, team)
        except EnvironmentFailure:
            run.save("last", team.where(state), learner, team)  # the weights are sound: lose the rollouts, not the run
            raise
        return run.finish(state, learner, team)


def build(cfg: Config) -> Learner:
    """The main process's own learner: it holds what the workers share whenever they rest."""
    # What is wrong with the environment shows before any process starts.
    with make_envs(replace(of_worker(cfg), num_envs=1)) as envs:
        spec = spec_of(envs.observation_space, envs.action_space)
    set_threads(cfg, torso_kind(spec, cfg.network))
    return Learner(make_model(cfg, spec), cfg)


def of_worker(cfg: Config) -> Config:
    """The settings of one worker, which steps its own environments."""
    vectorization = "sync" if cfg.vectorization == "auto" else cfg.vectorization
    return replace(cfg, vectorization=vectorization, num_workers=None, compile="false")


def explain(cfg: Config) -> Choice:
    """For the start panel: who steps the environments."""
    each = "its own environment" if cfg.num_envs == 1 else f"{cfg.num_envs} environments of its own"
    return Choice("sync", cfg.num_workers, f"{cfg.num_workers} workers, each with {each}, learn without a lock")
