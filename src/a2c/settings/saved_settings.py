"""The settings that a run left behind: in its folder or, where that holds none, in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from a2c.errors import CheckpointError, ConfigError
from a2c.settings.notices import tell_once
from a2c.settings.sizes import read_text

SETTINGS = Path(".hydra") / "config.yaml"  # of a run folder


def read_settings(folder: Path | None, target: str, runs_dir: str) -> tuple[Path, dict[str, Any]]:
    """Read the settings of a run, as they stand there.

    Args:
        folder: of the run; None: ``target`` is a checkpoint outside of any.
        target: what the user named.
        runs_dir: where ``latest`` is looked up.

    Returns:
        The file, and nested plain values.

    Raises:
        ConfigError: the file is there and holds no settings.
        CheckpointError: neither the folder nor a checkpoint holds any.
    """
    if folder is None or not (folder / SETTINGS).exists():
        return _of_checkpoint(target, runs_dir)
    path = folder / SETTINGS
    return path, settings_in(path)


def settings_in(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, as they stand there: nested plain values.

    Raises:
        ConfigError: it cannot be read, or holds no settings.
    """
    advice = "mend it, or remove it: the settings in the checkpoint then count"
    try:
        text = read_text(path)
        tree = OmegaConf.to_container(OmegaConf.create(text)) if text.strip() else None
    except MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" line {error.problem_mark.line + 1}"
        raise ConfigError(f"{path}{line}: {error.problem}; {advice}") from error
    except (YAMLError, OmegaConfBaseException, RecursionError, ValueError) as error:
        line = next(iter(str(error).splitlines()), "")
        raise ConfigError(f"{path}: {type(error).__name__}: {line}; {advice}") from error
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{path} holds no settings; {advice}")
    return {str(key): value for key, value in tree.items()}


def _of_checkpoint(target: str, runs_dir: str) -> tuple[Path, dict[str, Any]]:
    from a2c.storage.kept_checkpoints import open_checkpoint  # imports torch

    path, payload = open_checkpoint(target, runs_dir, "last", tell_once)
    config = payload.get("config")
    if not isinstance(config, Mapping):
        raise CheckpointError(f"{path} holds no settings; it is no checkpoint of a run")
    return path, {str(key): value for key, value in config.items()}
