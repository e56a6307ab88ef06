"""What a run was told, in ``.hydra/`` of its folder. We write it, not Hydra: only once the folder is the run's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from a2c.errors import RunIOError
from a2c.settings.config import Config
from a2c.settings.saved_settings import SETTINGS
from a2c.storage.atomic import write_text


def write_records(cfg: Config, folder: Path) -> None:
    """Write ``config.yaml`` (every setting), ``hydra.yaml`` and ``overrides.yaml`` (what was typed).

    Raises:
        RunIOError: they cannot be written.
    """
    place = (folder / SETTINGS).parent
    hydra = HydraConfig.instance().cfg
    assert hydra is not None
    texts = {
        "config": OmegaConf.to_yaml(OmegaConf.create(asdict(cfg))),
        "hydra": OmegaConf.to_yaml(hydra),
        "overrides": OmegaConf.to_yaml(HydraConfig.get().overrides.task),
    }
    try:
        place.mkdir(exist_ok=True)
        for name, text in texts.items():
            write_text(place / f"{name}.yaml", text)
    except OSError as error:
        raise RunIOError(f"cannot write {error.filename or place}: {error.strerror or error}") from error
