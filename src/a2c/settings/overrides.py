"""The command line's ``key=value`` overrides: read, checked and completed before Hydra sees them.

Hydra alone drops ``+typo=1`` in silence, answers an unknown key in five lines, and lets the default
preset's values leak to an environment chosen by ``env.id=``.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from a2c.errors import ConfigError
from a2c.settings.hydra_keys import check_override, is_hydras, names_code
from a2c.settings.suggest import nearest, unknown_key
from a2c.settings.sweep_guard import refuse_from_a_sweep
from a2c.settings.typed_settings import leaf_types, optional

DEEPEST = 50  # brackets within brackets
# These hold what the environment takes, and what parts its observations have.
FREE = ("env.kwargs", "env.reset_options", "network.encoders")
NAMES = ("env.wrappers",)  # hold names of code of the user's, and what that takes


def prepare(overrides: Sequence[str], schema: type[Any], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Check every override against ``schema`` and complete them for Hydra.

    - ``env.id=X`` without ``env=`` means ``env=custom``, so that no preset's values reach another environment.
    - ``env.kwargs.x=1`` and ``network.encoders.image=module:Name`` need no ``+``.
    - ``None`` is null where null is allowed, ``{'a': 1}`` a mapping: a sweep agent writes Python.
    - ``eval={every: 0}`` is ``eval.every=0``.
    - Of two overrides of one key the last counts.

    Args:
        overrides: as typed.
        schema: the dataclass of the composed config.
        groups: the options of every config group, like ``{"env": ["cartpole", ...]}``.

    Returns:
        Overrides in Hydra's grammar, one for each key.

    Raises:
        ConfigError: the first override that cannot be read, or that names an unknown key or option.
    """
    known = dict(leaf_types(schema))
    prepared: dict[str, str] = {}
    for text, item in _split(overrides, known):
        key = item.key_or_group
        refuse_from_a_sweep(text, hydras=is_hydras(key))
        if is_hydras(key):
            check_override(text, item)
            prepared[key] = text
        elif key in groups and item.package is None:
            _check_choice(item, groups[key])
            prepared[key] = text.lstrip("+")
        else:
            prepared[key] = _checked(text, item, known)
    if "env.id" in prepared and "env" not in prepared and "custom" in groups.get("env", ()):
        return ["env=custom", *prepared.values()]
    return list(prepared.values())


def _split(overrides: Sequence[str], known: Mapping[str, Any]) -> Iterator[tuple[str, Override]]:
    """Every override, with one that sets a whole group by a mapping split into its settings."""
    for text in overrides:
        text, item = parse(text)
        key, value = item.key_or_group, item.value()
        if isinstance(value, dict) and dataclasses.is_dataclass(known.get(key)):
            yield from _split([f"{key}.{name}={written(inner)}" for name, inner in value.items()], known)
        else:
            yield text, item


def _checked(text: str, item: Override, known: dict[str, Any]) -> str:
    key = item.key_or_group
    free = any(name in known and (key == name or key.startswith(f"{name}.")) for name in FREE)
    if (free or key in NAMES) and (names_code(key) or any(names_code(name) for name in _keys(item.value()))):
        raise ConfigError(
            f"{text} names code to run; a2c takes no code from settings but env.id, env.wrappers, network.*"
        )
    if free:
        return text if item.is_delete() else "++" + text.lstrip("+")
    if item.package is not None:
        raise ConfigError(f"cannot read '{text}'; write {key}=..., packages (@) are not used here")
    if key not in known:
        raise ConfigError(unknown_key(key, known))
    if item.is_delete():
        raise ConfigError(f"{text}: a setting cannot be deleted; write {key}=null where null is allowed")
    if item.value() == "None" and optional(known[key])[1]:
        return f"{key}=null"
    return text.lstrip("+")


def _keys(value: Any) -> Iterator[str]:
    """Every key of nested mappings and lists."""
    if isinstance(value, Mapping):
        yield from map(str, value)
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _keys(part)


def _check_choice(item: Override, options: Sequence[str]) -> None:
    group = item.key_or_group
    names = item.sweep_string_iterator() if item.is_sweep_override() else [item.get_value_element_as_str()]
    for name in names:
        if name in options and not item.is_delete():
            continue
        if re.search(r"[:/]|-v\d+$", name):
            raise ConfigError(f"{group}={name} is not a preset; choose an environment with env.id={name}")
        guess, otherwise = nearest(name, options), "any environment: env.id=ANY " if group == "env" else ""
        hint = f"did you mean '{guess}'? " if guess else otherwise
        raise ConfigError(f"unknown preset {group}={name}; {hint}Presets: {', '.join(options)}")


def parse(text: str) -> tuple[str, Override]:
    """Read one override with Hydra's grammar.

    If the grammar refuses it, its value may still be a Python literal, or else plain text: nothing else can be meant.

    Returns:
        The text that Hydra could read, and what it read.

    Raises:
        ConfigError: it is not ``key=value``, or its value is nested beyond reason.
    """
    if _depth(text) > DEEPEST:
        raise ConfigError(f"the value of {text.partition('=')[0]} is nested more than {DEEPEST} deep")
    parser = OverridesParser.create()
    key, equals, value = text.partition("=")
    attempts = [text]
    if equals and re.fullmatch(r"\+{0,2}[\w./]+", key):
        others = (_with_names_escaped(value), _from_python(value), quote(value))
        attempts += [f"{key}={written}" for written in others if written is not None]
    for attempt in attempts:
        try:
            return attempt, parser.parse_override(attempt)
        except HydraException:
            continue
    raise ConfigError(f"cannot read '{text}'; write key=value")


def _depth(text: str) -> int:
    depth = deepest = 0
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        deepest = max(deepest, depth)
    return deepest


def _with_names_escaped(value: str) -> str:
    """``{my_module:MyWrapper: {skip: 4}}`` with the first colon as Hydra's grammar wants it in a key."""
    return re.sub(r"([{,]\s*[\w.]+):([A-Za-z_][\w.]*\s*:)", r"\1\:\2", value)


def _from_python(value: str) -> str | None:
    try:
        return written(ast.literal_eval(value))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def written(value: Any) -> str:
    """A plain value in Hydra's grammar.

    Raises:
        ValueError: the grammar cannot express it.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(written(item) for item in value)}]"
    if isinstance(value, Mapping) and all(isinstance(key, str) and re.fullmatch(r"[\w.:-]+", key) for key in value):
        keys = {key: key.replace(":", "\\:") for key in value}
        return "{" + ",".join(f"{keys[key]}:{written(item)}" for key, item in value.items()) + "}"
    raise ValueError(f"{value!r} cannot be written as an override")


def quote(text: str) -> str:
    """``text`` between single quotes, as Hydra's grammar escapes them."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"
