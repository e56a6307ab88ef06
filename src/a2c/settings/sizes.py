"""Settings that a few lines blow up beyond all memory (aliases of aliases of aliases) are refused before they grow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from a2c.errors import ConfigError

MOST_VALUES = 10_000  # of a file with aliases, written out; ours have a hundred, and no aliases
MOST_IN_ALL = 1_000_000  # of any settings
MOST_BYTES = 1 << 20  # of a file with settings
MOST_INTERPOLATIONS = 20  # ${...}: each may name others, twice

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(path: Path) -> str:
    """The text of a YAML file with settings, which no reader can take for more than it is.

    Raises:
        ConfigError: it cannot be read, or it is larger than settings are, aliases written out.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(f"{path} has {size:,} bytes; a file with settings has no more than {MOST_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: byte {error.start} is no UTF-8") from error
    _check_aliases(path, text)
    return text


def check_folder(folder: Path, groups: Sequence[str]) -> None:
    """Check the files that Hydra may read in a folder of settings; raises as :func:`read_text`.

    Args:
        folder: of the settings.
        groups: its folders with presets; other files beside them may be anything.
    """
    for path in sorted({*folder.glob("*.yaml"), *folder.glob("*/*.yaml"), *folder.glob("hydra/*/*.yaml")}):
        if path.parent.name in groups:
            read_text(path)
            continue
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if path.stat().st_size <= MOST_BYTES:
                _check_aliases(path, path.read_text(encoding="utf-8"))


def check_tree(tree: Any, where: str) -> None:
    """Refuse plain settings that hold the same container over and over, or themselves.

    Raises:
        ConfigError: written out they are larger than settings are; names ``where``.
    """
    _check(_written_out(tree, _values), where, MOST_IN_ALL)


def check_interpolations(tree: Any, where: str) -> None:
    """Refuse more interpolations than anybody writes: each may double what the others hold; raises ConfigError."""
    found = sum(text.count("${") for text in _texts(tree))
    if found > MOST_INTERPOLATIONS:
        raise ConfigError(f"{where} hold {found} interpolations; at most {MOST_INTERPOLATIONS} are resolved")


def _check_aliases(path: Path, text: str) -> None:
    if "&" not in text or "*" not in text:
        return
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError:
        return  # whoever reads it says so, with the line
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply to be settings") from None
    _check(_written_out(root, _nodes), str(path), MOST_VALUES)


def _check(count: float, where: str, most: int) -> None:
    if count > most:
        size = "without end" if count == float("inf") else f"more than {most:,} values"
        raise ConfigError(f"{where}: what it repeats (YAML: by aliases) is {size} when written out")


def _written_out(root: Any, parts: Callable[[Any], Iterable[Any]]) -> float:
    """How many values a tree holds when what it shares is counted every time; infinite if it holds itself."""
    counts: dict[int, float] = {}
    waiting: list[tuple[Any, bool]] = [(root, False)]  # a stack: deep trees must not end in a RecursionError
    while waiting:
        node, inside_is_known = waiting.pop()
        inside = list(parts(node))
        if not inside:
            counts[id(node)] = 1
        elif inside_is_known:
            counts[id(node)] = 1 + sum(counts[id(part)] for part in inside)
        elif id(node) not in counts:
            counts[id(node)] = float("inf")  # until it is known: what it holds holds it again
            waiting.append((node, True))
            waiting.extend((part, False) for part in inside)
    return counts[id(root)]


def _nodes(node: Any) -> Iterable[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _values(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()


def _texts(tree: Any) -> Iterable[str]:
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        waiting.extend(_values(value))
