"""A sweep: ask for values, train, tell the score, again and again, several at once if there is room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import optuna
from optuna.trial import Trial, TrialState

from a2c.errors import RunIOError
from a2c.run.stopping import handled
from a2c.sweeps.claims import Claim, choosing, claim
from a2c.sweeps.ending import Ending
from a2c.sweeps.halving import is_behind
from a2c.sweeps.search import ask, begun, best, histories, on_target, reopened, typed, unfinished
from a2c.sweeps.training import is_training
from a2c.sweeps.trial_runs import Plan, Report, TrialFailed, TrialPruned, TrialStopped, folders, run_trial, trial_name

Tell = Callable[[str], None]
POLL = 1.0  # seconds between looks at trials of others


@dataclass(slots=True)
class Outcome:
    """How a session of a sweep ended."""

    failed: list[int] = field(default_factory=list)  # exit codes of trials that failed
    ending: Ending = field(default_factory=Ending)

    @property
    def signal(self) -> str | None:
        """The signal that stopped it."""
        return self.ending.signal


@dataclass(frozen=True, slots=True)
class _Taken:
    trial: Trial
    claim: Claim


def search(study: optuna.Study, plan: Plan, tell: Tell) -> Outcome:
    """Bring a sweep to its end, or as far as it gets; trials that were begun and that nobody trains come first.

    Other processes may do the same at the same time; this returns once all trials have a result, theirs too.

    Args:
        study: from :func:`a2c.sweeps.search.open_study`.
        plan: what to do.
        tell: called with one line when a trial ends.

    Raises:
        RunIOError: the folder cannot be written; what was running is left for a later session.
    """
    outcome = Outcome(ending=Ending(plan.hours))
    ending, lock, ours = outcome.ending, threading.Lock(), set[int]()

    def next_trial() -> _Taken | None:
        waited = False
        while not ending():
            with lock, choosing(plan.folder):
                taken, elsewhere = _take(study, plan, ours)
                if taken is not None:
                    ours.add(taken.trial.number)
                    return taken
            if not elsewhere:
                return None
            if not waited:
                tell(f"waiting for {', '.join(map(trial_name, elsewhere))}, at work in another process")
            waited = True
            ending.wait(POLL)
        return None

    def work() -> None:
        try:
            while (taken := next_trial()) is not None:
                with taken.claim:
                    _do(study, taken.trial, plan, outcome, lock, tell)
        except BaseException:
            ending.abandon()
            raise

    with handled(ending.note), ThreadPoolExecutor(plan.jobs) as pool:
        jobs = [pool.submit(work) for _ in range(plan.jobs)]
        try:
            for job in jobs:
                job.result()
        except OSError as error:
            raise RunIOError(f"cannot write {error.filename or plan.folder}: {error.strerror or error}") from error
    return outcome


def _take(study: optuna.Study, plan: Plan, ours: set[int]) -> tuple[_Taken | None, list[int]]:
    """A trial for this process, or None; and the trials that others train.

    Args:
        ours: numbers of the trials that this session has, or had and was told to leave.
    """
    elsewhere = []
    for number in unfinished(study):
        if number in ours:
            continue
        claimed = claim(plan.folder, trial_name(number))
        if claimed is None:
            elsewhere.append(number)
        elif any(map(is_training, folders(plan, number))):  # the process that began it was killed, its training was not
            claimed.close()
            elsewhere.append(number)
        else:
            return _Taken(reopened(study, plan.sweep, plan.seed, number), claimed), elsewhere
    if begun(study) >= plan.trials or on_target(study, plan.sweep):
        return None, elsewhere
    trial = ask(study, plan.sweep, plan.seed)
    claimed = claim(plan.folder, trial_name(trial.number))
    if claimed is None:
        raise RunIOError(f"{plan.folder}: another process holds {trial_name(trial.number)}, which has just begun")
    return _Taken(trial, claimed), elsewhere


def _do(study: optuna.Study, trial: Trial, plan: Plan, outcome: Outcome, lock: threading.Lock, tell: Tell) -> None:
    """Train one trial and tell its result; one that is stopped stays open for a later session."""
    values = typed(trial)
    report = None if plan.sweep.halving is None else _reporter(study, trial, plan, lock)
    state, score = TrialState.COMPLETE, None
    try:
        score = run_trial(trial.number, values, plan, stop=outcome.ending, report=report)
        said = f"{score:.4g}"
    except TrialStopped:
        if not outcome.ending():
            tell(f"{trial_name(trial.number)} was stopped from outside; the same command goes on with it")
        return
    except TrialPruned:
        state, said = TrialState.PRUNED, "ended early"
    except TrialFailed as failure:
        if failure.code == RunIOError.exit_code:  # a full disk: every further trial would fail as well
            name = trial_name(trial.number)
            raise RunIOError(
                f"{name} cannot be written ({failure.said}); the same command goes on with it"
            ) from failure
        outcome.failed.append(failure.code)
        state, said = TrialState.FAIL, str(failure)
    with lock:
        study.tell(trial.number, score, state)
        leader = best(study)
    found = "" if leader is None else f" (best: {leader.value:.4g}, trial {leader.number})"
    told = " ".join(f"{name}={value}" for name, value in values.items())
    tell(f"trial {trial.number} of {plan.trials}: {told}: {said}{found}")


def _reporter(study: optuna.Study, trial: Trial, plan: Plan, lock: threading.Lock) -> Report:
    known = dict(study.get_trials(deepcopy=False)[trial.number].intermediate_values)  # of an earlier session
    halving, maximize = plan.sweep.halving, plan.sweep.maximize

    def report(step: int, score: float) -> bool:
        with lock:
            if step not in known:
                trial.report(score, step)
                known[step] = score
            history = [score for _, score in sorted(known.items())]
            return halving is not None and is_behind(history, histories(study), halving, maximize=maximize)

    return report
