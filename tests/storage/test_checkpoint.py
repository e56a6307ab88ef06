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
from a2c.storage import free_memory as memory
from a2c.storage.checkpoint import FORMAT, frozen, load_checkpoint, save_checkpoint

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
        with pytest.raises(CheckpointError, match=f"cannot be read: {says}") as caught:
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


def test_a_file_that_would_not_fit_into_memory_is_refused_unread_with_both_numbers(saved, monkeypatch):
    size = saved.stat().st_size
    monkeypatch.setattr(checkpoint, "free_memory", lambda: 2 * size - 1)  # loading holds the bytes and the tensors
    with pytest.raises(CheckpointError, match=rf"has {size:,} bytes; .* {2 * size - 1:,} bytes are free; it was not"):
        load_checkpoint(saved)
    monkeypatch.setattr(checkpoint, "free_memory", lambda: 2 * size)
    assert load_checkpoint(saved)["steps"] == 7
    monkeypatch.setattr(checkpoint, "free_memory", lambda: None)  # nobody says
    assert load_checkpoint(saved)["steps"] == 7


def test_a_sparse_giant_is_refused_at_once(tmp_path):
    path = tmp_path / "giant.pt"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(CheckpointError, match="4,398,046,511,104 bytes; loading it takes 2 times as much memory"):
        load_checkpoint(path)


def test_the_free_memory_is_the_machines_or_what_the_container_leaves(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    for name, text in (("max", "4000000\n"), ("current", "3000000\n"), ("stat", "anon 1\ninactive_file 500000\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free_memory() == 4_000_000 - 3_000_000 + 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() == 5000 * 1024
    (tmp_path / "meminfo").unlink()
    assert memory.free_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
