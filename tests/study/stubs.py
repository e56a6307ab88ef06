"""Claims that measure nothing, and the settings of a study of a moment."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from a2c.run.showing.style import new_figure
from a2c.settings.compose import compose_plain
from a2c.settings.typed_settings import build
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.settings import StudySettings


def settings(folder: Path, **changes: Any) -> StudySettings:
    """The values of ``conf/study.yaml``, tiny and in this process."""
    tree = compose_plain("study", [])
    tree.pop("measure")  # of the command
    return dataclasses.replace(build(StudySettings, tree), **{"seeds": 2, "jobs": 1, "folder": str(folder)} | changes)


def stub(key: str, **changes: Any) -> Claim:
    """A claim that "measures" its scale and is supported from 1 on."""

    def measure(settings: StudySettings) -> Data:
        return {"scale": settings.scale, "seeds": settings.all_seeds()}

    def judge(data: Data) -> Judgement:
        verdict = Verdict.SUPPORTED if data["scale"] >= 1 else Verdict.NOT_SUPPORTED
        numbers = [Number("scale", data["scale"]), Number("with an interval", -0.5, -1.25, 0.25)]
        return Judgement(verdict, "Supported if the scale is 1 or more.", numbers)

    def draw(data: Data) -> Figure:
        figure = new_figure(1.0, 0.5)
        figure.subplots().bar([0], [data["scale"]])
        return figure

    claim = Claim(
        key=key,
        title=f"The title of {key}",
        says=f"What {key} says.",
        formula="G_t = Σ_k γ^k r_{t+k}",
        method="First paragraph.\n\nSecond paragraph.",
        code=("a2c/maths/returns.py: lambda_returns",),
        measure=measure,
        judge=judge,
        draw=draw,
    )
    return dataclasses.replace(claim, **changes)
