"""What a run inside a W&B sweep agent may not do, since a server chooses its command line."""

from __future__ import annotations

import os
from collections.abc import Mapping

from a2c.errors import ConfigError
from a2c.settings.config import Config


def refuse_foreign_code(cfg: Config, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse ``env.id=module:Id`` inside a sweep agent, where the sweep's server would choose what to import.

    Raises:
        ConfigError: the id names a module, a sweep agent started this process, and A2C_ALLOW_SWEEP_CODE is not 1.
    """
    if ":" in cfg.env.id and environ.get("WANDB_SWEEP_ID") and environ.get("A2C_ALLOW_SWEEP_CODE") != "1":
        raise ConfigError(
            f"env.id={cfg.env.id} imports code that a sweep chose; set A2C_ALLOW_SWEEP_CODE=1 to allow it"
        )
