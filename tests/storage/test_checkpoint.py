"""A checkpoint is whole or absent, damage is always noticed, and nothing in a file is ever executed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from a2c.errors import CheckpointError, RunIOError
from a2c.storage import checkpoint
from a2c.storage.checkpoint import FORMAT, find_checkpoint, frozen, load_checkpoint, save_checkpoint

PAYLOAD = {"weights": torch.arange(6.0).view(2, 3), "steps": 7, "name": "run", "nested": {"list": [1, None, 2.5]}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "last.pt"
    save_checkpoint(path, PAYLOAD)
    return path


def sealed(data: bytes) -> bytes:
    """Bytes with the SHA-256 that a forger would also know how to add."""
    return data + b"a2c-sha256:" + hashlib.sha256(data).digest()


def torch_bytes(payload: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    return buffer.getvalue()


# ---- round trip ----


def test_what_is_saved_is_what_loads(saved):
    loaded = load_checkpoint(saved)
    assert torch.equal(loaded.pop("weights"), PAYLOAD["weights"])
    assert loaded == {"format": FORMAT, "steps": 7, "name": "run", "nested": {"list": [1, None, 2.5]}}


def test_what_is_frozen_has_memory_of_its_own():
    flat = torch.arange(6.0)
    kept = frozen({"weights": [flat[:2], (flat[2:].view(2, 2), "text")], "steps": 7})
    flat.zero_()
    first, (second, text) = kept["weights"]
    assert first.tolist() == [0.0, 1.0]
    assert second.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert (text, kept["steps"]) == ("text", 7)
    assert first.untyped_storage().nbytes() == 2 * 4  # not the whole vector


def test_plain_torch_reads_it_too(saved):
    assert torch.equal(torch.load(saved, weights_only=True)["weights"], PAYLOAD["weights"])


def test_folders_are_made_and_an_older_checkpoint_is_replaced(tmp_path):
    path = tmp_path / "run" / "checkpoints" / "best.pt"
    for steps in (1, 2):
        save_checkpoint(path, {"steps": steps})
        assert load_checkpoint(path)["steps"] == steps
    assert os.listdir(path.parent) == ["best.pt"]


# ---- writing fails ----


def failing(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint_and_no_temporary_file(saved, monkeypatch, where):
    monkeypatch.setattr(os, "fsync", failing) if where == "fsync" else monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(RunIOError, match=r"cannot write .*last\.pt: No space left on device") as caught:
        save_checkpoint(saved, {"steps": 8})
    assert caught.value.exit_code == 6
    assert load_checkpoint(saved)["steps"] == 7
    assert os.listdir(saved.parent) == ["last.pt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_disk_that_is_really_full_is_reported(saved, monkeypatch):
    # Bytes that no longer fit: every write to /dev/full fails with ENOSPC
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r", **rest: opened(Path("/dev/full"), mode, **rest))
    with pytest.raises(RunIOError, match="No space left on device"):
        save_checkpoint(saved, {"steps": 8})
    monkeypatch.undo()
    assert load_checkpoint(saved)["steps"] == 7


def test_an_interrupt_while_saving_leaves_no_temporary_file(saved, monkeypatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved, {"steps": 8})
    assert os.listdir(saved.parent) == ["last.pt"]
    assert load_checkpoint(saved)["steps"] == 7


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
def test_the_file_is_on_disk_before_it_takes_the_name_and_the_folder_after(saved, monkeypatch):
    order, fsync, replace = [], os.fsync, Path.replace

    def note_fsync(fd: int) -> None:
        order.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", lambda old, new: (order.append("replace"), replace(old, new)))
    save_checkpoint(saved, {"steps": 8})
    temporary, *rest = order
    assert temporary.startswith(".last.pt.")
    assert rest == ["replace", saved.parent.name]


def test_a_folder_that_is_a_file_is_reported_as_such(saved):
    with pytest.raises(RunIOError, match="cannot write"):
        save_checkpoint(saved / "checkpoints" / "best.pt", {})


# ---- reading what is damaged ----


def test_a_flipped_bit_anywhere_is_noticed(saved):
    whole, draw = saved.read_bytes(), random.Random(0)
    corners = [0, 1, *(len(whole) - back for back in (44, 43, 33, 32, 1))]  # body, trailer, digest
    for place in corners + draw.sample(range(len(whole)), 100):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        saved.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"last\.pt is damaged or no checkpoint of a2c"):
            load_checkpoint(saved)
    saved.write_bytes(whole)
    assert load_checkpoint(saved)["steps"] == 7


def test_a_truncated_file_is_noticed_wherever_it_ends(saved):
    data = saved.read_bytes()
    for length in [0, 1, 42, 43, 44, len(data) // 2, len(data) - 43, len(data) - 1]:
        saved.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="is damaged"):
            load_checkpoint(saved)


def test_a_file_that_grew_is_noticed(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(saved)


def test_a_missing_file_and_a_folder_are_checkpoint_errors(tmp_path):
    for path, says in ((tmp_path / "none.pt", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(CheckpointError, match=f"cannot read .*: {says}") as caught:
            load_checkpoint(path)
        assert caught.value.exit_code == 5


# ---- reading what is hostile ----


class Payload:
    """Unpickling this would call os.mkdir."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("pack", [torch_bytes, pickle.dumps], ids=["torch", "pickle"])
