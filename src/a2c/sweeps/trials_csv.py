"""All trials of a sweep as CSV: small enough to keep in a repository, and any program reads it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import optuna
from optuna.trial import TrialState

from a2c.storage.atomic import write_text
from a2c.sweeps.search import typed
from a2c.sweeps.sweep_file import Sweep
from a2c.sweeps.sweep_report import STATES


def write_trials(study: optuna.Study, sweep: Sweep, folder: Path) -> Path:
    """Write ``trials.csv`` into the folder: a line for each trial in the order of the search; returns its path.

    Columns are the trial's number and state, its score, in full precision and empty where there is none, and a value
    for each setting, as one types it. Trials that have not ended are left out.

    Raises:
        OSError: it cannot be written.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", "state", sweep.metric, *sweep.parameters])
    for trial in study.get_trials(deepcopy=False):
        if not trial.state.is_finished():
            continue
        typed_in = typed(trial)
        values = [typed_in.get(name, "") for name in sweep.parameters]
        score = "" if trial.state is not TrialState.COMPLETE else trial.value
        writer.writerow([trial.number, STATES.get(trial.state, "done"), score, *values])
    return write_text(folder / "trials.csv", file.getvalue())
