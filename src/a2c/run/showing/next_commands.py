"""The commands that are worth typing after a run, ready to be typed where it was started."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a2c.run.showing.figures import relative
from a2c.settings.code_names import importable
from a2c.settings.config import Config
from a2c.settings.overrides import quote
from a2c.settings.redaction import hidden_keys, redact
from a2c.settings.trust import FLAG, code_of


def next_commands(summary: Mapping[str, Any], cfg: Config) -> list[tuple[str, str]]:
    """Commands worth typing now, with what each does; they work where the run was started."""
    folder, runs_dir = Path(summary["folder"]), Path(cfg.runs_dir)
    commands = []
    if summary.get("stopped"):
        commands.append((resume_command(folder, cfg), "continue where it stopped"))
    if given := _given_objects(cfg):
        policy = f"a2c.load_policy({relative(folder)!r}{given.get('network', '')})"
        commands.append((f"a2c.evaluate({policy}, 100{given.get('env', '')})", "measure it again"))
    else:
        named, more = shlex.quote(f"run={_named(folder, cfg)}"), _given_again(cfg)
        commands.append((f"a2c watch {named}{more}", "see it play"))
        commands.append((f"a2c eval {named} episodes=100{more}", "measure it again"))
    if summary.get("wandb_id"):
        board = f"wandb leet {shlex.quote(relative(runs_dir / 'wandb'))}"
        commands.append(("make board" if _is_usual(runs_dir) and _makes("board") else board, "compare all runs"))
    return commands


def resume_command(folder: Path, cfg: Config, *settings: str) -> str:
    """The command that goes on with the run in a folder; in Python where a program gave it objects.

    Args:
        folder: of the run.
        cfg: its settings.
        settings: overrides to add, like ``total_steps=...``.
    """
    if given := _given_objects(cfg):
        words = ", ".join(repr(word) for word in (f"resume={relative(folder)}", *settings))
        return f"a2c.train(a2c.load_config({words}){''.join(given.values())})"
    runs_dir = Path(cfg.runs_dir)
    place = [] if _is_usual(runs_dir) else [f"runs_dir={_as_value(relative(runs_dir))}"]
    overrides = [f"resume={_named(folder, cfg)}", *place, *settings]
    return f"a2c train {shlex.join(overrides)}{_given_again(cfg)}"


def _given_objects(cfg: Config) -> dict[str, str]:
    """The arguments by which a program gave what no command finds again: ``{"network": ", network=..."}``."""
    names = {"env": cfg.env.id, "network": cfg.network.make}
    return {key: f", {key}=..." for key, name in names.items() if name is not None and not importable(name)}


def _named(folder: Path, cfg: Config) -> str:
    """How to name a run as the value of an override."""
    runs_dir = Path(cfg.runs_dir)
    newest = _is_usual(runs_dir) and (runs_dir / "latest").resolve() == folder.resolve()
    return "latest" if newest else _as_value(relative(folder))


def _is_usual(runs_dir: Path) -> bool:
    return runs_dir.absolute() == Path("runs").absolute()  # where the commands look up latest


def _given_again(cfg: Config) -> str:
    """What a run does not keep, so that it is to be typed again."""
    secrets = "".join(f" {key}=..." for key in hidden_keys(redact(cfg.env.kwargs), "env.kwargs"))
    return (f" {FLAG}" if code_of(cfg) else "") + secrets


def _as_value(path: str) -> str:
    """A path as the value of an override."""
    return path if re.fullmatch(r"[\w./@+-]+", path) else quote(path)


def _makes(target: str) -> bool:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return re.search(rf"^{target}:", Path("Makefile").read_text(), re.MULTILINE) is not None
    return False
