"""The Python door: compose a config, train."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from a2c.compose import load_config
from a2c.config import Config, validate
from a2c.errors import RunIOError
from a2c.folders import new_run, run_of
from a2c.resume import SETTINGS

if TYPE_CHECKING:
    from a2c.trainer import Summary

__all__ = ["load_config", "train"]


def train(cfg: Config) -> Summary:
    """Train an agent, in a new run folder or, with ``cfg.resume``, in that of the run to continue.

    Ctrl-C and SIGTERM end it in order, with a checkpoint; ``Summary.stopped`` then names the signal.

    Raises:
        A2CError: a kind of it for each kind of failure, with a line that says what happened.
    """
    from a2c.algorithms import train as train_in  # it imports torch

    cfg = validate(cfg)
    folder = run_of(cfg.resume, cfg.runs_dir) if cfg.resume else None
    folder = folder or Path(cfg.runs_dir) / new_run(cfg.runs_dir, cfg.env.id, cfg.name, cfg.algo, cfg.seed)
    try:
        (folder / SETTINGS).parent.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(asdict(cfg)), folder / SETTINGS)
    except OSError as error:
        raise RunIOError(f"cannot write {folder / SETTINGS}: {error.strerror or error}") from error
    return train_in(cfg, folder)
