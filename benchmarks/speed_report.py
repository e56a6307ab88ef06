"""The speed results as a table on the terminal and as the README's chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.patches import Patch
from rich.console import Console
from rich.table import Table
from works import WAYS

from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, new_figure, save, tidy

COLUMNS = ("work", "ours", "SB3 (its fastest)", "ratio [spread]", "floor / aim", "envs alone", "env / act / update")
WIDTH = 150  # if there is no terminal


def show(results: dict[str, Any], console: Console | None = None) -> None:
    """Print the table and, below it, what was skipped and where the machine was busy."""
    table = Table(title="steps per second, learning included; medians", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "work" else "right")
    notes = []
    for name, row in results["rows"].items():
        table.add_row(*cells(name, row))
        if "skipped" in row:
            notes.append(f"{WAYS[name].title}: skipped: {row['skipped']}")
            continue
        for part, what in (("sb3", "Stable-Baselines3"), ("limit", "environments alone")):
            if "skipped" in row[part]:
                notes.append(f"{WAYS[name].title}: no figure of {what}: {row[part]['skipped']}")
        if busy := row.get("quiet", {}).get("busy_looks"):
            looks = len(row["quiet"]["looks"])
            notes.append(f"{WAYS[name].title}: the machine was busy before {busy} of {looks} rounds")
    wide = Console()
    console = console or (wide if wide.is_terminal else Console(width=WIDTH))
    console.print(table)
    for note in notes:
        console.print(note, style="yellow", markup=False, highlight=False)


def cells(name: str, row: dict[str, Any]) -> list[str]:
    """One row of the table; a dash where there is no figure."""
    title = WAYS[name].title
    if "ours" not in row:
        return [title, "skipped", *["-"] * (len(COLUMNS) - 2)]
    share = row["share"]
    sb3 = f"{rate(row['sb3'])} ({row['sb3']['choice']})" if "steps_per_second" in row["sb3"] else "-"
    return [
        title,
        rate(row["ours"]),
        sb3,
        _ratio(row),
        "-" if row["floor"] is None else f"{row['floor']:.1f} / {row['aim']:.1f}",
        rate(row["limit"]),
        " / ".join(f"{share[part]:.0%}" for part in ("env", "act", "update")),
    ]


def rate(speed: dict[str, Any]) -> str:
    """``824``, ``15.2k``, ``3.44M``; a dash where there is no figure."""
    if "steps_per_second" not in speed:
        return "-"
    value = speed["steps_per_second"]["median"]
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.0f}"


def _ratio(row: dict[str, Any]) -> str:
    if "ratio" not in row:
        return "-"
    ratio = row["ratio"]
    text = f"{ratio['median']:.2f} [{ratio['low']:.2f}-{ratio['high']:.2f}]"
    if row["floor"] is None:
        return text
    colour = "red" if ratio["median"] < row["floor"] else "yellow" if ratio["median"] < row["aim"] else "green"
    return f"[{colour}]{text.replace('[', chr(92) + '[')}[/{colour}]"


def draw(results: dict[str, Any], path: Path) -> Path:
    """Bars of the ratios with their spread; Stable-Baselines3 is 1.

    Raises:
        ValueError: no row has a ratio.
    """
    rows = {name: row for name, row in results["rows"].items() if "ratio" in row}
    if not rows:
        raise ValueError("there is no ratio to draw")
    figure = new_figure(8.4, 1.25 + 0.4 * len(rows))
    axes = figure.subplots()
    tidy(axes)
    places = range(len(rows))[::-1]
    for place, (name, row) in zip(places, rows.items(), strict=True):
        ratio = row["ratio"]
        axes.barh(place, ratio["median"], height=0.66, color=GREEN if "native" in name else BLUE)
        axes.hlines(place, ratio["low"], ratio["high"], color="black", linewidth=1.1)
        end = (ratio["high"], place)
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # behind words that meet the line
        near: dict[str, Any] = {"textcoords": "offset points", "va": "center", "bbox": behind}
        axes.annotate(f"{ratio['median']:.1f}×", end, (8, 0), fontsize=11, fontweight="bold", **near)
        speeds = f"{rate(row['ours'])} against {rate(row['sb3'])} steps/s"
        axes.annotate(speeds, end, (44, 0), fontsize=8.5, color=GREY, **near)
    axes.axvline(1, color=ORANGE, linewidth=1.6)
    widest = max(row["ratio"]["high"] for row in rows.values())
    axes.set_xlim(0, max(1.0, widest) * 1.5)  # room for the words
    axes.set_yticks(list(places), [WAYS[name].title for name in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"times as fast as Stable-Baselines3's A2C, learning included\n{_origin(rows)}", fontsize=9)
    meanings = [(BLUE, "a2c, Python environments"), (GREEN, "a2c, native environments"), (ORANGE, "Stable-Baselines3")]
    handles = [Patch(color=color, label=label) for color, label in meanings]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=9, frameon=False, handlelength=1.2)
    return save(figure, path)


def _origin(rows: dict[str, Any]) -> str:
    """The machine, and the number of rounds."""
    row = next(iter(rows.values()))
    machine = row["machine"]
    chip = machine["gpu"] if row["device"] == "cuda" else machine["cpu"]
    return f"{chip}, {machine['cores']} CPU cores; medians of {row['rounds']} interleaved rounds"
