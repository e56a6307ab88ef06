"""A sweep: ask for values, train, tell the score, again and again, several at once if there is room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import optuna
from optuna.trial import Trial, TrialState

from a2c.run.stopping import handled
from a2c.storage.run_lock import is_held
from a2c.sweeps.search import ask, begun, best, typed, unfinished
from a2c.sweeps.trial_runs import Plan, Report, TrialFailed, TrialPruned, TrialStopped, folders, run_trial

Tell = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """How a sweep ended."""

    failed: list[int] = field(default_factory=list)  # exit codes of trials that failed
    signal: str | None = None  # that stopped it
    ending: threading.Event = field(default_factory=threading.Event)  # no new trial, and those that run end


def search(study: optuna.Study, plan: Plan, tell: Tell) -> Outcome:
    """Bring a sweep to its end, or as far as it gets; trials that an earlier session left open come first.

    Args:
        study: from :func:`a2c.sweeps.search.open_study`.
        plan: what to do.
        tell: called with one line when a trial ends.

    Raises:
        RunIOError: the folder cannot be written.
    """
    outcome, lock = Outcome(), threading.Lock()
    open_trials = unfinished(study, plan.sweep, plan.seed)
    left = [trial for trial in open_trials if not any(map(is_held, folders(plan, trial.number)))]

    def next_trial() -> Trial | None:
        with lock:
            if outcome.ending.is_set():
                return None
            if left:
                return left.pop(0)
            return ask(study, plan.sweep, plan.seed) if begun(study) < plan.trials else None

    def work() -> None:
        try:
            while (trial := next_trial()) is not None:
                _do(study, trial, plan, outcome, lock, tell)
        except BaseException:
            outcome.ending.set()
            raise

    def note(name: str) -> None:  # the trainings then end in order
        outcome.signal = outcome.signal or name
        outcome.ending.set()

    with handled(note), ThreadPoolExecutor(plan.jobs) as pool:
        for job in [pool.submit(work) for _ in range(plan.jobs)]:
            job.result()
    return outcome


def _do(study: optuna.Study, trial: Trial, plan: Plan, outcome: Outcome, lock: threading.Lock, tell: Tell) -> None:
    """Train one trial and tell its result; one that is stopped stays open for the next session."""
    values = typed(trial)
    report = None if plan.sweep.halving is None else _reporter(study, trial, lock)
    state, score = TrialState.COMPLETE, None
    try:
        score = run_trial(trial.number, values, plan, stop=outcome.ending.is_set, report=report)
        said = f"{score:.4g}"
    except TrialStopped:
        return
    except TrialPruned:
        state, said = TrialState.PRUNED, "ended early"
    except TrialFailed as failure:
        outcome.failed.append(failure.code)
        state, said = TrialState.FAIL, str(failure)
    with lock:
        study.tell(trial.number, score, state)
        leader = best(study)
    found = "" if leader is None else f" (best: {leader.value:.4g}, trial {leader.number})"
    told = " ".join(f"{name}={value}" for name, value in values.items())
    tell(f"trial {trial.number} of {plan.trials}: {told}: {said}{found}")


def _reporter(study: optuna.Study, trial: Trial, lock: threading.Lock) -> Report:
    known = set(study.get_trials(deepcopy=False)[trial.number].intermediate_values)  # of an earlier session

    def report(step: int, score: float) -> bool:
        with lock:
            if step not in known:
                trial.report(score, step)
            return bool(trial.should_prune())

    return report