def test_a_malicious_payload_is_not_run(tmp_path, pack):
    path, trace = tmp_path / "evil.pt", tmp_path / "executed"
    path.write_bytes(sealed(pack({"format": FORMAT, "x": Payload(trace)})))
    with pytest.raises(CheckpointError, match=r"evil\.pt is not plain data and was not loaded") as caught:
        load_checkpoint(path)
    assert not trace.exists()
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's advice to load it all the same


def test_what_a_payload_asks_for_is_named(tmp_path):
    (tmp_path / "evil.pt").write_bytes(sealed(torch_bytes({"format": FORMAT, "x": Payload(tmp_path / "executed")})))
    with pytest.raises(CheckpointError, match=r"it names posix\.mkdir"):
        load_checkpoint(tmp_path / "evil.pt")


def test_a_file_over_the_size_limit_is_refused_unread(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "MAX_BYTES", saved.stat().st_size - 1)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("it was read"))
    with pytest.raises(CheckpointError, match=rf"has {saved.stat().st_size} bytes; more than"):
        load_checkpoint(saved)


def test_a_sparse_giant_is_refused_at_once(tmp_path):
    path = tmp_path / "giant.pt"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="bytes; more than"):
        load_checkpoint(path)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    plain, packed = io.BytesIO(torch_bytes({"format": FORMAT, "x": torch.zeros(1_000_000)})), io.BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert len(packed.getvalue()) < 100_000
    path.write_bytes(sealed(packed.getvalue()))
    with pytest.raises(CheckpointError, match=r"bomb\.pt has \d+ bytes but unpacks to 4\d+; it was not loaded"):
        load_checkpoint(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"no pickle at all", pickle.dumps({"format": FORMAT})[:5]])
def test_garbage_with_a_right_checksum_is_a_checkpoint_error(tmp_path, data):
    path = tmp_path / "garbage.pt"
    path.write_bytes(sealed(data))
    with pytest.raises(CheckpointError, match="is not plain data and was not loaded"):
        load_checkpoint(path)


@pytest.mark.parametrize("payload", [{"format": FORMAT + 1}, {}, [1, 2], torch.zeros(3), None])
def test_another_format_is_named(tmp_path, payload):
    path = tmp_path / "other.pt"
    path.write_bytes(sealed(torch_bytes(payload)))
    found = payload.get("format") if isinstance(payload, dict) else None
    with pytest.raises(CheckpointError, match=rf"has format {found}; this version of a2c reads {FORMAT}"):
        load_checkpoint(path)


# ---- which checkpoint a user means ----


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """runs/env/1_name with both checkpoints, and runs/latest that points to it."""
    folder = tmp_path / "runs" / "env" / "1_name"
    for name in ("best", "last"):
        save_checkpoint(folder / "checkpoints" / f"{name}.pt", {"name": name})
    (tmp_path / "runs" / "latest").symlink_to(Path("env") / "1_name")
    return folder


@pytest.mark.parametrize("which", ["best", "last"])
def test_latest_a_run_folder_and_a_file_all_lead_to_a_checkpoint(run, which):
    expected = run / "checkpoints" / f"{which}.pt"
    assert find_checkpoint("latest", run.parents[1], which) == expected
    assert find_checkpoint(run, which=which) == expected
    assert find_checkpoint(str(run), which=which) == expected
    assert find_checkpoint(expected, which="best") == expected


def test_the_best_checkpoint_is_meant_unless_told(run):
    assert find_checkpoint(run).name == "best.pt"


@pytest.mark.parametrize(("which", "other"), [("best", "last"), ("last", "best")])
def test_the_other_checkpoint_serves_where_one_is_missing(run, which, other):
    (run / "checkpoints" / f"{which}.pt").unlink()
    assert find_checkpoint(run, which=which).name == f"{other}.pt"


def test_latest_keeps_meaning_the_run_it_meant(run):
    # the path that comes back does not go through the link, which a newer run moves
    assert "latest" not in find_checkpoint("latest", run.parents[1]).parts


def test_no_run_yet_is_told_with_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no latest run under .*; train one first with: a2c train"):
        find_checkpoint("latest", tmp_path)


def test_a_latest_that_leads_nowhere_is_no_run(run):
    for name in ("best", "last"):
        (run / "checkpoints" / f"{name}.pt").unlink()
    with pytest.raises(CheckpointError, match="latest is neither"):
        find_checkpoint("latest", run.parents[1])
    (run.parents[1] / "latest").unlink()
    (run.parents[1] / "latest").symlink_to("gone")
    with pytest.raises(CheckpointError, match="there is no latest run"):
        find_checkpoint("latest", run.parents[1])


@pytest.mark.parametrize("target", ["", "nowhere", "nowhere/best.pt"])
def test_what_is_neither_file_nor_run_is_named(tmp_path, target, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=f"^checkpoint error: {target} is neither a checkpoint nor a run folder"):
        find_checkpoint(target)
