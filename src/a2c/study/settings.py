"""The size of the study."""

from __future__ import annotations

from dataclasses import dataclass

from a2c.settings.setting import setting


@dataclass(slots=True)
class StudySettings:
    """What to measure, and how much of it; the values are in ``conf/study.yaml``."""

    claims: list[str] = setting("keys of the claims to measure; [] measures all")
    seeds: int = setting("runs of everything that is trained", low=2)
    scale: float = setting("multiplies every number of steps and samples", low=0, open_low=True)
    seed: int = setting("the first seed; 0 is a seed", low=0, high=2**31 - 1)
    jobs: int | None = setting("processes that measure side by side; null: one per usable core", low=1)
    folder: str = setting("where results, figures and report.html go", pattern=r"[^\0\n]+", says="a path")

    def steps(self, count: int) -> int:
        """``count`` at scale 1; at least 1."""
        return max(1, round(count * self.scale))

    def all_seeds(self) -> list[int]:
        """The seeds of all repetitions."""
        return list(range(self.seed, self.seed + self.seeds))
