"""What a run inside a W&B sweep agent may not do, since a server chooses its command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from a2c.errors import ConfigError
from a2c.settings.config import Config
from a2c.settings.trust import foreign_wrappers


def refuse_foreign_code(cfg: Config, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse ``env.id=module:Id`` inside a sweep agent, where the sweep's server would choose what to import.

    Raises:
        ConfigError: the id or a wrapper names a module, a sweep agent started this process, and A2C_ALLOW_SWEEP_CODE is
            not 1.
    """
    named = [f"env.id={cfg.env.id}"] * (":" in cfg.env.id)
    named += [f"env.wrappers=[{name}]" for name in foreign_wrappers(cfg.env.wrappers)]
    if named and _guarded(environ):
        raise ConfigError(f"{named[0]} imports code that a sweep chose; set A2C_ALLOW_SWEEP_CODE=1 to allow it")


def refuse_from_a_sweep(text: str, *, hydras: bool, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse an override inside a sweep agent that sets Hydra's own settings, or reads what is not the sweep's to know.

    Args:
        text: the override.
        hydras: whether its key is one of Hydra's.
        environ: the environment variables.

    Raises:
        ConfigError: a sweep agent started this process, and A2C_ALLOW_SWEEP_CODE is not 1.
    """
    if (hydras or calls_resolver(text)) and _guarded(environ):  # ${oc.env:WANDB_API_KEY} would tell the server the key
        what = "sets Hydra's own settings" if hydras else f"reads {text[text.index('${') :]}"
        raise ConfigError(f"{text} {what}, which a sweep may not; set A2C_ALLOW_SWEEP_CODE=1 to allow it")


def calls_resolver(text: str) -> bool:
    """Whether text holds a function of OmegaConf, like ``${oc.env:WANDB_API_KEY}``: it may read what is a secret.

    Its name may be put together by further interpolations, as in ``${oc.${name}:WANDB_API_KEY}``, but not its colon.
    """
    return re.search(r"\$\{.*:", text, re.DOTALL) is not None


def _guarded(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("WANDB_SWEEP_ID")) and environ.get("A2C_ALLOW_SWEEP_CODE") != "1"
