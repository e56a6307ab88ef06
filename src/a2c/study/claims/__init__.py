"""The claims: one module each, which ends in ``CLAIM = Claim(...)`` and is imported only when asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a2c.study.claim import Claim

# Keys, which are also names of modules in this folder, in the order of the report.
CLAIMS = ("n_step", "decorrelation", "coverage", "batch_gradient", "lag", "algorithms", "entropy", "replay")


def load(key: str) -> Claim:
    """The claim called ``key``, one of ``CLAIMS``."""
    claim: Claim = importlib.import_module(f"a2c.study.claims.{key}").CLAIM
    return claim
