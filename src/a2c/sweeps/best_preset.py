"""The best settings of a sweep as a preset, in the form of ``conf/env/*.yaml``."""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from a2c.run.comparing.run_groups import ASIDE, ASIDE_GROUPS
from a2c.run.showing.figures import relative
from a2c.settings.compose import compose_plain, load_config, prepare_training, to_config
from a2c.settings.config import Config
from a2c.settings.overrides import quote, written
from a2c.settings.redaction import hidden_keys, leaf_settings, redact
from a2c.storage.atomic import write_text

OF_THE_MACHINE = {"device", "threads"}
PRESET = Path("env") / "best.yaml"  # below the folder that --config-dir names


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset that has been written.

    Attributes:
        path: of the file.
        command: that trains with it.
    """

    path: Path
    command: str


def write_preset(overrides: Sequence[str], why: Sequence[str], reasons: Mapping[str, str], folder: Path) -> Preset:
    """Write ``env/best.yaml`` into a folder: what these overrides give, as a delta from ``conf/config.yaml``.

    What only names, shows or keeps a run or belongs to the machine is left out, and so are the seed and secrets; for
    those the command asks.

    Args:
        overrides: of the best trial.
        why: lines of text for its head.
        reasons: for the line of each of these settings, which stands there whatever its value.
        folder: it exists.

    Raises:
        OSError: the file cannot be written.
    """
    wanted = load_config(*overrides)
    tree = _matters(redact(asdict(wanted)))
    usual = _matters(asdict(load_config(f"env.id={quote(wanted.env.id)}")))
    changed = dict(_changes(usual, tree, reasons))
    changed = {"env": {"id": wanted.env.id, **changed.pop("env", {})}, **changed}
    secret = hidden_keys(changed)
    place = relative(folder)
    start = ["a2c", "train", "--config-dir", place, "env=best"]
    head = ["# @package _global_", f"# {shlex.join(start)}", *(f"# {line}" for line in why)]
    (folder / PRESET).parent.mkdir(exist_ok=True)
    path = write_text(folder / PRESET, "\n".join([*head, *_lines(changed, reasons, secret)]) + "\n")
    # The preset of the algorithm comes after that of the environment, and may put other values in the place of ours.
    chosen = ["env=best", *([f"algo={wanted.algo}"] if wanted.algo != "a2c" else [])]
    again = [f"{key}={written(value)}" for key, value in _lost(chosen, tree, folder) if key not in secret]
    asked = "".join(f" {key}=..." for key in secret)
    return Preset(path, shlex.join([*start[:-1], *chosen, *again]) + asked)


def _matters(tree: Mapping[str, Any]) -> dict[str, Any]:
    aside = {*ASIDE, *OF_THE_MACHINE, *(name.rstrip(".") for name in ASIDE_GROUPS)}
    return {key: value for key, value in tree.items() if key not in aside}


def _changes(
    base: Mapping[str, Any], tree: Mapping[str, Any], always: Container[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """What nested settings have otherwise than others, and ``always`` those of these dotted keys, nested likewise."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            if inner := dict(_changes(base[key], value, always, f"{prefix}{key}.")):
                yield key, inner
        elif key not in base or value != base[key] or f"{prefix}{key}" in always:
            yield key, value


def _lines(
    tree: Mapping[str, Any], reasons: Mapping[str, str], secret: Sequence[str], prefix: str = ""
) -> Iterator[str]:
    """Nested settings as YAML, a reason behind each that has one."""
    indent = "  " * prefix.count(".")
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if dotted in secret:
            continue
        if isinstance(value, Mapping) and value:
            if inner := list(_lines(value, reasons, secret, f"{dotted}.")):  # not only secrets
                yield f"{indent}{_yaml(key)}:"
                yield from inner
        else:
            reason = f"  # {reasons[dotted]}" if dotted in reasons else ""
            yield f"{indent}{_yaml(key)}: {_yaml(value)}{reason}"


def _yaml(value: Any) -> str:
    """A plain value on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _lost(chosen: Sequence[str], wanted: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    """The settings that these overrides, the preset among them, do not bring back."""
    found = _composed(chosen, folder)
    ours = dict(leaf_settings(_matters(redact(asdict(found)))))
    for key, value in leaf_settings(wanted):
        if key in ours and ours[key] != value:
            yield key, value


def _composed(overrides: Sequence[str], folder: Path) -> Config:
    return to_config(compose_plain("config", prepare_training(overrides, folder), folder))
