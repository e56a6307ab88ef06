"""A run: its folder, its records, its checkpoints and what it shows. The loop only tells it how far training is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from a2c.envs.choosing.choose import Plan
from a2c.envs.spaces import Spaces
from a2c.errors import CheckpointError, NumericError, RunIOError
from a2c.learning.learner import Learner
from a2c.machine.clock import Clock
from a2c.playing.evaluation import Evaluator, eval_seeds
from a2c.playing.policy import Policy, load_policy
from a2c.run.progress import Progress
from a2c.run.results import draw_results
from a2c.run.resuming import best_score
from a2c.run.showing.console import Console
from a2c.run.state import Tally, TrainState
from a2c.run.stopping import StopRequest, stop_on_signals
from a2c.run.summary import Summary, start_facts, summarize
from a2c.run.timing.stopwatch import Stopwatch
from a2c.run.tracking.tracker import open_trackers
from a2c.settings.config import Config
from a2c.storage.checkpoint import checkpoint_payload, find_checkpoint, load_checkpoint, save_checkpoint
from a2c.storage.folders import point_latest_to


class Actors(Protocol):
    """What a run needs from whoever acts: a collector or a team of workers."""

    episode_count: int

    @property
    def clock(self) -> Clock: ...
    def metrics(self) -> dict[str, Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Run:
    """One run and everything around its loop.

    Args:
        cfg: the settings; ``cfg.resume`` names a run to continue.
        folder: the run folder, made if missing.
        stop: a signal sets it, and the run then ends in order.

    Raises:
        CheckpointError: the run to continue is missing or damaged.
        RunIOError: the folder cannot be written.
    """

    def __init__(self, cfg: Config, folder: Path, stop: StopRequest) -> None:
        self.cfg, self.folder, self.stop = cfg, folder, stop
        self.checkpoints = folder / "checkpoints"
        self._resumed = load_checkpoint(find_checkpoint(cfg.resume, cfg.runs_dir, "last")) if cfg.resume else None
        self._saved, self._tally = _restored({} if self._resumed is None else self._resumed["state"])
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunIOError(f"cannot write the run folder {folder}: {error.strerror or error}") from error
        self._tally = replace(self._tally, best_eval=best_score(self.checkpoints) if cfg.resume else None)
        self.console = Console(cfg)
        continues_here = self._resumed is not None and (folder / "metrics.jsonl").exists()
        self.trackers = open_trackers(
            folder,
            cfg,
            notify=self.console.note,
            saved=self._resumed,
            resume_from=self._saved.env_steps if continues_here else None,
        )
        self._evaluator = Evaluator(cfg.env, max(cfg.eval.episodes, cfg.eval.final_episodes))
        self._started = time.perf_counter() - self._tally.wall_time
        self._learner: Learner  # begin() sets these four
        self._actors: Actors
        self._stopwatch: Stopwatch
        self._progress: Progress
        self._closing = contextlib.ExitStack()
        self._metrics: dict[str, Any] = {}  # of the last row

    @property
    def update(self) -> int:
        """Updates that the run had made before this session."""
        return self._saved.update

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
        """
        self._learner, self._actors = learner, actors
        self.console.start(start_facts(self.cfg, learner, self.folder, environments))
        if self._resumed is not None:
            learner.model.spaces.check_same(Spaces.from_dict(self._resumed["spec"]), str(self.cfg.resume))
            try:
                learner.load_state_dict(self._resumed["learner"])
                actors.load_state_dict(self._resumed["collector"])
            except (RuntimeError, ValueError, KeyError, TypeError) as error:
                text = " ".join(str(error).split())
                raise CheckpointError(f"{self.cfg.resume} belongs to another setup: {text}") from error
            actors.episode_count = self._tally.episodes
            after = f"resumed after {self._saved.env_steps:,} steps"
            self.console.note(f"{after}; episodes that were in flight start over")
        cfg = self.cfg
        self._progress = Progress(
            self._saved,
            cfg.total_steps,
            log_every=cfg.log_every,
            eval_every=cfg.eval.every,
            save_every=cfg.checkpoint.every,
        )
        trace, note = self.folder / "trace.json.gz", self.console.note
        self._stopwatch = Stopwatch(cfg, learner, actors.clock, plan, trace, note)
        self._closing.callback(self._stopwatch.close)
        point_latest_to(self.folder, Path(cfg.runs_dir))
        return self._saved

    def due(self, state: TrainState) -> bool:
        """Whether this update ends with a report. Also moves the progress bar, at next to no cost."""
        self._stopwatch.update_ended()
        self.console.progress(state.env_steps, self._metrics)
        return self._progress.report(state)

    def tick(self, env_steps: int) -> bool:
        """Move the progress bar while workers learn; True when they should stop."""
        self.console.progress(env_steps, self._metrics)
        return bool(self.stop)

    def next_report(self, state: TrainState) -> int:
        """The env steps at which the next update ends with a report."""
        return self._progress.next_report(state)

    def report(self, state: TrainState) -> None:
        """Log a row of metrics; evaluate and save where due.

        Raises:
            NumericError: a loss or gradient was not finite; the last checkpoint stays as it is.
            RunIOError: the row or the checkpoint cannot be written.
        """
        progress = self._progress
        self._stopwatch.report_begins()
        metrics = self._learner.drain_metrics(state.env_steps) | self._actors.metrics()
        self._check_finite(metrics, state)
        metrics["time/fps"] = progress.speed(state)
        if progress.evaluate(state):
            metrics |= self._evaluate(state)
        if progress.save(state):
            self.save("last", state)
        metrics |= self._stopwatch.metrics()
        self.trackers.log(state.env_steps, metrics)
        self._metrics = metrics
        if progress.show(state):
            self.console.row(state.env_steps, metrics)
        progress.reported(state)

    def save(self, name: str, state: TrainState) -> None:
        """Write ``checkpoints/NAME.pt``, atomically."""
        payload = checkpoint_payload(
            asdict(self.cfg),
            self._learner.model.spaces.to_dict(),
            self._learner.state_dict(),
            collector=self._actors.state_dict(),
            state={**asdict(state), **asdict(self._counted())},
            **self.trackers.state_dict(),
        )
        save_checkpoint(self.checkpoints / f"{name}.pt", payload)

    def finish(self, state: TrainState) -> Summary:
        """Unless stopped, score the best checkpoint and draw the results; write summary.json, show the end panel."""
        if self.stop:
            self.save("last", state)
            self.console.note(f"{self.stop.signal}: stopped after {state.env_steps:,} steps, checkpoint saved")
        tally = self._counted()
        ending = self._stopwatch.end(state.env_steps - self._saved.env_steps)
        scores, device = None, self._learner.weights.device
        if not self.stop:
            best = load_policy(self.folder, device=str(device))
            seeds = eval_seeds(self.cfg.seed, self.cfg.eval.final_episodes, final=True)
            scores = self._evaluator.run(best, seeds, stop=lambda: bool(self.stop))
        wandb_id = self.trackers.state_dict()["wandb_id"]
        summary = summarize(
            self.cfg, state, tally, self.folder, ending, device=device, stopped=self.stop.signal, wandb_id=wandb_id
        )
        if scores is not None:
            summary = summary.with_scores(scores)
            summary.write()  # the curve shows it
            curve, gif = draw_results(self.folder, best, self.cfg.gif, self.console.note)
            summary = replace(summary, curve=curve, gif=gif)
        summary.write()
        files = {"checkpoint": summary.best_checkpoint, "video": summary.gif}
        self.trackers.finish(asdict(summary), {name: Path(path) for name, path in files.items() if path})
        self.console.finish(asdict(summary))
        return summary

    def close(self, exit_code: int = 0) -> None:
        """End the profile, close environments and console, and end the records, if :meth:`finish` has not."""
        self._closing.close()
        self._evaluator.close()
        self.console.close()
        self.trackers.finish({}, {}, exit_code)

    def _counted(self) -> Tally:
        wall_time = time.perf_counter() - self._started
        self._tally = replace(self._tally, episodes=self._actors.episode_count, wall_time=wall_time)
        return self._tally

    def _evaluate(self, state: TrainState) -> dict[str, float]:
        network, best = self._learner.model, self._tally.best_eval
        seeds = eval_seeds(self.cfg.seed, self.cfg.eval.episodes)
        with self._stopwatch.evaluation():
            network.train(False)  # a user's own may hold dropout or batch statistics
            result = self._evaluator.run(Policy(network, self.cfg), seeds, stop=lambda: bool(self.stop))
            network.train(True)
        if result is None:
            return {}
        if best is None or result.mean >= best:  # of equal scores, the longer trained
            self._tally = replace(self._tally, best_eval=result.mean)
            self.save("best", state)
        return {"eval/mean_reward": result.mean, "eval/std_reward": result.std}

    def _check_finite(self, metrics: dict[str, float], state: TrainState) -> None:
        for name in ("train/loss", "train/grad_norm"):
            if not abs(metrics[name]) < float("inf"):
                raise NumericError(
                    f"{name} is {metrics[name]} after {state.env_steps:,} steps; no such gradient was applied, and "
                    f"{self.checkpoints} holds the weights from before; a lower lr or max_grad_norm may help"
                )


@contextlib.contextmanager
def open_run(cfg: Config, folder: Path) -> Iterator[Run]:
    """Open a run; whatever happens inside, note signals, restore the terminal and close the records."""
    with stop_on_signals() as stop:
        run = Run(cfg, folder, stop)
        exit_code = 1
        try:
            yield run
            exit_code = 0
        finally:
            run.close(exit_code)


def _restored(saved: Mapping[str, Any]) -> tuple[TrainState, Tally]:
    """Where a run was, by the state in its checkpoint; an empty one is a new run."""
    state = TrainState(**{key: saved[key] for key in ("env_steps", "update") if key in saved})
    return state, Tally(**{key: saved[key] for key in ("episodes", "best_eval", "wall_time") if key in saved})
