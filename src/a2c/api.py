"""The Python interface: load a config, train."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from a2c.collecting.preflight import check_settings
from a2c.envs.given import with_given
from a2c.envs.single.own import EnvMaker, known
from a2c.errors import RunIOError
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
    """Compose ``conf/config.yaml``, a preset and overrides, as the command line does.

    Args:
        overrides: like ``"env=cartpole"``, ``"n_step=8"``, ``"env.id=Acrobot-v1"``.
        env: an environment class of your own, or a function that makes one, in the place of ``env.id=``; without a
            preset of ``overrides``, the general settings.
        trust: whether a run to resume may import what its ``env.id``, ``env.wrappers`` and ``network.*`` name; False:
            only if it is given here.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range, in one line.
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
    """Train an agent in a new run folder or, with ``cfg.resume``, in the folder of the run to continue.

    Ctrl-C, SIGTERM, SIGUSR1 and a closed terminal stop training and save a checkpoint; ``Summary.stopped`` then names
    the signal. A checkpoint that lies in no run's folder begins a new run. With ``resume="auto"`` the newest unfinished
    run of the same settings goes on; if the newest one is finished, its summary comes back and nothing changes.

    Args:
        cfg: the settings; this function validates them.
        env: takes the place of ``cfg.env.id``: an environment class of your own, a function that makes one, or a ready
            ``gymnasium.vector.VectorEnv``, which is left open.
        eval_env: with a ready vector environment, what makes single ones to evaluate on; None: no evaluation.
        network: makes a network of your own from the spaces: a :class:`torch.nn.Module` whose ``forward(obs)`` gives
            the policy's parameters ``[B, P]`` and values ``[B]`` (``docs/extending.md``). None: ours, or that of
            ``network.make``. The run keeps its name, never its code.
        on_report: called with the progress of every report; it may log numbers, stop the run, keep checkpoints and
            call the environments (docs/extending.md). If it has ``state_dict`` and ``load_state_dict``, it resumes too.

    Raises:
        A2CError: a subclass for each kind of failure, with a message of one line.
    """
    if network is not None:
        cfg = replace(cfg, network=replace(cfg.network, make=name_of(network)))
    with with_given(cfg, env, eval_env) as complete:
        return _train_checked(complete, network, on_report)


def _train_checked(cfg: Config, network: OwnNetwork | None, on_report: OnReport | None) -> Summary:
    cfg = validate(cfg)
    check_settings(cfg)
    if cfg.resume == AUTO:
        from a2c.run.auto_resume import chosen  # imports torch

        with chosen(cfg) as choice:
            if choice.finished is not None:
                return choice.finished
            return _train(replace(cfg, resume=choice.resume), choice.folder, network, on_report)
    return _train(cfg, None, network, on_report)


def _train(cfg: Config, folder: Path | None, network: OwnNetwork | None, on_report: OnReport | None) -> Summary:
    """Train in ``folder``; None: in that of the run to continue, or a new one."""
    if folder is None and cfg.resume:
        folder = run_of(cfg.resume, cfg.runs_dir)
    folder = folder or Path(cfg.runs_dir) / new_run(cfg.runs_dir, cfg.env.id, cfg.name, cfg.algo, cfg.seed)
    with claimed(cfg, folder, network):
        settings = folder / SETTINGS
        try:
            settings.parent.mkdir(parents=True, exist_ok=True)
            write_text(settings, OmegaConf.to_yaml(OmegaConf.create(redact(asdict(cfg)))))
        except OSError as error:
            raise RunIOError(f"cannot write {settings}: {error.strerror or error}") from error
        return train_in(cfg, folder, network, on_report)


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
    from a2c.run.callback import Callback
    from a2c.run.rank_launch import launch

    if cfg.ranks > 1:
        return launch(cfg, folder, network, on_report)
    algorithm = loop.train if cfg.algo == "a3c" else trainer.train
    callback = None if on_report is None else Callback(on_report)
    return algorithm(cfg, folder, network=network, callback=callback)
