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
from a2c.settings.sizes import check_tree, read_text
from a2c.settings.sweep_guard import calls_resolver
from a2c.sweeps.halving import Halving, halving_of
from a2c.sweeps.parameter import MOST_COMBINATIONS
from a2c.sweeps.parameter import Parameter as Parameter  # one place for all that a sweep file says
from a2c.sweeps.parameter_forms import parameters_of
from a2c.sweeps.yaml_values import known, mapping, number, whole

METHODS = ("grid", "random", "bayes")
SCORE = "eval/mean_reward"  # at the end of a run: that of the final evaluation of its best checkpoint
_USED = ("name", "method", "metric", "command", "parameters", "early_terminate", "run_cap")
_ASIDE = ("project", "entity", "description", "program", "controller", "kind", "apiVersion")  # they change nothing here
_LAUNCH = "W&B Launch starts runs elsewhere; take it out here, where command says what trains"
_ELSEWHERE = {
    "scheduler": "it names a search of W&B's or your own; take it out, and choose method grid, random or bayes",
    "metrics": "a sweep has one metric here: metric: {name: ..., goal: ...}",
    "job": _LAUNCH,
    "image_uri": _LAUNCH,
    "launch": _LAUNCH,
}
_IMPUTE = "Optuna learns from trials that were trained to their end alone; take it out"


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
    target: float | None = None  # once a trial has reached it, none is begun


def read_sweep(path: Path, otherwise: str | None = None) -> Sweep:
    """Read a sweep file.

    Args:
        path: of the file.
        otherwise: the sweep's name where the file gives none; None: that of the file.

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
        return _sweep(mapping("it", tree), otherwise or path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {str(error).partition(': ')[2]}") from None


def _sweep(tree: Mapping[str, Any], stem: str) -> Sweep:
    for key, instead in _ELSEWHERE.items():
        if key in tree:
            raise ConfigError(f"{key} is not for a2c sweep: {instead}")
    known("", tree, (*_USED, *_ASIDE))
    method = tree.get("method")
    if method not in METHODS:
        raise ConfigError(f"method={method} must be one of {', '.join(METHODS)}")
    metric, maximize, target = _metric(tree.get("metric"))
    cap = tree.get("run_cap")
    name = str(tree.get("name") or stem)
    if not re.fullmatch(r"(?!.*\.\.)[A-Za-z0-9._-]{1,100}", name):
        raise ConfigError(f"name={name!r} must be made of A-Z a-z 0-9 . _ - only: it names a folder")
    return Sweep(
        name=name,
        method=str(method),
        metric=metric,
        maximize=maximize,
        overrides=_overrides(tree.get("command")),
        parameters=_parameters(mapping("parameters", tree.get("parameters", {})), str(method)),
        halving=halving_of(tree.get("early_terminate")),
        cap=None if cap is None else whole("run_cap", cap),
        target=target,
    )


def _metric(value: Any) -> tuple[str, bool, float | None]:
    """Name, whether more is better, and target; without a metric it is the score of a run."""
    if value is None:
        return SCORE, True, None
    metric = mapping("metric", value)
    for key in ("impute", "impute_while_running"):
        if key in metric:
            raise ConfigError(f"metric.{key} is for W&B's own search; {_IMPUTE}")
    known("metric.", metric, ("name", "goal", "target"))
    name, goal, target = str(metric.get("name", SCORE)), metric.get("goal"), metric.get("target")
    if goal is None:  # W&B would minimise: of a score the worst would win, in silence
        raise ConfigError("metric.goal is missing; say goal: maximize or goal: minimize")
    if goal not in ("maximize", "minimize"):
        raise ConfigError(f"metric.goal={goal} must be maximize or minimize")
    return name, goal == "maximize", None if target is None else number("metric.target", target)


def _parameters(tree: Mapping[str, Any], method: str) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for key, parameter in parameters_of(tree, grid=method == "grid"):
        if key in parameters:
            raise ConfigError(f"parameters.{key} stands there twice")
        parameters[key] = parameter
        for value in parameter.choices or ("",):
            _refuse_code(f"{key}={value}")
    if not parameters:
        raise ConfigError("parameters are missing; without them there is nothing to search")
    size = math.prod(len(parameter.choices) for parameter in parameters.values()) if method == "grid" else 0
    if size > MOST_COMBINATIONS:
        raise ConfigError(f"method=grid: {size:,} combinations are too many; method random draws some of them")
    return parameters


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
