"""What must be learned: every task of learning.py, by the table that it stands in.

To add one, add an entry; ``make bench-learning ARGS="--tasks NAME"`` trains it and draws its table again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A score to compare with: what others publish, or what the best policy gets."""

    mean: float
    of: str  # whose, or after how many steps
    std: float | None = None  # None: a single number

    def __str__(self) -> str:
        return f"{self.mean:g}{'' if self.std is None else f' ± {self.std:g}'} ({self.of})"


@dataclass(frozen=True, slots=True)
class Task:
    """What to train, and what `needed` of the seeds must reach."""

    overrides: tuple[str, ...]  # of `a2c train`
    floor: float  # of the final score
    aim: float  # what we hope for
    seeds: range = range(5)
    needed: int = 4
    episodes: int = 20  # of the final score
    digits: int = 1  # of scores in the table
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Tasks with one table, one picture and one file of results; the names of tasks differ in all of them."""

    tasks: Mapping[str, Task]
    known: str  # the heading of `Task.known`
    curve: str  # the name of its line in the picture
    more: bool  # columns for aim, steps to the floor and episodes


PRESETS = {
    "cartpole": Task(("env=cartpole",), 475, 500, range(10), 10, known=Known(500, "0.5M", 0)),
    "cartpole ac": Task(("env=cartpole", "algo=ac"), 475, 500, known=Known(500, "0.5M", 0)),
    "cartpole a3c": Task(
        ("env=cartpole", "algo=a3c", "num_workers=4"), 475, 500, needed=5, known=Known(500, "0.5M", 0)
    ),
    "acrobot": Task(("env=acrobot",), -100, -83, known=Known(-83.4, "0.5M", 17)),
    "mountaincar": Task(("env=mountaincar",), -130, -111, known=Known(-111.3, "1M", 24)),
    "pendulum": Task(("env=pendulum",), -250, -163, known=Known(-163, "1M", 103)),
    "lunarlander": Task(("env=lunarlander",), 100, 200, known=Known(155.8, "0.2M, v2", 80)),
}

SPACES: dict[str, Task] = {}

TABLES = {
    "learning": Table(PRESETS, known="RL Zoo A2C (steps)", curve="RL Zoo", more=False),
    "learning_spaces": Table(SPACES, known="best known", curve="best known", more=True),
}
TASKS = {name: task for table in TABLES.values() for name, task in table.tasks.items()}
