"""After a search: what it found, trained again on seeds that no trial used, beside the settings without it.

The best of many trials owes some of its score to luck: on the seeds that chose it, not on fresh ones.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from a2c.errors import ConfigError, RunIOError
from a2c.run.showing.figures import NOTHING, aligned
from a2c.run.statistics import bootstrap_interval, iqm
from a2c.run.stopping import handled
from a2c.settings.compose import load_config
from a2c.storage.atomic import write_text
from a2c.sweeps.claims import Claim, claim
from a2c.sweeps.confirmed import CONFIRMED
from a2c.sweeps.ending import Ending
from a2c.sweeps.search import best, typed
from a2c.sweeps.training import is_training
from a2c.sweeps.trial_runs import Plan, TrialFailed, TrialStopped, score_of, trial_name

FIRST_SEED = 101  # far from those of trials, which count from 1
POLL = 1.0  # seconds between looks at runs of others
_SEED = "seed"


@dataclass(frozen=True, slots=True)
class Group:
    """The same settings on several seeds.

    Attributes:
        name: of its run folders, before the seed.
        trial: whose values they are; None: the settings that all runs share, without any.
        settings: overrides, all but the seed.
        scores: by seed; None where a run has none.
    """

    name: str
    trial: int | None
    settings: tuple[str, ...]
    scores: dict[int, float | None] = field(default_factory=dict)

    @property
    def reached(self) -> list[float]:
        """The scores that there are."""
        return [score for score in self.scores.values() if score is not None]

    @property
    def middle(self) -> float | None:
        """Their interquartile mean."""
        return iqm(self.reached) if self.reached else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the bootstrap; a single run has none."""
        return bootstrap_interval(self.reached) if len(self.reached) > 1 else None


@dataclass(slots=True)
class Confirmed:
    """What fresh seeds say.

    Attributes:
        metric: that scores are of.
        maximize: whether more is better.
        groups: what was found, and then what it is to be held against.
        failed: exit codes of runs that failed.
        ending: how urgently it was to end; its signal, if one stopped it.
    """

    metric: str
    maximize: bool
    groups: list[Group]
    failed: list[int] = field(default_factory=list)
    ending: Ending = field(default_factory=Ending)


