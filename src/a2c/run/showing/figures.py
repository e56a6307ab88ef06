"""Numbers, times, tables and paths as people read and type them. Nothing here waits for torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOTHING = "-"  # in a table


def duration(seconds: float) -> str:
    """Seconds as ``7s``, ``3m07s`` or ``2h05m``: at most six characters below 100 hours."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def number(value: Any, digits: int = 1) -> str:
    """A number for people: thousands separated, no decimals from 1000 on, ``-`` for None or what is not finite."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.{0 if abs(value) >= 1000 else digits}f}"


def spread(mean: Any, std: Any) -> str:
    """A mean and its standard deviation: ``475.2 ±12.1``."""
    return number(mean) if number(std) == "-" else f"{number(mean)} ±{number(std)}"


def age(seconds: float) -> str:
    """How long ago, in its largest unit: ``7s``, ``12m``, ``5h``, ``3d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def aligned(lines: Sequence[Sequence[str]], words: int) -> list[str]:
    """Cells in columns, the first ``words`` of them to the left, the others to the right; the first line is a head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = [str.ljust if place < words else str.rjust for place in range(len(widths))]
    rows = [
        "  ".join(side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)) for line in lines
    ]
    rule = "-" * len(rows[0])
    return [rule, rows[0].rstrip(), rule, *(row.rstrip() for row in rows[1:]), rule]


def relative(path: Path) -> str:
    """The path as one types it here: relative if it is inside the working folder.

    Where the working folder is a run's own (``hydra.job.chdir=true``), nobody types anything here: the whole path.
    """
    absolute, here = Path(path).absolute(), Path.cwd()
    if (here / ".hydra" / "config.yaml").is_file() or not absolute.is_relative_to(here):
        return str(absolute)
    return str(absolute.relative_to(here))
