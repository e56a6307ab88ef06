"""The settings that a run has if nobody says otherwise: those of the preset of its environment and algorithm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from a2c.settings.auto_values import KINDS, MINIGRID, SYMBOLS, TABLES, decide, reads_symbols
from a2c.settings.compose import compose_plain, prepare_training, presets
from a2c.settings.config import Config
from a2c.settings.overrides import quote
from a2c.settings.setting import settings
from a2c.settings.typed_settings import build


def defaults_of(cfg: Config) -> tuple[str, Config]:
    """What to type for them, like ``env=cartpole algo=a2c``, and what that gives; without a preset by ``env.id=``.

    What follows from the spaces, which a run's settings do not tell, is as for the kind that ``cfg`` is nearest to. A
    table is known by its id alone: it differs in one setting, which else could be given a run that is none.
    """
    preset = next((name for name, path in sorted(presets().items()) if _env_id(path) == cfg.env.id), None)
    chosen = [f"env={preset}" if preset else f"env.id={quote(cfg.env.id)}", f"algo={cfg.algo}"]
    typed = f"env={preset} algo={cfg.algo}" if preset else f"env.id={cfg.env.id} algo={cfg.algo}"
    composed = build(Config, compose_plain("config", prepare_training(chosen)))
    grid = cfg.env.id.startswith(MINIGRID) and reads_symbols(cfg.network)
    table = cfg.env.id.startswith(TABLES)
    kinds = [replace(kind, symbols=SYMBOLS if grid else (), tabular=table) for kind in KINDS]
    ours, values = dict(_values(cfg)), [(kind, dict(_values(decide(composed, kind)))) for kind in kinds]
    nearest, _ = min(values, key=lambda one: sum(ours[key] != value for key, value in one[1].items()))
    return typed, decide(composed, nearest)


def _values(cfg: Config) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value, _ in settings(cfg))


def _env_id(preset: Path) -> str:
    return str(OmegaConf.select(OmegaConf.load(preset), "env.id"))
