"""One checkpoint: plain data, written atomically, checked on loading.

Which ones a run keeps, and which is the newest, is in :mod:`a2c.storage.kept_checkpoints`.

A file is what ``torch.save`` writes, followed by its SHA-256, so that plain
``torch.load(path, weights_only=True)`` reads it too.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from a2c.errors import CheckpointError, RunIOError
from a2c.storage.atomic import replacing
from a2c.storage.free_memory import free_memory

FORMAT = 1
_COPIES = 2  # of a file that loading holds at once: its bytes and its tensors
_TRAILER = b"a2c-sha256:"
_TRAILER_BYTES = len(_TRAILER) + 32


class DamagedCheckpointError(CheckpointError):
    """A file that cannot be read whole: an older one may still serve.

    Args:
        path: the file.
        reason: what is wrong with it, to go on after its name.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path, self.reason = path, reason


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
        DamagedCheckpointError: it cannot be read, or its bytes are not those that were written.
        CheckpointError: there is no room for it, or it is of another format, or not plain data.
    """
    try:
        with path.open("rb") as file:
            size, free = os.fstat(file.fileno()).st_size, free_memory()
            if free is not None and _COPIES * size > free:
                raise CheckpointError(
                    f"{path} has {size:,} bytes; loading it takes {_COPIES} times as much memory, "
                    f"and {free:,} bytes are free; it was not read"
                )
            data, trailer = file.read(max(0, size - _TRAILER_BYTES)), file.read()
    except OSError as error:
        raise DamagedCheckpointError(path, f"cannot be read: {error.strerror or error}") from error
    if trailer != _TRAILER + hashlib.sha256(data).digest():
        raise DamagedCheckpointError(path, "is damaged or no checkpoint of a2c: it does not match its SHA-256")
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
