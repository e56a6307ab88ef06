"""The settings that a run has if nobody says otherwise: those of the preset of its environment and algorithm."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from a2c.settings.compose import compose_plain, prepare_training, presets
from a2c.settings.config import Config
from a2c.settings.overrides import quote
from a2c.settings.typed_settings import build


def defaults_of(cfg: Config) -> tuple[str, Config]:
    """What to type for them, like ``env=cartpole algo=a2c``, and what that gives; without a preset by ``env.id=``."""
    preset = next((name for name, path in sorted(presets().items()) if _env_id(path) == cfg.env.id), None)
    chosen = [f"env={preset}" if preset else f"env.id={quote(cfg.env.id)}", f"algo={cfg.algo}"]
    typed = f"env={preset} algo={cfg.algo}" if preset else f"env.id={cfg.env.id} algo={cfg.algo}"
    return typed, build(Config, compose_plain("config", prepare_training(chosen)))


def _env_id(preset: Path) -> str:
    return str(OmegaConf.select(OmegaConf.load(preset), "env.id"))
