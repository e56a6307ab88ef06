"""Runs that differ only in their seed are one group; what else differs names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from a2c.run.comparing.past_run import FINISHED, PastRun
from a2c.settings.redaction import leaf_settings, redact
from a2c.settings.typed_settings import show

# Seeds are what a group is made over. The rest names, shows or keeps a run, and trains it no differently.
ASIDE = {"seed", "name", "runs_dir", "resume", "gif", "profile", "log_every"}
ASIDE_GROUPS = ("wandb.", "checkpoint.")
ENV = "env.id"


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of the same settings.

    Attributes:
        env_id: their environment.
        settings: what distinguishes them from other groups of this comparison, as one types it; in all groups the same
            keys, in the order of the settings.
        label: the same in a line, without what is equal in all groups of this environment.
        runs: one for each seed, or more.
    """

    env_id: str
    settings: dict[str, str]
    label: str
    runs: list[PastRun]

    @property
    def counted(self) -> list[PastRun]:
        """The runs that figures are of: those that are finished or, where none is, all."""
        return [run for run in self.runs if run.state == FINISHED] or self.runs


def grouped(runs: Sequence[PastRun]) -> list[Group]:
    """The groups, in the order in which their first runs come; environments stay together.

    Settings are compared within each environment: those of two presets differ in most, and that says nothing.
    """
    told = [_told(run) for run in runs]
    of_env: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        of_env.setdefault(run.config.env.id, []).append(place)
    differing = {env: _differing([told[place] for place in places]) for env, places in of_env.items()}
    order = list(dict.fromkeys(key for settings in told for key in settings))
    keys = [key for key in order if any(key in those for those in differing.values())]
    groups: list[Group] = []
    for env, places in of_env.items():
        members: dict[tuple[str, ...], list[int]] = {}
        for place in places:
            members.setdefault(tuple(told[place].get(key, "") for key in keys), []).append(place)
        for values, those in members.items():
            settings = dict(zip(keys, values, strict=True))
            label = ", ".join(f"{key}={value or 'unset'}" for key, value in settings.items() if key in differing[env])
            groups.append(Group(env, settings, label, [runs[place] for place in those]))
    return groups


def shown(value: Any) -> str:
    """A setting as one types it, without quotes; what no terminal shows becomes ``?``."""
    text = value if isinstance(value, str) else show(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _told(run: PastRun) -> dict[str, str]:
    leaves = leaf_settings(redact(asdict(run.config)))
    return {key: shown(value) for key, value in leaves if _matters(key)}


def _matters(key: str) -> bool:
    return key != ENV and key not in ASIDE and not key.startswith(ASIDE_GROUPS)


def _differing(told: Sequence[dict[str, str]]) -> set[str]:
    keys = {key for settings in told for key in settings}
    return {key for key in keys if len({settings.get(key) for settings in told}) > 1}
