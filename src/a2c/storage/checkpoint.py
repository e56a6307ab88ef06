"""Checkpoints: plain data, written atomically, checked on loading.

A file is what ``torch.save`` writes, followed by its SHA-256, so that plain
``torch.load(path, weights_only=True)`` reads it too.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from a2c.errors import CheckpointError, RunIOError
from a2c.storage.atomic import replacing

FORMAT = 1
MAX_BYTES = 4 << 30  # a larger file is not one of ours
_TRAILER = b"a2c-sha256:"
_TRAILER_BYTES = len(_TRAILER) + 32


def checkpoint_payload(
    config: Mapping[str, Any],
    spaces: Mapping[str, Any],
    learner: Mapping[str, Any],
    *,
    state: Mapping[str, Any],
    collector: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """Lay out a checkpoint.

    Args:
        config: all settings.
        spaces: what the environment shows and takes; the key is ``spec``, as in files of version 0.1.
        learner: ``model`` and ``optimizer``, each name -> tensor.
        state: env_steps, update, episodes, best_eval, wall_time.
        collector: the reward normaliser, or the workers of A3C.
        more: what trackers keep to continue their records (``wandb_id``); see :mod:`a2c.run.evaluations` for
            ``waiting_row``.
    """
    return {"config": config, "spec": spaces, "learner": learner, "state": state, "collector": collector, **more}


def frozen(value: Any) -> Any:
    """A copy of a payload, or of a part of one, that training no longer changes: each tensor on the CPU, on its own."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: frozen(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(frozen(part) for part in value)
    return value


def save_checkpoint(path: Path, payload: dict[str, Any]) -> None:
    """Replace ``path`` by a checkpoint of ``payload``, or leave it as it was.

    Args:
        payload: tensors, numbers, text, and dicts and lists of them.

    Raises:
        RunIOError: the file cannot be written; no temporary file stays behind.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **payload}, buffer)
    data = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(data + _TRAILER + hashlib.sha256(data).digest())
    except OSError as error:
        raise RunIOError(f"cannot write {path}: {error.strerror or error}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, tensors on the CPU; nothing in it is ever executed.

    Raises:
        CheckpointError: missing, damaged, too large, of another format, or not plain data.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CheckpointError(f"{path} has {size} bytes; more than {MAX_BYTES} are not read")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    data, trailer = data[:-_TRAILER_BYTES], data[-_TRAILER_BYTES:]
    if trailer != _TRAILER + hashlib.sha256(data).digest():
        raise CheckpointError(f"{path} is damaged or no checkpoint of a2c: it does not match its SHA-256")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
        if unpacked > len(data):  # torch.save does not compress: a small file cannot grow to fill the memory
            raise CheckpointError(f"{path} has {len(data)} bytes but unpacks to {unpacked}; it was not loaded")
        payload = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))  # the rest of torch's advice is to load it unsafely
        reason = f"it names {asked[1]}" if asked else type(error).__name__
        raise CheckpointError(f"{path} is not plain data and was not loaded: {reason}") from error
    found = payload.get("format") if isinstance(payload, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{path} has format {found}; this version of a2c reads {FORMAT}")
    return {str(key): value for key, value in payload.items()}


def find_checkpoint(target: str | Path, runs_dir: str | Path = "runs", which: str = "best") -> Path:
    """The checkpoint that a user means.

    Args:
        target: ``latest``, a run folder, or a checkpoint file.
        runs_dir: where ``latest`` is looked up.
        which: ``best`` or ``last``, of a run folder; if it is missing, the other one.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(runs_dir) / "latest" if str(target) == "latest" else Path(target)
    if path.is_file():
        return path
    names = ("best.pt", "last.pt") if which == "best" else ("last.pt", "best.pt")
    for name in names:
        if (path / "checkpoints" / name).is_file():
            return path.resolve() / "checkpoints" / name
    if str(target) == "latest" and not path.exists():
        raise CheckpointError(f"there is no latest run under {runs_dir}; train one first with: a2c train")
    raise CheckpointError(f"{target} is neither a checkpoint nor a run folder with checkpoints")
