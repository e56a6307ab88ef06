"""Every form in which W&B's sweep files say what values a setting may take.

Source: the schema and the distributions of W&B's package ``sweeps`` 0.3.0 (``config/schema.json``, ``params.py``).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from a2c.errors import ConfigError
from a2c.settings.notices import tell_once
from a2c.settings.overrides import written
from a2c.sweeps.parameter import Parameter, Shape, listed, multiples
from a2c.sweeps.yaml_values import is_pointless, is_whole, known, mapping, number

_PLAIN = re.compile(r"(?!(?:true|false|null|none|nan|inf)$)[A-Za-z_][\w./-]*", re.IGNORECASE)
_Tree = Mapping[str, Any]


def parameters_of(tree: _Tree, prefix: str = "", *, grid: bool = False) -> Iterator[tuple[str, Parameter]]:
    """Settings and their values; a mapping below ``parameters`` within a parameter is a group of settings.

    Args:
        tree: what stands below ``parameters``.
        prefix: the group, with a dot at its end.
        grid: whether each value is to be tried once.

    Raises:
        ConfigError: a form that W&B does not know either, or a range that holds nothing; names the key.
    """
    for name, value in tree.items():
        key = f"parameters.{prefix}{name}"
        form = mapping(key, value)
        if "parameters" in form:
            known(f"{key}.", form, ("parameters",))
            group = mapping(f"{key}.parameters", form["parameters"])
            if not group:
                raise ConfigError(f"{key}.parameters is empty")
            yield from parameters_of(group, f"{prefix}{name}.", grid=grid)
            continue
        parameter = _parameter(key, form)
        if grid:
            once = parameter if "probabilities" in form else replace(parameter, weights=())
            parameter = listed(key, once)
        yield f"{prefix}{name}", parameter


def _parameter(key: str, form: _Tree) -> Parameter:
    if not {"value", "values", "min", "max", "distribution"} & set(form):
        raise ConfigError(f"{key} says no values; give value, values, or min and max")
    distribution = form.get("distribution", _usual(form))
    if not isinstance(distribution, str) or distribution not in _FORMS:
        raise ConfigError(f"{key}.distribution={distribution} must be one of {', '.join(_FORMS)}")
    keys, needed, read = _FORMS[distribution]
    known(f"{key}.", form, (*keys, "distribution"))
    for name in needed:
        if name not in form:
            raise ConfigError(f"{key}.{name} is missing: distribution {distribution} needs it")
    return read(key, form)


def _usual(form: _Tree) -> str:
    """The distribution of a form that names none."""
    if "value" in form:
        return "constant"
    if "values" in form:
        return "categorical_w_probabilities" if "probabilities" in form else "categorical"
    return "int_uniform" if all(is_whole(form.get(end)) for end in ("min", "max")) else "uniform"


def _constant(key: str, form: _Tree) -> Parameter:
    return Parameter((_text(key, form["value"]),))


def _categorical(key: str, form: _Tree) -> Parameter:
    """A value that is listed twice is drawn twice as often, as with W&B."""
    texts = _texts(key, form)
    counts = Counter(texts)
    if len(set(counts.values())) == 1:
        return Parameter(tuple(counts))
    return Parameter(tuple(counts), weights=tuple(count / len(texts) for count in counts.values()))


def _weighted(key: str, form: _Tree) -> Parameter:
    texts, given = _texts(key, form), form["probabilities"]
    if not isinstance(given, list) or len(given) != len(texts):
        raise ConfigError(f"{key}.probabilities must be a list, one for each of its {len(texts)} values")
    shares = [number(f"{key}.probabilities", share) for share in given]
    if min(shares) < 0 or not math.isclose(sum(shares), 1, rel_tol=1e-5, abs_tol=1e-8):
        raise ConfigError(f"{key}.probabilities must be at least 0 and add to 1, and add to {sum(shares):g}")
    weights: dict[str, float] = {}
    for text, share in zip(texts, shares, strict=True):
        weights[text] = weights.get(text, 0.0) + share / sum(shares)
    return Parameter(tuple(weights), weights=tuple(weights.values()))


def _int_uniform(key: str, form: _Tree) -> Parameter:
    for end in ("min", "max"):
        if not is_whole(form[end]):
            raise ConfigError(f"{key}.{end}={form[end]} must be a whole number, as distribution int_uniform has it")
    low, high = _range(key, form)
    return Parameter(low=low, high=high, whole=True)


def _uniform(key: str, form: _Tree) -> Parameter:
    low, high = _range(key, form)
    return _quantised(key, form, Parameter(low=low, high=high))


def _log_values(key: str, form: _Tree) -> Parameter:
    low, high = _range(key, form)
    if low <= 0:
        raise ConfigError(f"{key}: min must be less than max, and more than 0")
    return _quantised(key, form, Parameter(low=low, high=high, log=True))


def _log_exponents(key: str, form: _Tree) -> Parameter:
    """``inv_log_uniform`` is exp(-U) with U uniform: uniform in the logarithm, too, from exp(-max) to exp(-min)."""
    sign = -1 if str(form["distribution"]).startswith("inv_") else 1
    try:
        low, high = sorted(math.exp(sign * end) for end in _range(key, form))
    except OverflowError:
        raise ConfigError(f"{key}: min and max are exponents of e, and e to that power is no number") from None
    if low == 0 or low == high:
        raise ConfigError(f"{key}: min and max are exponents of e, and e to that power is 0")
    name = form["distribution"]
    tell_once(f"{key}: {name} takes exponents of e, here from {low:.4g} to {high:.4g}; {name}_values takes values")
    return _quantised(key, form, Parameter(low=low, high=high, log=True))


def _normal(key: str, form: _Tree) -> Parameter:
    name = str(form["distribution"]).removeprefix("q_")
    shape = Shape(name, number(f"{key}.mu", form.get("mu", 0.0)), number(f"{key}.sigma", form.get("sigma", 1.0)))
    if shape.second <= 0:
        raise ConfigError(f"{key}.sigma={shape.second:g} must be more than 0; value: gives a constant")
    return _shaped(key, form, shape)


def _beta(key: str, form: _Tree) -> Parameter:
    shape = Shape("beta", *(number(f"{key}.{name}", form.get(name, 1.0)) for name in ("a", "b")))
    if min(shape.first, shape.second) <= 0:
        raise ConfigError(f"{key}: a and b must be more than 0")
    return _shaped(key, form, shape)


def _shaped(key: str, form: _Tree, shape: Shape) -> Parameter:
    try:
        low, high = (shape.at(share) for share in shape.shares)
    except OverflowError:
        low = high = math.inf
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{key}: such a distribution has no numbers to draw from")
    return _quantised(key, form, Parameter(low=low, high=high, log=shape.name == "log_normal", shape=shape))


def _quantised(key: str, form: _Tree, parameter: Parameter) -> Parameter:
    """The same in steps of ``q``, where the distribution is one with such steps."""
    if not str(form.get("distribution", "")).startswith("q_"):
        return parameter
    step = number(f"{key}.q", form.get("q", 1.0))
    if step <= 0:
        raise ConfigError(f"{key}.q={step:g} must be more than 0")
    first, last = multiples(parameter.low, parameter.high, step)
    if first > last and parameter.shape is None:
        raise ConfigError(f"{key}: no multiple of q={step:g} lies between {parameter.low:g} and {parameter.high:g}")
    return replace(parameter, step=step)


def _range(key: str, form: _Tree) -> tuple[float, float]:
    low, high = (number(f"{key}.{end}", form[end]) for end in ("min", "max"))
    if not low < high:
        raise ConfigError(f"{key}: min must be less than max")
    return low, high


def _texts(key: str, form: _Tree) -> list[str]:
    values = form["values"]
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{key}.values must be a list of values")
    return [_text(key, value) for value in values]


def _text(key: str, value: Any) -> str:
    """A value as the right side of an override."""
    if is_pointless(value) or (isinstance(value, str) and _PLAIN.fullmatch(value)):
        return str(value)
    try:
        return written(value)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error


_ENDS, _STEPS = ("min", "max"), ("min", "max", "q")
# Distribution -> the keys that its form may have, those that it must have, and what reads it.
_FORMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[str, _Tree], Parameter]]] = {
    "constant": (("value",), ("value",), _constant),
    "categorical": (("values",), ("values",), _categorical),
    "categorical_w_probabilities": (("values", "probabilities"), ("values", "probabilities"), _weighted),
    "int_uniform": (_ENDS, _ENDS, _int_uniform),
    "uniform": (_ENDS, _ENDS, _uniform),
    "q_uniform": (_STEPS, _ENDS, _uniform),
    "log_uniform": (_ENDS, _ENDS, _log_exponents),
    "log_uniform_values": (_ENDS, _ENDS, _log_values),
    "q_log_uniform": (_STEPS, _ENDS, _log_exponents),
    "q_log_uniform_values": (_STEPS, _ENDS, _log_values),
    "inv_log_uniform": (_ENDS, _ENDS, _log_exponents),
    "inv_log_uniform_values": (_ENDS, _ENDS, _log_values),
    "normal": (("mu", "sigma"), (), _normal),
    "q_normal": (("mu", "sigma", "q"), (), _normal),
    "log_normal": (("mu", "sigma"), (), _normal),
    "q_log_normal": (("mu", "sigma", "q"), (), _normal),
    "beta": (("a", "b"), (), _beta),
    "q_beta": (("a", "b", "q"), (), _beta),
}
