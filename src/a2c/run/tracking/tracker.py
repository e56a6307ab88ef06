"""Where the numbers of a run go: a list of trackers. The first is metrics.jsonl, the record of truth.

The same run writes the same bytes to metrics.jsonl, apart from keys under ``time/``; if a row cannot be written, the
run stops. No other tracker may harm a run: if it fails, it says so in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from a2c.run.tracking.wandb_mirror import WandbMirror
from a2c.settings.config import Config
from a2c.storage.metrics_file import METRICS, MetricsFile


class Tracker(Protocol):
    """Takes the rows of a run."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Take a row of metrics, with its ``global_step`` in env steps."""

    def finish(self, summary: Mapping[str, Any], files: Mapping[str, Path], exit_code: int) -> None:
        """End the record; a second call does nothing.

        Args:
            summary: the results of the run.
            files: ``checkpoint`` (best.pt) and ``video`` (agent.gif); either may be missing.
            exit_code: anything but 0 says that the run failed.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a resumed run continues the same record."""


class MetricsRecord:
    """metrics.jsonl as a tracker.

    Args:
        folder: the run folder; it exists.
        resume_from: env steps of the checkpoint that this run continues from; later rows are dropped, since the run
            makes them again. None starts a new file.

    Raises:
        RunIOError: the file cannot be written.
    """

    def __init__(self, folder: Path, resume_from: int | None) -> None:
        self._file = MetricsFile(folder / METRICS, resume_from)

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row; when this returns, it is in the file. Raises :class:`RunIOError`."""
        self._file.append(row)

    def finish(self, summary: Mapping[str, Any], files: Mapping[str, Path], exit_code: int) -> None:
        """Close the file."""
        self._file.close()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the file itself says where it ends."""
        return {}


class Trackers:
    """All trackers of a run, as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = trackers

    def log(self, env_steps: int, metrics: Mapping[str, Any]) -> None:
        """Give every tracker the row ``{"global_step": env_steps, **metrics}``.

        Raises:
            RunIOError: metrics.jsonl cannot be written.
        """
        row = {"global_step": int(env_steps), **metrics}
        for tracker in self._trackers:
            tracker.log(row)

    def finish(self, summary: Mapping[str, Any], files: Mapping[str, Path], exit_code: int = 0) -> None:
        """End every record; arguments as in :meth:`Tracker.finish`."""
        for tracker in self._trackers:
            tracker.finish(summary, files, exit_code)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of all of them."""
        return {key: value for tracker in self._trackers for key, value in tracker.state_dict().items()}


def open_trackers(
    folder: Path,
    cfg: Config,
    *,
    notify: Callable[[str], None],
    saved: Mapping[str, Any] | None = None,
    resume_from: int | None = None,
) -> Trackers:
    """The trackers that the settings ask for.

    Args:
        folder: the run folder; it exists.
        cfg: settings of the run; ``cfg.wandb`` says whether and how W&B takes part.
        notify: shows one line to the user.
        saved: what a checkpoint kept of the trackers to continue; None starts new records.
        resume_from: as in :class:`MetricsRecord`.

    Raises:
        RunIOError: metrics.jsonl cannot be written.
    """
    wandb_id = None if saved is None else saved["wandb_id"]
    return Trackers([MetricsRecord(folder, resume_from), WandbMirror(folder, cfg, wandb_id, notify)])
