"""A resumed run keeps its own settings; the command line says only what should differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from a2c.errors import CheckpointError, ConfigError
from a2c.settings.old_values import translated
from a2c.settings.overrides import FREE, parse, written
from a2c.storage.folders import run_of

SETTINGS = Path(".hydra") / "config.yaml"  # of a run folder
_OF_THE_SESSION = {"resume", "runs_dir", "device", "threads", "num_workers"}  # not part of the run


def with_settings_of_resumed_run(overrides: Sequence[str], presets: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """Put the settings of the run that ``resume`` names before ``overrides``.

    Args:
        overrides: from :func:`a2c.settings.overrides.prepare`.
        presets: the file of every preset, by group and name.

    Returns:
        Overrides for Hydra; unchanged without ``resume``, or where its run folder holds no settings.

    Raises:
        CheckpointError: there is no such run.
        ConfigError: ``env=`` or ``algo=`` chooses another environment or algorithm than that of the run.
    """
    given = {item.key_or_group: item.value() for _, item in map(parse, overrides)}
    resume, runs_dir = given.get("resume"), str(given.get("runs_dir", "runs"))
    if not isinstance(resume, str):
        return list(overrides)
    folder = run_of(resume, runs_dir)
    if folder is None:
        where = f"there is no latest run under {runs_dir}" if resume == "latest" else f"there is no {resume}"
        raise CheckpointError(f"{where}; nothing to resume")
    if not (folder / SETTINGS).is_file():
        return list(overrides)
    tree = OmegaConf.to_container(OmegaConf.load(folder / SETTINGS))
    assert isinstance(tree, dict)
    saved = dict(flatten(translated({str(key): value for key, value in tree.items()})))
    algo = saved.pop("algo", "a2c")
    for group, key, known in (("env", "env.id", saved["env.id"]), ("algo", "algo", algo)):
        preset = given.get(group)
        if isinstance(preset, str) and preset in presets[group] and preset != "custom":
            chosen = OmegaConf.select(OmegaConf.load(presets[group][preset]), key)
            if chosen != known:
                name = f"{group}={preset}" if preset == chosen else f"{group}={preset} is {chosen}"
                raise ConfigError(f"{name}, but the run to resume trains {known}; leave out {group}=")
    # A3C's workers learn, so that their number belongs to the run.
    of_the_session = _OF_THE_SESSION - {"num_workers"} if algo == "a3c" else _OF_THE_SESSION
    if "vectorization" in given:  # who chooses it anew chooses who steps a shard, too
        saved.pop("main_shard", None)
    kept = [f"++{key}={written(value)}" for key, value in saved.items() if key not in of_the_session]
    chosen_here = tuple(f"{group}=" for group in presets)
    # The values that the run had override every value of the presets.
    return ["env=custom", f"algo={algo}", *kept, *(text for text in overrides if not text.startswith(chosen_here))]


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested mappings by its dotted key."""
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and dotted != FREE:
            yield from flatten(value, f"{dotted}.")
        else:
            yield dotted, value
