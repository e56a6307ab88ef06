"""The Python interface: load a config, train."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from a2c.collecting.preflight import check_settings
from a2c.envs.given import with_given
from a2c.envs.look import decided
from a2c.envs.single.own import EnvMaker, known
from a2c.errors import RunIOError
from a2c.machine.rank_place import place_here
from a2c.run.claiming import claimed
from a2c.settings import compose
from a2c.settings.code_names import name_of
from a2c.settings.config import Config
from a2c.settings.overrides import quote
from a2c.settings.redaction import redact
from a2c.settings.rules import validate
from a2c.settings.saved_settings import SETTINGS
from a2c.storage.atomic import write_text
from a2c.storage.folders import AUTO, new_run, run_of

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from a2c.network.making import OwnNetwork
    from a2c.run.callback import OnReport
    from a2c.run.summary import Summary

__all__ = ["load_config", "train"]


def load_config(*overrides: str, env: EnvMaker | None = None, trust: bool = True) -> Config:
    """The settings of a run: the general ones, those of a preset, and what you change.

    They are written as on the command line; ``a2c train --help`` lists every preset and key. What comes back is plain
    data, whose fields may be set too::

        import a2c

        cfg = a2c.load_config("env=cartpole", "num_envs=32", "network.hidden_sizes=[128,128]")
        cfg.lr = 1e-3
        cfg = a2c.load_config("env.id=Acrobot-v1", "gamma=0.995")  # any Gymnasium id, with the general settings

    Args:
        overrides: ``"key=value"`` each. ``"env=NAME"`` picks a preset; ``"resume=latest"``, or a run folder, takes the
            settings of the run to go on with.
        env: in the place of ``"env.id=..."`` an environment of your own: a class, or a function that returns one. It
            is called with ``env.kwargs``; where ``agent.gif`` is recorded, with ``render_mode="rgb_array"`` too.
        trust: whether a run to resume may import what its ``env.id``, ``env.wrappers`` and ``network.*`` name; False:
            only what ``overrides`` name again.

    Returns:
        A :class:`a2c.Config`, for :func:`a2c.train`.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range, in one line.
        CheckpointError: there is no run to resume.
    """
    named = [] if env is None else [f"env.id={quote(known(env))}"]
    return compose.load_config(*overrides, *named, trust=trust)


def train(
    cfg: Config,
    *,
    env: EnvMaker | VectorEnv[Any, Any, Any] | None = None,
    eval_env: EnvMaker | None = None,
    network: OwnNetwork | None = None,
    on_report: OnReport | None = None,
) -> Summary:
    """Train an agent, and say what came of it.

    ::

        import a2c

        summary = a2c.train(a2c.load_config("env=cartpole", "total_steps=100_000"))
        print(summary.eval_mean, summary.folder)

    With an environment, a network and a callback of your own::

        import gymnasium as gym
        from torch import nn

        def make_env(**arguments):  # or a class that derives from gymnasium.Env
            return gym.wrappers.TimeLimit(gym.make("CartPole-v1", **arguments), 200)

        class Net(nn.Module):
            def __init__(self, spaces):  # a2c.Spaces
                super().__init__()
                self.body = nn.Sequential(nn.Linear(spaces.obs_shape[0], 64), nn.Tanh())
                self.params, self.values = nn.Linear(64, spaces.actions), nn.Linear(64, 1)

            def forward(self, obs):  # [B, *obs] -> logits [B, actions], values [B, 1]
                features = self.body(obs)
                return self.params(features), self.values(features)

        def on_report(progress):  # a2c.Progress
            if progress.metrics.get("eval/mean_reward", 0) > 190:
                progress.stop("good enough")

        cfg = a2c.load_config("total_steps=50_000", "eval.every=10_000", env=make_env)
        summary = a2c.train(cfg, network=Net, on_report=on_report)
        policy = a2c.load_policy(summary.folder, network=Net)

    The run lies in a new folder, ``runs/ENV/TIME_NAME``, to which ``runs/latest`` points. With ``cfg.resume`` a run
    goes on in its own folder; a checkpoint that lies in no run's folder begins a new run. With ``resume=auto`` the
    newest unfinished run of the same settings goes on; if the newest one is finished, its summary comes back and
    nothing changes. Ctrl-C, SIGTERM, SIGUSR1 and a closed terminal stop training and save a checkpoint.

    Args:
        cfg: from :func:`a2c.load_config`; it is checked again, and stays as it is.
        env: in the place of ``cfg.env.id`` an environment of your own: a class, or a function that returns one, called
            with ``env.kwargs``; or a ready ``gymnasium.vector.VectorEnv``, which is left open.
        eval_env: beside a ready vector environment, what makes single ones to evaluate on; None: no evaluation.
        network: makes a network of your own from the :class:`a2c.Spaces`: a :class:`torch.nn.Module` whose
            ``forward(obs)`` gives the policy's parameters ``[B, P]`` and values ``[B]`` or ``[B, 1]``; for n discrete
            actions P is n logits (``docs/extending.md`` has the others, and memories). None: ours, or that of
            ``network.make``. The run keeps its name, never its code.
        on_report: called with a :class:`a2c.Progress` for every report; returns None, or a mapping of numbers that
            are logged as ``callback/NAME``. If it has ``state_dict`` and ``load_state_dict``, it resumes too.

    Returns:
        A :class:`a2c.Summary`: ``eval_mean`` and ``eval_std``, the score of the best checkpoint over fresh episodes
        (None: stopped early, or no evaluation), ``folder``, ``best_checkpoint``, ``last_checkpoint``, ``env_steps``,
        ``fps``, ``stopped`` (the signal that ended the run, or None), ``ended`` (why it ended before ``total_steps``).

    Raises:
        ConfigError: the settings do not fit each other, the environment or this machine.
        EnvironmentFailure: an environment raised, died, hung or broke its contract; the run is saved.
        CallbackFailure: ``on_report`` raised, or gave what it may not; the run is saved.
        NumericError: a number is not finite; the last sound weights are saved.
        CheckpointError: the run to resume is missing, damaged or of another setup.
        RunIOError: the run folder cannot be written.
        StoppedError: a signal came before there was anything to save.

    All of them are an :class:`a2c.A2CError`, with a message of one line and the ``exit_code`` of the command line.
    """
    if network is not None:
        cfg = replace(cfg, network=replace(cfg.network, make=name_of(network)))
    with with_given(cfg, env, eval_env) as complete:
        return _train_checked(complete, network, on_report)


def _train_checked(cfg: Config, network: OwnNetwork | None, on_report: OnReport | None) -> Summary:
    cfg = validate(cfg)
    check_settings(cfg)
    place = place_here()
    if place is not None and place.rank > 0:  # the first rank has the folder, and knows what to resume
        return train_in(cfg, Path(cfg.runs_dir), network, on_report)
    if place is not None and place.restarts and not cfg.resume:
        cfg = replace(cfg, resume=AUTO)
    if cfg.resume == AUTO:
        from a2c.run.auto_resume import chosen  # imports torch

        cfg = decided(cfg)
        with chosen(cfg) as choice:
            if choice.finished is not None:
                let_others_go(cfg, choice.finished)
                return choice.finished
            return _train(replace(cfg, resume=choice.resume), choice.folder, network, on_report)
    return _train(cfg, None, network, on_report)


def _train(cfg: Config, folder: Path | None, network: OwnNetwork | None, on_report: OnReport | None) -> Summary:
    """Train in ``folder``; None: in that of the run to continue, or a new one."""
    if folder is None and cfg.resume:
        folder = run_of(cfg.resume, cfg.runs_dir)
    folder = folder or Path(cfg.runs_dir) / new_run(cfg.runs_dir, cfg.env.id, cfg.name, cfg.algo, cfg.seed)
    with claimed(cfg, folder, network):
        cfg, settings = decided(cfg), folder / SETTINGS
        try:
            settings.parent.mkdir(parents=True, exist_ok=True)
            write_text(settings, OmegaConf.to_yaml(OmegaConf.create(redact(asdict(cfg)))))
        except OSError as error:
            raise RunIOError(f"cannot write {settings}: {error.strerror or error}") from error
        return train_in(cfg, folder, network, on_report)


def let_others_go(cfg: Config, finished: Summary) -> None:
    """Tell the other ranks, where there are some, that the run which they would train is finished."""
    place = place_here()
    if place is not None:
        from a2c.machine.rank_meeting import met  # imports torch
        from a2c.run.orders import Begin

        with met(place, cfg.rank_timeout) as ranks:
            ranks.tell(Begin(finished))


def train_in(
    cfg: Config, folder: Path, network: OwnNetwork | None = None, on_report: OnReport | None = None
) -> Summary:
    """Train an agent in a run folder, with the algorithm that ``cfg.algo`` names.

    AC, A2C and A3C differ in how many environments act together and in where the gradient goes.

    Args:
        cfg: validated settings.
        folder: made if missing.
        network, on_report: as for :func:`train`.

    Raises:
        A2CError: as :func:`train`.
    """
    from a2c import trainer  # imported here, because these load torch
    from a2c.a3c import loop
    from a2c.machine.rank_meeting import log_to, met
    from a2c.run.callback import Callback
    from a2c.run.rank_launch import launch
    from a2c.run.rank_settings import of_place

    place = place_here()
    if place is None and cfg.ranks > 1:
        return launch(cfg, folder, network, on_report)
    callback = None if on_report is None else Callback(on_report)
    if place is not None:
        cfg = validate(of_place(cfg, place))
        own = callback if place.rank == 0 else None
        with met(place, cfg.rank_timeout) as ranks:
            return trainer.train_rank(
                cfg, folder, ranks, network=network, callback=own, log_to=log_to, restarts=place.restarts
            )
    algorithm = loop.train if cfg.algo == "a3c" else trainer.train
    return algorithm(cfg, folder, network=network, callback=callback)
