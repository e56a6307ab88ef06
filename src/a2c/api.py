"""The Python door: compose a config, train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2c.compose import load_config
from a2c.config import Config, validate

if TYPE_CHECKING:
    from a2c.trainer import Summary

__all__ = ["load_config", "train"]
