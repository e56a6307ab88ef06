"""Which loop an algorithm is: AC, A2C and A3C differ in how many act together and in where the gradient goes."""

from __future__ import annotations

from pathlib import Path

from a2c import trainer
from a2c.config import Config
from a2c.hogwild import loop as hogwild
from a2c.summary import Summary


def train(cfg: Config, folder: Path) -> Summary:
    """Train an agent by ``cfg.algo``; see :func:`a2c.trainer.train` and :func:`a2c.hogwild.loop.train`."""
    loop = hogwild.train if cfg.algo == "a3c" else trainer.train
    return loop(cfg, folder)
