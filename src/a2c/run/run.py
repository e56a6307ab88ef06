"""A run: its folder, its records, its checkpoints and what it shows. The loop only tells it how far training is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from a2c.envs.choosing.choose import Plan
from a2c.envs.spaces import Spaces
from a2c.errors import A2CError, CheckpointError
from a2c.learning.learner import Learner
from a2c.network.making import OwnNetwork
from a2c.run.callback import Callback
from a2c.run.checkpoints import Actors, Checkpoints
from a2c.run.due import Due
from a2c.run.evaluations import Evaluations
from a2c.run.evaluators import Evaluators, Plays
from a2c.run.numeric_dump import blame, dump, last_sound
from a2c.run.onlooker import Onlooker
from a2c.run.reports import Reports
from a2c.run.results import with_results
from a2c.run.rows import LEFT, WAITING_ROW, Row, known_until
from a2c.run.showing.console import Console
from a2c.run.state import TrainState
from a2c.run.stopping import GAVE_UP, StopRequest
from a2c.run.summary import Summary, start_facts, summarize
from a2c.run.timing.stopwatch import Stopwatch
from a2c.run.tracking.tracker import open_trackers
from a2c.settings.config import Config
from a2c.storage.folders import point_latest_to


class Run:
    """One run and everything around its loop.

    Args:
        cfg: the settings; ``cfg.resume`` names a run to continue.
        folder: the run folder, made if missing.
        stop: a signal sets it, and the run then ends in order.
        network: makes a network of the user's; None: ours, or that of ``network.make``.
        callback: of the user, for every report; None: there is none.
        evaluator: gives who plays evaluations in place, where that is not this process alone.

    Raises:
        ConfigError: ``stop_at=threshold``, and the environment has none.
        CheckpointError: the run to continue is missing or damaged.
        RunIOError: the folder cannot be written.
    """

    def __init__(
        self,
        cfg: Config,
        folder: Path,
        stop: StopRequest,
        network: OwnNetwork | None = None,
        callback: Callback | None = None,
        evaluator: Callable[[], Plays] | None = None,
    ) -> None:
        self.cfg, self.folder, self.stop, self._network = cfg, folder, stop, network
        self._checkpoints = Checkpoints(folder / "checkpoints", cfg, lambda line: self.console.note(line))
        self._resumed, self._saved = self._checkpoints.resumed, self._checkpoints.saved
        resumed = self._resumed or {}
        self._waiting, self._left = resumed.get(WAITING_ROW, {}), resumed.get(LEFT, {})
        self.console = Console(cfg)
        self._onlooker = Onlooker(cfg, folder, callback, self._checkpoints, self.console.note)
        continues_here = self._resumed is not None and (folder / "metrics.jsonl").exists()
        known = known_until(resumed, self._saved.env_steps) if continues_here else None
        note, show = self.console.note, self.console.evaluating
        self._evaluators = Evaluators(cfg, lambda: bool(stop), note, show, network, evaluator)
        try:
            self.trackers = open_trackers(folder, cfg, notify=note, saved=self._resumed, resume_from=known)
        except BaseException:
            self._evaluators.close()
            raise
        self._evaluations = Evaluations(
            self._evaluators, self._checkpoints, self._write, lambda: self._stopwatch.evaluation()
        )
        self._learner: Learner  # begin() sets these five
        self._actors: Actors
        self._stopwatch: Stopwatch
        self._due: Due
        self._reports: Reports
        self._closing = contextlib.ExitStack()

    @property
    def update(self) -> int:
        """Updates that the run had made before this session."""
        return self._saved.update

    @property
    def start(self) -> TrainState:
        """Where training starts: in the checkpoint to continue, if there is one."""
        return self._saved

    @property
    def evaluates(self) -> bool:
        """Whether there are evaluations."""
        return not self._evaluators.off

    @property
    def ended(self) -> bool:
        """Whether training is over before ``total_steps``, because of a score or a callback."""
        return self._checkpoints.ended is not None

    def begin(
        self, learner: Learner, actors: Actors, environments: Mapping[str, str], plan: Plan | None = None
    ) -> TrainState:
        """Show the start panel, load the checkpoint that ``resume`` names, and return where training starts.

        Args:
            learner: what the run saves and evaluates from here on.
            actors: what fills its rollouts.
            environments: lines of the start panel about what steps the environments.
            plan: what steps them, for the advice at the end; None where no setting could change it.

        Raises:
            CheckpointError: the checkpoint belongs to another environment or network.
            CallbackFailure: the callback could not take its state.
        """
        self._learner, self._actors = learner, actors
        self._checkpoints.open(learner, actors, self.trackers, self._onlooker.state_dict)
        self._onlooker.open(learner.model, actors, self._resumed)
        self.console.start(start_facts(self.cfg, learner, self.folder, environments))
        if self._resumed is not None:
            learner.model.spaces.check_same(Spaces.from_dict(self._resumed["spec"]), str(self.cfg.resume))
            try:
                learner.load_state_dict(self._resumed["learner"])
                came = actors.load_state_dict(self._resumed["collector"])
            except (RuntimeError, ValueError, KeyError, TypeError) as error:
                text = " ".join(str(error).split())
                raise CheckpointError(f"{self.cfg.resume} belongs to another setup: {text}") from error
            self.console.note(f"resumed after {self._saved.env_steps:,} steps; {came}")
        cfg = self.cfg
        self._due = Due(
            self._saved,
            cfg.total_steps,
            log_every=cfg.log_every,
            eval_every=cfg.eval.every,
            save_every=cfg.checkpoint.every,
            evaluates=not self._evaluators.off,
        )
        trace = self.folder / "trace.json.gz"
        self._stopwatch = Stopwatch(cfg, learner, actors.clock, plan, trace, self.console.note)
        self._closing.callback(self._stopwatch.close)
        self._reports = Reports(
            cfg,
            learner,
            actors,
            self._checkpoints,
            self._evaluations,
            self._onlooker,
            self._stopwatch,
            self._due,
        )
        self._evaluators.open(learner.model.spaces)
        point_latest_to(self.folder, Path(cfg.runs_dir))
        return self._saved

    def take_up(self) -> None:
        """Make the evaluation in which the last session ended, once the environments can be called.

        Raises:
            CallbackFailure: the callback raised.
        """
        if self._waiting or self._left:
            self._reports.make_again(self._saved, self._waiting, self._left, self.console.note)

    def over(self) -> bool:
        """Whether training is to end before ``total_steps``: a signal came, or the onlooker has seen enough."""
        return bool(self.stop) or self.ended

    def due(self, state: TrainState) -> bool:
        """Whether this update ends with a report. Also moves the progress bar, at next to no cost."""
        self._stopwatch.update_ended()
        self.console.progress(state.env_steps, self._reports.latest)
        return self._due.report(state)

    def tick(self, env_steps: int) -> bool:
        """Move the progress bar while workers learn; True when they should stop."""
        self.console.progress(env_steps, self._reports.latest)
        return bool(self.stop)

    def next_report(self, state: TrainState) -> int:
        """The env steps at which the next update ends with a report."""
        return self._due.next_report(state)

    def report(self, state: TrainState) -> None:
        """Log a row of metrics; evaluate and save where due; raises as :meth:`Reports.make`."""
        self._reports.make(state)

    def save(self, name: str, state: TrainState) -> None:
        """Write ``checkpoints/NAME.pt``, atomically, once no evaluation is under way; no report follows."""
        self._checkpoints.final = True
        self.settle()
        self._checkpoints.write(name, self._checkpoints.payload(state) | self._evaluations.left())

    def rescue(self, error: A2CError, state: TrainState) -> None:
        """After a failure of training, save the last sound state and, of a numeric one, what shows where it began."""
        blame(error, self._actors)
        sound = last_sound(error, self._learner, state)
        if sound is not None:
            self.save("last", sound)
            dump(error, self.cfg, self._learner, sound, self.folder)

    def give_up(self) -> None:
        """An environment did not answer in time after a signal: the run ends without the rollout that it was at."""
        self.console.note(GAVE_UP)

    def settle(self) -> None:
        """After a failure, wait for the evaluation under way, which is of sound weights, whatever comes of it."""
        with contextlib.suppress(A2CError):
            self._evaluations.receive(wait=True)

    def finish(self, state: TrainState) -> Summary:
        """Unless stopped, score the best checkpoint and draw the results; write summary.json, show the end panel."""
        self._checkpoints.final = True
        if not self.stop:
            self._evaluations.receive(wait=True)
        self._checkpoints.catch_up()
        if self.stop:
            self.save("last", state)
            also = "; an evaluation is left to the run that resumes it" if self._evaluations.left() else ""
            self.console.note(f"{self.stop.signal}: stopped after {state.env_steps:,} steps, checkpoint saved{also}")
        cfg, tally = self.cfg, self._checkpoints.tally
        ending = self._stopwatch.end(state.env_steps - self._saved.env_steps)
        device, wandb_id = self._learner.weights.device, self.trackers.state_dict()["wandb_id"]
        summary = summarize(
            cfg, state, tally, self.folder, ending, device=device, stopped=self.stop.signal, wandb_id=wandb_id
        )
        summary.write()  # before environments run again
        if not self.stop:
            summary = with_results(summary, self._evaluators, cfg, self.folder, self.console.note, self._network)
        summary.write()
        files = {"checkpoint": summary.best_checkpoint, "video": summary.gif}
        self.trackers.finish(asdict(summary), {name: Path(path) for name, path in files.items() if path})
        self.console.finish(asdict(summary))
        return summary

    def close(self, exit_code: int = 0) -> None:
        """End the profile, close environments and console, and end the records, if :meth:`finish` has not."""
        self._closing.close()
        with contextlib.suppress(A2CError):
            self._evaluations.break_off()
        self._evaluators.close()
        self.console.close()
        self.trackers.finish({}, {}, exit_code)

    def _write(self, row: Row, scores: Mapping[str, float]) -> None:
        metrics = {**row.metrics, **scores, **row.times}
        self.trackers.log(row.env_steps, metrics)
        if row.show:
            self.console.row(row.env_steps, metrics)
