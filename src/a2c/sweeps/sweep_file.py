"""The YAML of a sweep, in W&B's words: what to vary, how to search, what to maximise."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from a2c.errors import ConfigError
from a2c.settings.hydra_keys import is_hydras
from a2c.settings.overrides import written
from a2c.settings.sizes import check_tree, read_text
from a2c.settings.suggest import nearest
from a2c.settings.sweep_guard import calls_resolver

KEYS = ("name", "project", "description", "method", "metric", "command", "parameters", "early_terminate", "run_cap")
METHODS = ("grid", "random", "bayes")
SCORE = "eval/mean_reward"  # at the end of a run: that of the final evaluation of its best checkpoint
# Of W&B's distributions those that people use -> (logarithmic, whole numbers).
RANGES = {
    "uniform": (False, False),
    "q_uniform": (False, False),
    "int_uniform": (False, True),
    "log_uniform_values": (True, False),
}
_PLAIN = re.compile(r"(?!(?:true|false|null|none|nan|inf)$)[A-Za-z_][\w./-]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parameter:
    """The values that a setting may take: choices, or a range."""

    choices: tuple[str, ...] = ()  # as one types them
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Halving:
    """Stop the worst runs after ``first`` evaluations, ``first * eta``, ...: all but one of ``eta``."""

    first: int
    eta: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep file asks for."""

    name: str
    method: str
    metric: str
    maximize: bool
    overrides: tuple[str, ...]  # of all runs
    parameters: dict[str, Parameter]
    halving: Halving | None
    cap: int | None  # most trials


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        ConfigError: it cannot be read, or holds what no sweep here can mean; names the key.
    """
    try:
        tree = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" line {mark.line + 1}"
        raise ConfigError(f"{path}{line}: {getattr(error, 'problem', None) or 'is no YAML'}") from error
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply to be a sweep") from None
    try:
        check_tree(tree, "it")
        return _sweep(_mapping("it", tree), path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {str(error).partition(': ')[2]}") from None


def _sweep(tree: Mapping[str, Any], stem: str) -> Sweep:
    _known("", tree, KEYS)
    method = tree.get("method")
    if method not in METHODS:
        raise ConfigError(f"method={method} must be one of {', '.join(METHODS)}")
    metric = _mapping("metric", tree.get("metric", {}))
    _known("metric.", metric, ("name", "goal", "target"))
    goal = metric.get("goal", "maximize")
    if goal not in ("maximize", "minimize"):
        raise ConfigError(f"metric.goal={goal} must be maximize or minimize")
    named = _mapping("parameters", tree.get("parameters", {}))
    parameters = {str(key): _parameter(f"parameters.{key}", value) for key, value in named.items()}
    for key, parameter in parameters.items():
        for value in parameter.choices or ("",):
            _refuse_code(f"{key}={value}")
    if not parameters:
        raise ConfigError("parameters are missing; without them there is nothing to search")
    if method == "grid" and (ranges := [key for key, parameter in parameters.items() if not parameter.choices]):
        raise ConfigError(f"method=grid needs values, and parameters.{ranges[0]} is a range")
    cap = tree.get("run_cap")
    name = str(tree.get("name") or stem)
    if not re.fullmatch(r"(?!.*\.\.)[A-Za-z0-9._-]{1,100}", name):
        raise ConfigError(f"name={name!r} must be made of A-Z a-z 0-9 . _ - only: it names a folder")
    return Sweep(
        name=name,
        method=str(method),
        metric=str(metric.get("name", SCORE)),
        maximize=goal == "maximize",
        overrides=_overrides(tree.get("command")),
        parameters=parameters,
        halving=_halving(tree.get("early_terminate")),
        cap=None if cap is None else _whole("run_cap", cap),
    )


def _parameter(key: str, value: Any) -> Parameter:
    tree = _mapping(key, value)
    _known(f"{key}.", tree, ("value", "values", "min", "max", "q", "distribution"))
    if "value" in tree:
        return Parameter(choices=(_typed(key, tree["value"]),))
    if "values" in tree:
        values = tree["values"]
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{key}.values must be a list of values")
        return Parameter(choices=tuple(dict.fromkeys(_typed(key, item) for item in values)))
    low, high = (_number(f"{key}.{end}", tree.get(end)) for end in ("min", "max"))
    both_whole = all(isinstance(tree[end], int) for end in ("min", "max"))
    distribution = tree.get("distribution", "int_uniform" if both_whole else "uniform")
    if distribution not in RANGES:
        raise ConfigError(f"{key}.distribution={distribution} must be one of {', '.join(RANGES)}, or give values")
    log, whole = RANGES[distribution]
    if not low < high or (log and low <= 0):
        raise ConfigError(f"{key}: min must be less than max{', and more than 0' if log else ''}")
    step = _number(f"{key}.q", tree.get("q", 1.0)) if distribution == "q_uniform" else None
    return Parameter(low=low, high=high, log=log, whole=whole, step=step)


def _typed(key: str, value: Any) -> str:
    """A value as the right side of an override."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    try:
        return written(value)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error


def _overrides(command: Any) -> tuple[str, ...]:
    """The ``key=value`` words after ``train``; what W&B puts in their places is left out."""
    words = [str(word) for word in command] if isinstance(command, list) else []
    if "train" not in words:
        raise ConfigError("command must be a list: ${env}, ${interpreter}, -m, a2c, train, ..., ${args_no_hyphens}")
    overrides = [word for word in words[words.index("train") + 1 :] if word not in ("${args_no_hyphens}", "${args}")]
    for word in overrides:
        if word.startswith(("-", "resume=")) or "=" not in word:
            raise ConfigError(f"command: {word} is no setting that all of its runs could share")
        _refuse_code(word)
    return tuple(overrides)


def _refuse_code(text: str) -> None:
    if is_hydras(text.partition("=")[0]) or calls_resolver(text):
        raise ConfigError(f"{text} is not for a sweep: it is Hydra's own, or reads what may be a secret")


def _halving(value: Any) -> Halving | None:
    if value is None:
        return None
    tree = _mapping("early_terminate", value)
    _known("early_terminate.", tree, ("type", "min_iter", "max_iter", "s", "eta"))
    if tree.get("type") != "hyperband":
        raise ConfigError(f"early_terminate.type={tree.get('type')} must be hyperband")
    eta = _whole("early_terminate.eta", tree.get("eta", 3))
    if eta < 2:
        raise ConfigError("early_terminate.eta must be at least 2")
    if "min_iter" in tree:
        return Halving(_whole("early_terminate.min_iter", tree["min_iter"]), eta)
    last, times = (_whole(f"early_terminate.{key}", tree.get(key)) for key in ("max_iter", "s"))
    return Halving(max(1, last // eta**times), eta)


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} must be a mapping")
    return value


def _known(prefix: str, tree: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in tree:
        if key not in keys:
            guess = nearest(str(key), keys)
            hint = f"did you mean '{guess}'?" if guess else f"known are {', '.join(keys)}"
            raise ConfigError(f"{prefix}{key} is not understood here; {hint}")


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{key}={value} must be a number")
    return float(value)


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{key}={value} must be a whole number of at least 1")
    return value
