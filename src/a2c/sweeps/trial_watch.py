"""How far the trials of a sweep are: what the search knows of them, and what their run folders say."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from a2c.errors import ConfigError
from a2c.run.comparing.past_run import finite, read_run
from a2c.storage.metrics_file import METRICS, last_row, read_rows
from a2c.sweeps.search import typed
from a2c.sweeps.training import last_line
from a2c.sweeps.trial_runs import Plan, folders

RUNNING, DONE, PRUNED, FAILED = "running", "done", "ended early", "failed"
_STATES = {TrialState.RUNNING: RUNNING, TrialState.COMPLETE: DONE, TrialState.PRUNED: PRUNED, TrialState.FAIL: FAILED}


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one trial is.

    Attributes:
        number: of the trial.
        values: its settings, as one types them.
        state: running, done, ended early or failed.
        score: of one that is done; of a running one its latest evaluation. None: there is none.
        steps: env steps of its runs so far, over all of its seeds.
        total: env steps that they shall have; 0: none has begun.
        said: what a failed one said last.
    """

    number: int
    values: dict[str, str]
    state: str
    score: float | None = None
    steps: int = 0
    total: int = 0
    said: str = ""

    @property
    def share(self) -> float:
        """How much of the trial is done, in [0, 1]."""
        if self.state != RUNNING:
            return 1.0
        return min(1.0, self.steps / self.total) if self.total else 0.0


class TrialWatch:
    """Looks at the trials of a sweep again and again; what has ended is read once.

    Args:
        study: of the sweep.
        plan: of this session.
    """

    def __init__(self, study: optuna.Study, plan: Plan) -> None:
        self._study, self._plan = study, plan
        self._ended: dict[int, Standing] = {}
        self._totals: dict[Path, int] = {}

    def __call__(self) -> list[Standing]:
        """Every trial that has begun, by number."""
        trials = self._study.get_trials(deepcopy=False)
        return [self._standing(trial) for trial in trials if trial.state is not TrialState.WAITING]

    def _standing(self, trial: FrozenTrial) -> Standing:
        if trial.number in self._ended:
            return self._ended[trial.number]
        runs, state = folders(self._plan, trial.number), _STATES[trial.state]
        score = _latest(runs, self._plan.sweep.metric) if state == RUNNING else trial.value
        found = Standing(
            number=trial.number,
            values=typed(trial),
            state=state,
            score=score if state in (RUNNING, DONE) else None,
            steps=sum(map(_steps, runs)),
            total=len(runs) * max(map(self._total, runs)),
            said=_said(runs) if state == FAILED else "",
        )
        if state != RUNNING:
            self._ended[trial.number] = found
        return found

    def _total(self, run: Path) -> int:
        """Env steps of a run when it is finished; 0: it has not begun."""
        if run not in self._totals:
            try:
                self._totals[run] = read_run(run).config.total_steps
            except ConfigError:  # or its files are being written
                return 0
        return self._totals[run]


def _steps(run: Path) -> int:
    """Env steps that a run has written down."""
    with contextlib.suppress(OSError):
        return int(finite((last_row(run / METRICS) or {}).get("global_step")) or 0)
    return 0


def _latest(runs: list[Path], metric: str) -> float | None:
    """The latest evaluation of the newest run that has one."""
    for run in reversed(runs):
        with contextlib.suppress(OSError):
            for row in reversed(read_rows(run / METRICS)):
                if (score := finite(row.get(metric))) is not None:
                    return score
    return None


def _said(runs: list[Path]) -> str:
    """The last line of the newest log."""
    with contextlib.suppress(OSError):
        logs = [run for run in runs if run.with_suffix(".log").is_file()]
        return last_line(logs[-1]) if logs else ""
    return ""
