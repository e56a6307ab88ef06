"""Weights & Biases: a copy of a run's rows there.

W&B may fail in any way (not installed, no key, no network, a killed service) without harming the run: one line says so,
and training goes on. This is the only module that imports wandb, and only when a run wants it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from a2c.machine.processes.deadline import within
from a2c.settings.config import Config
from a2c.settings.redaction import redact, redacted_argv
from a2c.storage.metrics_file import plain

WANDB_INTERVAL = 1.0  # seconds between rows sent to W&B; metrics.jsonl has them all
ONLINE_TIMEOUT = 15.0  # seconds that an online run may take to start; then it goes on offline
FINISH_TIMEOUT = {"offline": 20.0, "online": 300.0}  # seconds that the end of a run may wait for W&B
STOP_TIMEOUT = 4.0  # and a run that a signal ends: schedulers kill after 10; what is left unsent lies on the disk
GRACE = 5.0  # more seconds until its service counts as hung, and we kill it


class WandbMirror:
    """A copy of the rows in W&B. No method raises, whatever W&B does; the first failure gives one line.

    Args:
        folder: the run folder; it exists.
        cfg: settings of the run; ``cfg.wandb`` says whether and how W&B takes part.
        wandb_id: id of the W&B run to continue; None starts a new one.
        notify: shows one line to the user.
    """

    def __init__(self, folder: Path, cfg: Config, wandb_id: str | None, notify: Callable[[str], None]) -> None:
        self._id = wandb_id
        self._cfg = cfg
        self._folder = folder
        self._notify = notify
        self._run: Any = None
        self._service: Any = None  # Popen of wandb-core
        self._alone = True
        self._limit = 0.0  # seconds that the end may take
        self._due = 0.0
        self._held: dict[str, Any] | None = None
        self._last_scores: dict[str, Any] = {}  # of the latest evaluation
        if (mode := wandb_mode(cfg)) != "disabled":
            self._open(mode)

    def _open(self, mode: str) -> None:
        try:
            self._start(mode)
        except Exception as error:
            if mode == "offline" or isinstance(error, ImportError):
                self._give_up("start", error)
                return
            self._notify(f"W&B cannot go online ({_reason(error)}): recording offline, make sync uploads the run")
            self._open("offline")

    def _start(self, mode: str) -> None:
        runs_dir = Path(self._cfg.runs_dir).absolute()
        runs_dir.mkdir(parents=True, exist_ok=True)
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # offline: no error reports either
        import wandb

        # A notebook may have a W&B run of its own: ours neither replaces it nor stops its service.
        self._alone = wandb.run is None
        if self._alone:
            wandb.setup(wandb.Settings(silent=True))
        wanted = self._cfg.wandb
        # Inside a sweep agent these belong to the sweep, and wandb warns about any that are given.
        identity: dict[str, Any] = {}
        if not os.environ.get("WANDB_SWEEP_ID"):
            identity = {"project": wanted.project, "entity": wanted.entity, "id": self._id}
        with redacted_argv():
            self._run = wandb.init(
                **identity,
                dir=runs_dir,  # wandb puts its files into runs_dir/wandb
                mode=mode,  # type: ignore[arg-type]  # wandb itself refuses a wrong WANDB_MODE
                name=self._folder.name,
                group=wanted.group,
                tags=list(wanted.tags),
                job_type="train",
                config=redact(dataclasses.asdict(self._cfg)),
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    disable_job_creation=True,
                    init_timeout=ONLINE_TIMEOUT,
                    login_timeout=ONLINE_TIMEOUT,
                    finish_timeout=FINISH_TIMEOUT.get(mode, FINISH_TIMEOUT["online"]),
                    finish_timeout_raises=True,
                    x_transaction_log_flush_interval=2.0,  # the local dashboard shows what has been flushed
                ),
            )
        self._service = _service_process(wandb) if self._alone else None
        self._limit = self._run.settings.finish_timeout
        self._run.define_metric("global_step")
        self._run.define_metric("*", step_metric="global_step")
        self._id = self._run.id

    def log(self, row: Mapping[str, Any]) -> None:
        """Send a row, or hold it until a second has passed since the last one; evaluations are never skipped."""
        if self._run is None:
            return
        self._held = dict(row)
        self._last_scores |= {name.replace("/", "/last_"): row[name] for name in row if name.startswith("eval/")}
        now = time.monotonic()
        if now >= self._due or any(name.startswith("eval/") for name in row):
            self._due = now + WANDB_INTERVAL
            self._send_held()

    def _send_held(self) -> None:
        if self._run is None or self._held is None:
            return
        row, self._held = self._held, None
        try:
            self._run.log({name: _for_wandb(value) for name, value in row.items() if plain(value) is not None})
        except Exception as error:
            self._give_up("log", error)

    def state_dict(self) -> dict[str, Any]:
        """The id of the W&B run; None when the run has none."""
        return {"wandb_id": self._id}

    def finish(self, summary: Mapping[str, Any], files: Mapping[str, Path], exit_code: int) -> None:
        """Send what is left and end the W&B run, in bounded time.

        Args:
            summary: goes to the W&B summary.
            files: ``checkpoint`` (best.pt) becomes a model artifact and ``video`` (agent.gif) a W&B video.
            exit_code: anything but 0 marks the W&B run as failed.
        """
        self._send_held()
        if self._run is None:
            return
        try:
            limit = STOP_TIMEOUT if summary.get("stopped") else self._limit + GRACE
            within(limit, lambda: self._complete(summary, files, exit_code), self._kill_service)
        except Exception as error:
            self._give_up("finish", error)
        else:
            self._close()

    def _complete(self, summary: Mapping[str, Any], files: Mapping[str, Path], exit_code: int) -> None:
        final = dict(summary)
        if final.get("eval_mean") is not None:
            # A sweep ranks its runs by the mean. Both are of the best checkpoint; those of the last network stay, too.
            final |= {"eval/mean_reward": final["eval_mean"], "eval/std_reward": final.get("eval_std")}
            final |= self._last_scores
        self._run.summary.update(final)
        if self._cfg.wandb.artifacts:
            self._attach(files, summary.get("env_steps"))
        self._run.finish(exit_code)

    def _attach(self, files: Mapping[str, Path], env_steps: Any) -> None:
        import wandb

        video, checkpoint = files.get("video"), files.get("checkpoint")
        if video is not None and video.is_file():
            self._run.log({"global_step": env_steps, "agent": wandb.Video(str(video), format="gif")})
        if checkpoint is not None and checkpoint.is_file():
            # A copy beside the run's other files: a later resume replaces best.pt, and wandb's own
            # staging area is in the home folder, which may be small or read-only.
            copy = Path(self._run.dir).parent / "checkpoint" / checkpoint.name
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(checkpoint, copy)
            artifact = wandb.Artifact(f"a2c-{self._run.id}", type="model")
            artifact.add_file(str(copy), policy="immutable")
            self._run.log_artifact(artifact, aliases=["best"])

    def _give_up(self, when: str, error: Exception) -> None:
        self._notify(f"W&B failed to {when} ({_reason(error)}): going on without it, metrics.jsonl has every row")
        self._close()

    def _close(self) -> None:
        """Leave no W&B process behind, not even one that hangs."""
        self._run = None
        if not self._alone:
            return
        with contextlib.suppress(Exception, SystemExit):  # teardown exits with the code of a service that died
            import wandb

            within(GRACE, wandb.teardown, self._kill_service)
        if self._service is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._service.wait(GRACE)
            self._kill_service()
            self._service.wait()

    def _kill_service(self) -> None:
        if self._service is not None:
            self._service.kill()  # does nothing if it has ended


def wandb_mode(cfg: Config, environ: Mapping[str, str] = os.environ) -> str:
    """``wandb.mode``, else WANDB_MODE, else online inside a sweep agent, else offline."""
    return cfg.wandb.mode or environ.get("WANDB_MODE") or ("online" if environ.get("WANDB_SWEEP_ID") else "offline")


def _service_process(wandb: Any) -> Any:
    """The Popen of wandb-core if this process started it; wandb has no public name for it."""
    connection = getattr(wandb.setup(), "_connection", None)
    return getattr(getattr(connection, "_proc", None), "_process", None)


def _reason(error: Exception) -> str:
    """The first line of an exception, short enough for one line."""
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}"[:160] if text else type(error).__name__


def _for_wandb(value: Any) -> Any:
    """Turn a list, which holds counts of 0, 1, 2, ..., into a histogram of W&B; leave other values as they are."""
    if not isinstance(value, list):
        return value
    import wandb

    return wandb.Histogram(np_histogram=(np.asarray(value), np.arange(len(value) + 1) - 0.5))