def confirm(study: optuna.Study, plan: Plan, count: int, tell: Callable[[str], None]) -> Confirmed | None:
    """Train the best settings and, beside them, those without the sweep's values, each on fresh seeds.

    Runs that are finished are not trained again. What it finds is in ``confirmed.json``, too.

    Args:
        study: its search is over.
        plan: of the sweep.
        count: seeds of each.
        tell: called with one line when a run ends.

    Returns:
        None: no trial has a score, so that there is nothing to confirm.

    Raises:
        RunIOError: the folder cannot be written.
    """
    leader = best(study)
    if leader is None:
        return None
    seeds = fresh_seeds(study, plan, count)
    found = Confirmed(plan.sweep.metric, plan.sweep.maximize, _groups(typed(leader), leader.number, plan, tell))
    left = [(group, seed) for seed in seeds for group in found.groups]
    for group, seed in left:
        group.scores[seed] = None
    lock = threading.Lock()

    def work() -> None:
        try:
            while (taken := _next(left, plan.folder, lock, found.ending)) is not None:
                group, seed, claimed = taken
                with claimed:
                    _train(group, seed, plan, found, tell)
        except BaseException:
            found.ending.abandon()
            raise

    with handled(found.ending.note), ThreadPoolExecutor(plan.jobs) as pool:
        for job in [pool.submit(work) for _ in range(plan.jobs)]:
            job.result()
    try:
        write_text(plan.folder / CONFIRMED, json.dumps(_as_data(found, seeds), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise RunIOError(f"cannot write {plan.folder / CONFIRMED}: {error.strerror or error}") from error
    return found


def fresh_seeds(study: optuna.Study, plan: Plan, count: int) -> list[int]:
    """The least seeds from 101 on that no trial has used."""
    seeds = (typed(trial).get(_SEED) for trial in study.get_trials(deepcopy=False))
    used = {int(float(seed)) for seed in seeds if seed is not None}
    if _SEED not in plan.sweep.parameters:
        used |= set(range(1, plan.seeds + 1)) if plan.seeds > 1 else {_shared_seed(plan)}
    return list(itertools.islice((seed for seed in itertools.count(FIRST_SEED) if seed not in used), count))


def lines_of(found: Confirmed) -> list[str]:
    """A table: of each group the interquartile mean over its seeds and the 95 % interval of the bootstrap."""
    seeds = list(found.groups[0].scores)
    lines = [["on fresh seeds", "runs", found.metric, "95 % interval"]]
    for group in found.groups:
        name = "without the sweep's values" if group.trial is None else f"trial {group.trial}"
        runs = f"{len(group.reached)} of {len(seeds)}"
        middle, interval = group.middle, group.interval
        ends = NOTHING if interval is None else f"{interval[0]:.4g} .. {interval[1]:.4g}"
        lines.append([name, runs, NOTHING if middle is None else f"{middle:.4g}", ends])
    named = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    return [f"interquartile mean over {named}, which no trial used:", *aligned(lines, words=1)]


def _shared_seed(plan: Plan) -> int:
    try:
        return load_config(*plan.sweep.overrides).seed
    except ConfigError:  # without the sweep's values they make no run; then nothing of them has trained either
        return 1


def _groups(values: dict[str, str], number: int, plan: Plan, tell: Callable[[str], None]) -> list[Group]:
    shared = plan.sweep.overrides
    own = tuple(f"{name}={text}" for name, text in values.items() if name != _SEED)
    groups = [Group(f"confirm-{trial_name(number)}", number, (*shared, *own))]
    try:
        load_config(*shared)
    except ConfigError as error:
        tell(f"nothing to compare with: the settings without the sweep's values make no run ({error})")
        return groups
    return [*groups, Group("confirm-without", None, shared)] if own else groups


def _next(
    left: list[tuple[Group, int]], folder: Path, lock: threading.Lock, ending: Ending
) -> tuple[Group, int, Claim] | None:
    """The next run that nobody else trains, claimed; None: none is left."""
    while not ending():
        with lock:
            for place, (group, seed) in enumerate(left):
                run = _folder(folder, group, seed)
                claimed = claim(folder, run.name)
                if claimed is not None and not is_training(run):
                    del left[place]
                    return group, seed, claimed
                if claimed is not None:
                    claimed.close()
            if not left:
                return None
        ending.wait(POLL)
    return None


def _train(group: Group, seed: int, plan: Plan, found: Confirmed, tell: Callable[[str], None]) -> None:
    run = _folder(plan.folder, group, seed)
    try:
        score = score_of(run, [*group.settings, f"{_SEED}={seed}"], plan.sweep.metric, stop=found.ending)
    except TrialStopped:
        return
    except TrialFailed as failure:
        if failure.code == RunIOError.exit_code:
            raise RunIOError(f"{run.name} cannot be written ({failure.said})") from failure
        found.failed.append(failure.code)
        tell(f"{run.name}: {failure}")
        return
    group.scores[seed] = score
    tell(f"{run.name}: {score:.4g}")


def _folder(folder: Path, group: Group, seed: int) -> Path:
    return folder / f"{group.name}-seed{seed}"


def _as_data(found: Confirmed, seeds: list[int]) -> dict[str, Any]:
    return {
        "metric": found.metric,
        "goal": "maximize" if found.maximize else "minimize",
        "seeds": seeds,
        "groups": [
            {
                "name": group.name,
                "trial": group.trial,
                "settings": list(group.settings),
                "scores": [group.scores[seed] for seed in seeds],
                "iqm": group.middle,
                "interval": group.interval,
            }
            for group in found.groups
        ],
    }
