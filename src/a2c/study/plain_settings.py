"""Plain A2C for the study's own environments: the article's claims are about it, not about defaults that we find."""

from __future__ import annotations

from a2c.settings.auto_values import PAPER
from a2c.settings.overrides import written

PLAIN_A2C = tuple(f"{key}={written(value)}" for key, value in PAPER.items())  # what follows them overrides them
