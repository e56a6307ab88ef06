"""Early stopping as W&B's ``early_terminate: {type: hyperband}`` does it, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a2c.errors import ConfigError
from a2c.sweeps.yaml_values import known, mapping, number, whole

_MOST_BANDS = 100


@dataclass(frozen=True, slots=True)
class Halving:
    """At these numbers of evaluations the worst runs end: all but about one of ``eta``.

    Attributes:
        bands: rising numbers of evaluations.
        eta: more than 1.
        strict: the score at the band decides; otherwise the best so far does, and fewer runs end.
    """

    bands: tuple[int, ...]
    eta: float
    strict: bool = True


def halving_of(value: Any) -> Halving | None:
    """What ``early_terminate`` says; None: nothing.

        min_iter:     bands at  min_iter * eta^k,   k = 0, 1, ...
        max_iter, s:  bands at  max_iter / eta^k,   k = 1, ..., s, those below 1 left out

    Raises:
        ConfigError: it is no hyperband, or has no bands.
    """
    if value is None:
        return None
    tree = mapping("early_terminate", value)
    known("early_terminate.", tree, ("type", "min_iter", "max_iter", "s", "eta", "strict"))
    if tree.get("type") != "hyperband":
        raise ConfigError(f"early_terminate.type={tree.get('type')} must be hyperband")
    eta = number("early_terminate.eta", tree.get("eta", 3))
    if eta <= 1:
        raise ConfigError(f"early_terminate.eta={eta:g} must be more than 1")
    strict = tree.get("strict", True)
    if not isinstance(strict, bool):
        raise ConfigError(f"early_terminate.strict={strict} must be true or false")
    return Halving(_bands(tree, eta), eta, strict)


def is_behind(history: Sequence[float], others: Sequence[Sequence[float]], halving: Halving, *, maximize: bool) -> bool:
    """Whether a run is to end: at the last band that it has come to, its score is worse than the threshold.

    Of the n scores at a band, sorted from the best, the threshold is that with the index floor(n / eta).

    Args:
        history: its evaluations so far, the oldest first.
        others: those of every run of the sweep, its own among them.
        halving: the rule.
        maximize: whether more is better.

    Source: ``hyperband_stop_runs`` of W&B's package ``sweeps``.
    """
    sign = -1.0 if maximize else 1.0
    band = max((band for band in halving.bands if band <= len(history)), default=None)
    if band is None:
        return False
    at_band = sorted(sign * other[band - 1] for other in others if len(other) >= band)
    threshold = at_band[int(len(at_band) / halving.eta)]
    costs = [sign * score for score in history]
    return (costs[band - 1] if halving.strict else min(costs)) > threshold


def _bands(tree: Mapping[str, Any], eta: float) -> tuple[int, ...]:
    if "max_iter" in tree:
        last, times = (whole(f"early_terminate.{key}", tree.get(key)) for key in ("max_iter", "s"))
        found = [last / eta**k for k in range(1, min(times, _MOST_BANDS) + 1)]
    elif "min_iter" in tree:
        first = whole("early_terminate.min_iter", tree["min_iter"])
        found = [first * eta**k for k in range(_MOST_BANDS)]
    else:
        raise ConfigError("early_terminate needs min_iter, or max_iter and s")
    bands = tuple(sorted({int(band) for band in found if 1 <= band < 1e12}))
    if not bands:
        raise ConfigError("early_terminate: no band is left; a greater max_iter, or a smaller eta, has some")
    return bands
