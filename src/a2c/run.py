"""A run: its folder, its records, its checkpoints and what it shows. The loop tells it only where it is."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from a2c.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from a2c.config import Config
from a2c.console import Console
from a2c.device import describe_device
from a2c.envs.make import reward_threshold
from a2c.errors import NumericError, RunIOError
from a2c.evaluation import Evaluator, eval_seeds
from a2c.learner import Learner
from a2c.policy import Policy, checkpoint_payload, load_policy
from a2c.report.ending import draw_results
from a2c.rollout import Collector
from a2c.state import Summary, TrainState
from a2c.stopping import StopRequest, stop_on_signals
from a2c.tracking import Tracker

ROWS = 20  # table rows that a whole run shows


class Run:
    """One run and everything around its loop.

    Args:
        cfg: the settings.
        folder: the run folder; created here.
        stop: set by a signal.
    """

    def __init__(self, cfg: Config, folder: Path, stop: StopRequest) -> None:
        self.cfg, self.folder, self.stop = cfg, folder, stop
        self.resumed = load_checkpoint(find_checkpoint(cfg.resume, cfg.runs_dir, "last")) if cfg.resume else None
        self.checkpoints = folder / "checkpoints"
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunIOError(f"cannot write the run folder {folder}: {error.strerror or error}") from error
        point_latest_to(folder, Path(cfg.runs_dir))
        saved = self.resumed or {}
        self.console = Console(cfg)
        self.tracker = Tracker(
            folder,
            cfg,
            wandb_id=saved.get("wandb_id"),
            notify=self.console.note,
            resume_from=saved["state"]["env_steps"] if self.resumed and (folder / "metrics.jsonl").exists() else None,
        )
        self.evaluator = Evaluator(cfg.env, max(cfg.eval.episodes, cfg.eval.final_episodes))
        self._started = time.perf_counter() - saved.get("state", {}).get("wall_time", 0.0)
        self._mark = _Mark()

    @property
    def update(self) -> int:
        """Updates already made by the run that this one continues."""
        return 0 if self.resumed is None else int(self.resumed["state"]["update"])

    def restore(self, learner: Learner, collector: Collector) -> TrainState:
        """Continue from the checkpoint that ``resume`` names, or begin; shows the start panel.

        Raises:
            CheckpointError: the checkpoint belongs to another environment or network.
        """
        state = TrainState()
        if self.resumed is not None:
            learner.load_state_dict(self.resumed["learner"])
            collector.load_state_dict(self.resumed["collector"])
            state = TrainState(**self.resumed["state"])
            collector.episode_count = state.episodes
        self._show_start(learner, state)
        self._mark = _Mark(state, time.perf_counter())
        return state

    def due(self, state: TrainState) -> bool:
        """Whether this update ends with a report: by env steps alone, so that equal runs report alike."""
        return any(self._crosses(every, state) for every in self._intervals) or self._ends(state)

    def report(self, state: TrainState, learner: Learner, collector: Collector) -> TrainState:
        """Log a row of metrics and, when their turn comes, evaluate and save.

        Raises:
            NumericError: a loss or gradient was not finite; the last checkpoint stays as it is.
            RunIOError: the row or the checkpoint cannot be written.
        """
        metrics = learner.drain_metrics(state.env_steps) | collector.metrics()
        for name in ("train/loss", "train/grad_norm"):
            if not abs(metrics[name]) < float("inf"):
                raise NumericError(
                    f"{name} is {metrics[name]} after {state.env_steps} steps; no such gradient was applied, and "
                    f"{self.checkpoints} holds the weights from before. A lower lr or max_grad_norm may help"
                )
        state = replace(state, episodes=collector.episode_count, wall_time=self.wall_time)
        metrics |= self._times(state, collector)
        if self._crosses(self.cfg.eval.every, state) or self._ends(state):
            state, scores = self._evaluate(state, learner, collector)
            metrics |= scores
        if self._crosses(self.cfg.checkpoint.every, state) or self._ends(state):
            self.save("last", state, learner, collector)
        self.tracker.log(state.env_steps, metrics)
        self.console.progress(state.env_steps, metrics["time/fps"], metrics.get("rollout/ep_rew_mean"))
        if self._crosses(max(1, self.cfg.total_steps // ROWS), state) or self._ends(state) or self._mark.rows == 0:
            self.console.row(state.env_steps, metrics)
            self._mark.rows += 1
        self._mark.next(state, collector)
        return state

    def save(self, name: str, state: TrainState, learner: Learner, collector: Collector) -> None:
        """Write ``checkpoints/NAME.pt``, atomically."""
        payload = checkpoint_payload(
            self.cfg,
            learner.model.spec,
            learner.state_dict(),
            collector=collector.state_dict(),
            state=asdict(state),
            wandb_id=self.tracker.wandb_id,
        )
        save_checkpoint(self.checkpoints / f"{name}.pt", payload)

    def finish(self, state: TrainState, learner: Learner, collector: Collector) -> Summary:
        """Score the best checkpoint, draw the results, write summary.json, show the end panel."""
        state = replace(state, wall_time=self.wall_time, episodes=collector.episode_count)
        if self.stop:
            self.save("last", state, learner, collector)
            self.console.note(f"{self.stop.signal}: stopped after {state.env_steps:,} steps, checkpoint saved")
            return self._close(self._summary(state))
        best = load_policy(self.folder, device=str(learner.weights.device))
        seeds = eval_seeds(self.cfg.seed, self.cfg.eval.final_episodes, final=True)
        scores = self.evaluator.run(best, seeds, stop=lambda: bool(self.stop))
        summary = self._summary(state)
        if scores is not None:
            threshold = summary.reward_threshold
            solved = None if threshold is None else scores.mean >= threshold
            summary = replace(summary, eval_mean=scores.mean, eval_std=scores.std, solved=solved)
            self._write_summary(summary)
            curve, gif = draw_results(self.folder, best, self.cfg, self.console.note)
            summary = replace(summary, curve=curve, gif=gif)
        return self._close(summary)

    def close(self, exit_code: int = 0) -> None:
        """Let go of everything; after :meth:`finish` there is nothing left to do."""
        self.evaluator.close()
        self.console.close()
        self.tracker.finish({}, {}, exit_code)

    @property
    def wall_time(self) -> float:
        """Seconds since the run began, those of earlier sittings included."""
        return time.perf_counter() - self._started

    @property
    def _intervals(self) -> tuple[int, ...]:
        return (self.cfg.log_every, self.cfg.eval.every, self.cfg.checkpoint.every)

    def _crosses(self, every: int, state: TrainState) -> bool:
        return every > 0 and state.env_steps // every > self._mark.state.env_steps // every

    def _ends(self, state: TrainState) -> bool:
        return state.env_steps >= self.cfg.total_steps

    def _evaluate(
        self, state: TrainState, learner: Learner, collector: Collector
    ) -> tuple[TrainState, dict[str, float]]:
        seeds = eval_seeds(self.cfg.seed, self.cfg.eval.episodes)
        result = self.evaluator.run(Policy(learner.model, self.cfg), seeds, stop=lambda: bool(self.stop))
        if result is None:
            return state, {}
        if state.best_eval is None or result.mean >= state.best_eval:  # of equals, the longer trained
            state = replace(state, best_eval=result.mean)
            self.save("best", state, learner, collector)
        return state, {"eval/mean_reward": result.mean, "eval/std_reward": result.std}

    def _times(self, state: TrainState, collector: Collector) -> dict[str, float]:
        """Steps per second, and where the time went, since the last report."""
        mark = self._mark
        seconds = max(time.perf_counter() - mark.time, 1e-9)
        env = (collector.env_seconds - mark.env_seconds) / seconds
        act = (collector.act_seconds - mark.act_seconds) / seconds
        return {
            "time/fps": (state.env_steps - mark.state.env_steps) / seconds,
            "time/env_frac": env,
            "time/act_frac": act,
            "time/update_frac": max(0.0, 1.0 - env - act),
        }

    def _show_start(self, learner: Learner, state: TrainState) -> None:
        cfg, spec = self.cfg, learner.model.spec
        facts = {
            "observations": f"{list(spec.obs_shape)} {spec.obs_dtype}",
            "actions": f"{spec.actions} discrete" if spec.discrete else f"{spec.actions} continuous",
            "network": learner.model.describe(),
            "rollout": f"{cfg.num_envs} environments x {cfg.n_step} steps, {cfg.vectorization}",
            "device": describe_device(learner.weights.device),
            "steps": f"{cfg.total_steps:,}",
            "seed": str(cfg.seed),
            "folder": os.path.relpath(self.folder),
        }
        self.console.start(facts)
        if self.resumed is not None:
            self.console.note(
                f"resumed after {state.env_steps:,} steps; the episodes that were in flight then begin anew"
            )

    def _summary(self, state: TrainState) -> Summary:
        best, last = self.checkpoints / "best.pt", self.checkpoints / "last.pt"
        return Summary(
            env_id=self.cfg.env.id,
            seed=self.cfg.seed,
            device=self.cfg.device,
            num_envs=self.cfg.num_envs,
            n_step=self.cfg.n_step,
            env_steps=state.env_steps,
            updates=state.update,
            episodes=state.episodes,
            wall_time=self.wall_time,
            fps=state.env_steps / max(self.wall_time, 1e-9),
            eval_mean=None,
            eval_std=None,
            eval_episodes=self.cfg.eval.final_episodes,
            best_eval=state.best_eval,
            reward_threshold=reward_threshold(self.cfg.env.id),
            solved=None,
            folder=str(self.folder),
            best_checkpoint=str(best) if best.exists() else None,
            last_checkpoint=str(last),
            curve=None,
            gif=None,
            stopped=self.stop.signal,
            wandb_id=self.tracker.wandb_id,
        )

    def _close(self, summary: Summary) -> Summary:
        self._write_summary(summary)
        files = {"checkpoint": summary.best_checkpoint, "video": summary.gif}
        self.tracker.finish(asdict(summary), {name: Path(path) for name, path in files.items() if path})
        self.console.finish(asdict(summary))
        return summary

    def _write_summary(self, summary: Summary) -> None:
        try:
            (self.folder / "summary.json").write_text(json.dumps(asdict(summary), indent=2) + "\n")
        except OSError as error:
            raise RunIOError(f"cannot write {self.folder / 'summary.json'}: {error.strerror or error}") from error


@dataclass(slots=True)
class _Mark:
    """Where the last report was."""

    state: TrainState = TrainState()
    time: float = 0.0
    env_seconds: float = 0.0
    act_seconds: float = 0.0
    rows: int = 0

    def next(self, state: TrainState, collector: Collector) -> None:
        self.state, self.time = state, time.perf_counter()
        self.env_seconds, self.act_seconds = collector.env_seconds, collector.act_seconds


@contextlib.contextmanager
def open_run(cfg: Config, folder: Path) -> Iterator[Run]:
    """A run that ends in order, whatever happens inside: signals noted, terminal restored, records closed."""
    with stop_on_signals() as stop:
        run = Run(cfg, folder, stop)
        exit_code = 1
        try:
            yield run
            exit_code = 0
        finally:
            run.close(exit_code)


def point_latest_to(folder: Path, runs_dir: Path) -> None:
    """Make ``runs/latest`` a link to the newest run; where links are not possible, go without."""
    temporary = runs_dir / f".latest.{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.symlink_to(os.path.relpath(folder, runs_dir), target_is_directory=True)
        temporary.replace(runs_dir / "latest")
