"""A plain mapping (from YAML, a command line or a checkpoint) becomes a typed record, or an error of one line."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from a2c.errors import ConfigError
from a2c.settings.setting import AUTO
from a2c.settings.sizes import check_tree
from a2c.settings.suggest import unknown_key

Record = TypeVar("Record")

_NAMES = {
    bool: "true or false (bool)",
    int: "a whole number (int)",
    float: "a number (float)",
    str: "text (str)",
    dict: "a mapping, like {key: value}",
}


def build(schema: type[Record], tree: Mapping[str, Any], prefix: str = "") -> Record:
    """Make the dataclass ``schema`` out of nested plain mappings, checking every key and type.

    Args:
        schema: a dataclass of plain types and further dataclasses.
        tree: a value for every field.
        prefix: what errors put before a key, like ``"env."``.

    Raises:
        ConfigError: a key is unknown or missing, or a value has another type; names the dotted key.
    """
    if not prefix:
        check_tree(tree, "the settings")
    hints = typing.get_type_hints(schema)
    rules = {field.name: field.metadata.get("rule") for field in dataclasses.fields(schema)}  # type: ignore[arg-type]
    for key in tree:
        if key not in hints:
            raise ConfigError(unknown_key(f"{prefix}{key}", [f"{prefix}{known}" for known, _ in leaf_types(schema)]))
    values = {}
    for key, hint in hints.items():
        dotted = f"{prefix}{key}"
        if key not in tree or (isinstance(tree[key], str) and tree[key] == "???"):
            raise ConfigError(f"{dotted} has no value; add {dotted}=...")
        if not dataclasses.is_dataclass(hint):
            values[key] = convert(dotted, tree[key], hint, auto=getattr(rules[key], "auto", False))
        elif isinstance(tree[key], Mapping):
            values[key] = build(typing.cast(type, hint), tree[key], f"{dotted}.")
        else:
            raise ConfigError(f"{dotted}={show(tree[key])} must be {_NAMES[dict]}")
    return schema(**values)


def leaf_types(schema: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key that ``schema`` knows, groups included, with its type."""
    for key, hint in typing.get_type_hints(schema).items():
        yield f"{prefix}{key}", hint
        if dataclasses.is_dataclass(hint):
            yield from leaf_types(hint, f"{prefix}{key}.")


def optional(hint: Any) -> tuple[Any, bool]:
    """``(int, True)`` for ``int | None``, ``(int, False)`` for ``int``; likewise for a union of text and a list."""
    if not isinstance(hint, types.UnionType) or type(None) not in typing.get_args(hint):
        return hint, False
    return functools.reduce(operator.or_, (arg for arg in typing.get_args(hint) if arg is not type(None))), True


def convert(key: str, value: Any, hint: Any, *, auto: bool = False) -> Any:
    """``value`` as the type ``hint``: ``bool int float str dict list[...]``, ``str | list[...]``, or ``... | None``.

    With ``auto`` the word auto is allowed, too, and stays.

    Raises:
        ConfigError: it is no such value; names ``key``.
    """
    if hint is Any or (auto and value == AUTO):  # whoever reads it checks it
        return value
    inner, nullable = optional(hint)
    if value is None and nullable:
        return None
    if isinstance(inner, types.UnionType):  # text or a list: the value says which
        inner = next(arg for arg in typing.get_args(inner) if (arg is not str) == isinstance(value, list))
    origin = typing.get_origin(inner) or inner
    if origin is list:
        if not isinstance(value, list):
            raise ConfigError(f"{key}={show(value)} must be a list, like [a,b]{', or auto' if auto else ''}")
        return [convert(f"{key}[{i}]", item, typing.get_args(inner)[0]) for i, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not math.isfinite(value):
        raise ConfigError(f"{key}={value} must be finite{'; null switches it off' if nullable else ''}")
    if origin is float and number:
        return float(value)
    if origin is int and number and value == int(value):
        return int(value)  # total_steps=1e6
    if origin is bool and isinstance(value, bool):
        return value
    if origin is str and isinstance(value, str):
        return value
    if origin is str and number:
        return str(value)  # name=7
    if origin is str and isinstance(value, bool):
        return show(value)  # name=true
    others = f"{' or null' if nullable else ''}{' or auto' if auto else ''}"
    raise ConfigError(f"{key}={show(value)} must be {_NAMES[origin]}{others}")


def show(value: Any) -> str:
    """A value as a user would type it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
