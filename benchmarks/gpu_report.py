"""The main figures of each part of ``gpu.py`` in a few lines; its JSON file has all of them."""

from __future__ import annotations

from typing import Any

Result = dict[str, Any]
KINDS = ("workers", "native")  # of vector environment for Pong


def summary(found: Result) -> str:
    """The main figures of a part."""
    if "table" in found:
        return "\n".join(["", *found["table"]])
    parts: dict[str, Result] = {kind: found[kind] for kind in SHOWN_APART if kind in found} or {"": found}
    lines = [f"  {kind} {_figures(part)}".rstrip() for kind, part in parts.items()]
    lines += [f"  asked for: {found[floors]}" for floors in found if floors.startswith("floors")]
    return "\n".join(["", *lines])


def _figures(part: Result) -> str:
    kept = {key: value for key, value in part.items() if key in SHOWN and value}
    if "steps_per_second" in kept:
        kept["steps_per_second"] = {kind: round(found["median"]) for kind, found in kept["steps_per_second"].items()}
    if "of_random" in kept:
        kept["of_random"] = round(kept["of_random"]["median"], 3)
    if "ratio" in kept:
        kept["ratio"] = {change: round(found["median"], 3) for change, found in kept["ratio"].items()}
    return ", ".join(f"{key} {value}" for key, value in kept.items())


SHOWN_APART = (*KINDS, "host", "device", "pong", "device-cartpole")
SHOWN = (
    "tests", "steps_per_second", "of_random", "ratio", "failed", "per_step", "per_rollout", "per_update", "reached",
    "seconds", "env_steps",
)  # fmt: skip
