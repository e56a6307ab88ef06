"""What a run was told, in ``.hydra/`` of its folder. We write it, not Hydra: only once the folder is the run's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from a2c.errors import RunIOError
from a2c.settings.config import Config
from a2c.settings.redaction import Secrets, redact, redact_argument
from a2c.settings.saved_settings import SETTINGS
from a2c.storage.atomic import write_text


def write_records(cfg: Config, folder: Path) -> None:
    """Write ``config.yaml`` (every setting), ``hydra.yaml`` and ``overrides.yaml`` (what was typed), without secrets.

    Raises:
        RunIOError: they cannot be written.
    """
    place = (folder / SETTINGS).parent
    hydra = HydraConfig.instance().cfg
    assert hydra is not None
    secrets = Secrets.of(asdict(cfg))
    texts = {
        "config": OmegaConf.to_yaml(OmegaConf.create(redact(asdict(cfg)))),
        "hydra": secrets.hide(OmegaConf.to_yaml(without_secrets(hydra))),
        "overrides": secrets.hide(OmegaConf.to_yaml(without_secrets(HydraConfig.get().overrides.task))),
    }
    try:
        place.mkdir(exist_ok=True)
        for name, text in texts.items():
            write_text(place / f"{name}.yaml", text)
    except OSError as error:
        raise RunIOError(f"cannot write {error.filename or place}: {error.strerror or error}") from error


def without_secrets(tree: Any) -> Any:
    """A copy of what Hydra composed, interpolations kept; overrides in it lose the values of secrets, too."""
    return OmegaConf.create(_without_secrets(redact(OmegaConf.to_container(tree, resolve=False))))


def _without_secrets(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _without_secrets(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_without_secrets(value) for value in tree]
    return redact_argument(tree) if isinstance(tree, str) else tree
