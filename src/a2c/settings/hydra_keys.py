"""Hydra can import and call whatever a config names. Here no config names code: what of Hydra's may be set is listed.

On a command line that a person typed: where runs go, what they are called, and which launcher or sweeper runs them.
Never a ``_target_``, callbacks, search paths, log handlers or environment variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from a2c.errors import ConfigError
from a2c.settings.suggest import nearest

KEYS = (
    "hydra.job.name", "hydra.job.chdir", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.verbose",
    "hydra/launcher", "hydra/sweeper",
)  # fmt: skip
OPTIONS = ("hydra.launcher.", "hydra.sweeper.")  # of the launcher and the sweeper
_NAMES_CODE = re.compile(r"_(target|partial|convert|recursive|args)_")
# What composed settings of Hydra may name: its own launcher and sweeper, or those that somebody installed as plugins.
_TARGETS = re.compile(r"(hydra\._internal\.core_plugins|hydra_plugins|optuna\.samplers)\.[\w.]+")
OUR_LAUNCHERS = ("cores", "slurm", "slurm_nodes")  # conf/hydra/launcher; they need the extra
# Launchers that a package of Hydra's own brings -> what to install
_PACKAGES = {
    **dict.fromkeys((*OUR_LAUNCHERS, "joblib", "submitit_local", "submitit_slurm"), '"a2c[launchers]"'),
    "ray": "hydra-ray-launcher", "rq": "hydra-rq-launcher",
}  # fmt: skip
_LOGGING = re.compile(r"logging\.(StreamHandler|FileHandler|NullHandler)")


def is_hydras(key: str) -> bool:
    """Whether ``key`` belongs to Hydra."""
    return re.split(r"[./@]", key, maxsplit=1)[0] == "hydra"


def check_override(text: str, item: Override) -> None:
    """Check an override of Hydra's own settings.

    Raises:
        ConfigError: it is none of those that may be set, or it leads out of the working folder by ``..`` or a link.
    """
    key = item.key_or_group
    if key not in KEYS and not key.startswith(OPTIONS) and not key.startswith(("hydra/launcher/", "hydra/sweeper/")):
        raise ConfigError(f"unknown key '{key}'; of Hydra's settings these are used here: {', '.join(KEYS)}")
    if item.package is not None or item.is_delete():
        raise ConfigError(f"cannot read '{text}'; write {key}=...")
    if names_code(text):
        raise ConfigError(f"{text} names code to run; a2c takes no code from settings")
    value = item.value()
    if key in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir") and isinstance(value, str):
        _check_place(key, value)
    if key == "hydra.job.name" and not re.fullmatch(r"(?!.*\.\.)[A-Za-z0-9._-]{1,100}", str(value)):
        raise ConfigError(f"{text} must be made of A-Z a-z 0-9 . _ - only, without '..': it names the log")


def not_installed(kind: str, name: str) -> str:
    """What to do where Hydra does not find a launcher or a sweeper.

    Args:
        kind: ``launcher`` or ``sweeper``.
        name: of the one that was asked for.
    """
    if kind == "sweeper":
        return f"hydra/sweeper={name} is not installed; to search settings by Optuna, type a2c sweep FILE"
    if name not in _PACKAGES:
        guess = nearest(name, _PACKAGES)
        hint = f"did you mean '{guess}'?" if guess else f"there are {', '.join(OUR_LAUNCHERS)}"
        return f"hydra/launcher={name} is not installed; {hint}"
    how = f"pip install {_PACKAGES[name]}"
    return f"hydra/launcher={name} is not installed: {how}; without it, a2c sweep FILE jobs=4 trains four at once"


def names_code(text: str) -> bool:
    """Whether an override or a key has one of the words by which Hydra finds code: ``_target_`` and its company."""
    return _NAMES_CODE.search(text) is not None


def check_composed(hydra: Any) -> None:
    """Check Hydra's own settings after composition: a preset's file may set them, too.

    Raises:
        ConfigError: they name code other than Hydra's own or an installed launcher's or sweeper's.
    """
    if hydra.get("callbacks"):
        raise ConfigError("hydra.callbacks names code to run; take it out of the preset")
    if hydra.get("job", {}).get("env_set"):
        raise ConfigError("hydra.job.env_set is not used here; take it out of the preset")
    for key, value in _leaves(hydra, "hydra"):
        parts = key.split(".")
        plugin = parts[1] in ("launcher", "sweeper")
        in_logging = parts[1] in ("job_logging", "hydra_logging")
        if in_logging and parts[-1] in ("()", "class", "ext", "factory"):
            allowed = _LOGGING.fullmatch(str(value)) is not None
        elif _NAMES_CODE.search(parts[-1]):
            allowed = plugin and (parts[-1] != "_target_" or _TARGETS.fullmatch(str(value)) is not None)
        else:
            continue
        if not allowed:
            raise ConfigError(f"{key}={value} names code to run; take it out of the preset")


def _check_place(key: str, value: str) -> None:
    path = Path(value)
    if ".." in path.parts:
        raise ConfigError(f"{key}={value} must not hold '..'; write the whole path")
    if not path.is_absolute() and not path.resolve().is_relative_to(Path.cwd().resolve()):
        raise ConfigError(f"{key}={value} leads out of this folder, to {path.resolve()}; write the whole path")


def _leaves(tree: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    for key, value in items:
        if isinstance(value, Mapping | list):
            yield from _leaves(value, f"{prefix}.{key}")
        else:
            yield f"{prefix}.{key}", value
