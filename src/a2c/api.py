"""The Python interface: load a config, train."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from a2c.collecting.preflight import check_settings
from a2c.errors import RunIOError
from a2c.run.claiming import claimed
from a2c.settings.compose import load_config
from a2c.settings.config import Config
from a2c.settings.redaction import redact
from a2c.settings.rules import validate
from a2c.settings.saved_settings import SETTINGS
from a2c.storage.atomic import write_text
from a2c.storage.folders import AUTO, new_run, run_of

if TYPE_CHECKING:
    from a2c.run.callback import OnReport
    from a2c.run.summary import Summary

__all__ = ["load_config", "train"]


def train(cfg: Config, *, on_report: OnReport | None = None) -> Summary:
    """Train an agent in a new run folder or, with ``cfg.resume``, in the folder of the run to continue.

    Ctrl-C, SIGTERM, SIGUSR1 and a closed terminal stop training and save a checkpoint; ``Summary.stopped`` then names
    the signal. A checkpoint that lies in no run's folder begins a new run. With ``resume="auto"`` the newest unfinished
    run of the same settings goes on; if the newest one is finished, its summary comes back and nothing changes.

    Args:
        cfg: the settings; this function validates them.
        on_report: called with the progress of every report; it may log numbers, stop the run, keep checkpoints and
            call the environments (docs/extending.md). If it has ``state_dict`` and ``load_state_dict``, it resumes too.

    Raises:
        A2CError: a subclass for each kind of failure, with a message of one line.
    """
    cfg = validate(cfg)
    check_settings(cfg)
    if cfg.resume == AUTO:
        from a2c.run.auto_resume import chosen  # imports torch

        with chosen(cfg) as choice:
            if choice.finished is not None:
                return choice.finished
            return _train(replace(cfg, resume=choice.resume), choice.folder, on_report)
    return _train(cfg, None, on_report)


def _train(cfg: Config, folder: Path | None, on_report: OnReport | None) -> Summary:
    """Train in ``folder``; None: in that of the run to continue, or a new one."""
    if folder is None and cfg.resume:
        folder = run_of(cfg.resume, cfg.runs_dir)
    folder = folder or Path(cfg.runs_dir) / new_run(cfg.runs_dir, cfg.env.id, cfg.name, cfg.algo, cfg.seed)
    with claimed(cfg, folder):
        settings = folder / SETTINGS
        try:
            settings.parent.mkdir(parents=True, exist_ok=True)
            write_text(settings, OmegaConf.to_yaml(OmegaConf.create(redact(asdict(cfg)))))
        except OSError as error:
            raise RunIOError(f"cannot write {settings}: {error.strerror or error}") from error
        return train_in(cfg, folder, on_report)


def train_in(cfg: Config, folder: Path, on_report: OnReport | None = None) -> Summary:
    """Train an agent in a run folder, with the algorithm that ``cfg.algo`` names.

    AC, A2C and A3C differ in how many environments act together and in where the gradient goes.

    Args:
        cfg: validated settings.
        folder: made if missing.
        on_report: as of :func:`train`.

    Raises:
        A2CError: as :func:`train`.
    """
    from a2c import trainer  # imported here, because these load torch
    from a2c.a3c import loop
    from a2c.run.callback import Callback

    algorithm = loop.train if cfg.algo == "a3c" else trainer.train
    return algorithm(cfg, folder, None if on_report is None else Callback(on_report))
