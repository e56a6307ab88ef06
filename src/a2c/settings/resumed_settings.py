"""A resumed run keeps its own settings; the command line says only what should differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from a2c.errors import CheckpointError, ConfigError
from a2c.settings.code_names import by_part
from a2c.settings.config import Config
from a2c.settings.hydra_keys import names_code
from a2c.settings.old_values import translated
from a2c.settings.overrides import FREE, NAMES, parse, written
from a2c.settings.saved_settings import SETTINGS, read_settings
from a2c.settings.sizes import check_tree
from a2c.settings.sweep_guard import calls_resolver
from a2c.settings.trust import ask_for_trust, code_in
from a2c.settings.typed_settings import leaf_types
from a2c.storage.folders import AUTO, run_of

OF_THE_SESSION = {
    "resume",
    "runs_dir",
    "device",
    "threads",
    "num_workers",
    "ranks",
    "rank_timeout",
}  # not part of the run

__all__ = ["OF_THE_SESSION", "SETTINGS", "flatten", "with_settings_of_resumed_run"]


def with_settings_of_resumed_run(
    overrides: Sequence[str], presets: Mapping[str, Mapping[str, Path]], *, trust: bool = True
) -> list[str]:
    """Put the settings of the run that ``resume`` names before ``overrides``.

    They stand in the run folder or, where that holds none and for a checkpoint outside of any run, in the checkpoint.

    Args:
        overrides: from :func:`a2c.settings.overrides.prepare`.
        presets: the file of every preset, by group and name.
        trust: whether the run may import modules that ``overrides`` do not name, as by its ``env.id``.

    Returns:
        Overrides for Hydra; unchanged without ``resume``, and with ``resume=auto``.

    Raises:
        CheckpointError: there is no such run.
        ConfigError: ``env=`` or ``algo=`` chooses another environment or algorithm than that of the run; or the
            settings of the run cannot be read, are no settings, or import code that nobody named.
    """
    given = {item.key_or_group: item.value() for _, item in map(parse, overrides)}
    resume, runs_dir = given.get("resume"), str(given.get("runs_dir", "runs"))
    if not isinstance(resume, str) or resume == AUTO:  # auto: a run of these very settings
        return list(overrides)
    folder = run_of(resume, runs_dir)
    if folder is None and not Path(resume).is_file():
        where = f"there is no latest run under {runs_dir}" if resume == "latest" else f"there is no {resume}"
        raise CheckpointError(f"{where}; nothing to resume")
    source, tree = read_settings(folder, resume, runs_dir)
    check_tree(tree, str(source))
    saved = dict(flatten(translated(tree)))
    _check_saved(saved, source)
    algo = saved.pop("algo", "a2c")
    if not trust:
        encoders = given.get("network.encoders")
        parts = dict(by_part(encoders)) if isinstance(encoders, dict) else {}
        again = {*given, *(f"network.encoders.{part}" for part in parts)}
        code = {key: name for key, name in code_in(saved).items() if key.partition("[")[0] not in again}
        ask_for_trust(code, f"the run to resume, {folder or resume},")
    for group, key, known in (("env", "env.id", saved["env.id"]), ("algo", "algo", algo)):
        preset = given.get(group)
        if isinstance(preset, str) and preset in presets[group] and preset != "custom":
            chosen = OmegaConf.select(OmegaConf.load(presets[group][preset]), key)
            if chosen != known:
                name = f"{group}={preset}" if preset == chosen else f"{group}={preset} is {chosen}"
                raise ConfigError(f"{name}, but the run to resume trains {known}; leave out {group}=")
    # A3C's workers learn, so that their number belongs to the run.
    of_the_session = OF_THE_SESSION - {"num_workers"} if algo == "a3c" else OF_THE_SESSION
    if "vectorization" in given:  # who chooses it anew chooses who steps a shard, too
        saved.pop("main_shard", None)
    kept = [f"++{key}={_written(key, value, source)}" for key, value in saved.items() if key not in of_the_session]
    chosen_here = tuple(f"{group}=" for group in presets)
    # The values that the run had override every value of the presets.
    return ["env=custom", f"algo={algo}", *kept, *(text for text in overrides if not text.startswith(chosen_here))]


def _check_saved(saved: Mapping[str, Any], source: Path) -> None:
    """Refuse what is no setting: who made the run folder could else set what Hydra imports, or read secrets."""
    known = dict(leaf_types(Config))
    for key, value in saved.items():
        if key not in known:
            raise ConfigError(f"{source} holds '{key}', which is no setting; take it out")
        if key in (*FREE, *NAMES) and names_code(str(value)):
            raise ConfigError(f"{source}: {key} names code to run; take it out")
        if calls_resolver(str(value)):
            raise ConfigError(f"{source}: {key} reads {value!r}; write its value there")
    if not isinstance(saved.get("env.id"), str) or not isinstance(saved.get("algo", ""), str):
        raise ConfigError(f"{source} holds no env.id; it is not the settings of a run")


def _written(key: str, value: Any, source: Path) -> str:
    try:
        return written(value)
    except ValueError as error:
        raise ConfigError(f"{source}: {key}: {error}") from error


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested mappings by its dotted key."""
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and dotted not in FREE:
            yield from flatten(value, f"{dotted}.")
        else:
            yield dotted, value
