"""What a run keeps: the newest and those before it, through kills, full disks and damage; and which one is meant."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from a2c.errors import CheckpointError, RunIOError
from a2c.storage.checkpoint import DamagedCheckpointError, load_checkpoint, save_checkpoint
from a2c.storage.kept_checkpoints import KeptCheckpoints, load_newest, open_checkpoint


def payload(steps: int) -> dict[str, Any]:
    return {"state": {"env_steps": steps}, "weights": torch.full((8,), float(steps))}


def steps_of(loaded: dict[str, Any]) -> int:
    steps = loaded["state"]["env_steps"]
    assert loaded["weights"].tolist() == [float(steps)] * 8
    return int(steps)


def newest(folder: Path, name: str = "last", told: list[str] | None = None) -> int:
    return steps_of(load_newest(folder, [name], pytest.fail if told is None else told.append)[1])


def saved(folder: Path, *steps: int, name: str = "last", keep: int = 3) -> KeptCheckpoints:
    store = KeptCheckpoints(folder, keep)
    for each in steps:
        store.save(name, payload(each))
    return store


def damage(path: Path) -> None:
    """Flip a bit of the data where it lies."""
    with path.open("r+b") as file:
        file.seek(-40, os.SEEK_END)
        byte = file.read(1)
        file.seek(-40, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


# ---- what stays ----


@pytest.mark.parametrize("name", ["last", "best"])
def test_the_newest_has_the_plain_name_and_those_before_it_their_env_steps(tmp_path, name):
    saved(tmp_path, 100, 200, 300, 400, name=name)
    assert sorted(os.listdir(tmp_path)) == sorted([f"{name}.pt", f"{name}-000000300.pt", f"{name}-000000200.pt"])
    assert steps_of(load_checkpoint(tmp_path / f"{name}.pt")) == 400
    assert steps_of(load_checkpoint(tmp_path / f"{name}-000000300.pt")) == 300


def test_one_that_is_to_be_kept_is_all_that_stays(tmp_path):
    saved(tmp_path, 100, 200, keep=1)
    assert os.listdir(tmp_path) == ["last.pt"]


def test_last_and_best_do_not_push_out_each_other(tmp_path):
    store = saved(tmp_path, 100, 200)
    store.save("best", payload(50))
    assert sorted(os.listdir(tmp_path)) == ["best.pt", "last-000000100.pt", "last.pt"]


def test_the_same_env_steps_again_are_the_same_checkpoint(tmp_path):
    saved(tmp_path, 100, 200, 200, 200)
    assert sorted(os.listdir(tmp_path)) == ["last-000000100.pt", "last.pt"]


def test_a_later_session_goes_on_with_the_same_names(tmp_path):
    saved(tmp_path, 100, 200)
    saved(tmp_path, 300)
    assert sorted(os.listdir(tmp_path)) == ["last-000000100.pt", "last-000000200.pt", "last.pt"]


def test_who_goes_back_drops_what_came_later_once_something_new_is_saved(tmp_path):
    saved(tmp_path, 100, 200, 300)
    saved(tmp_path, 150)  # resume=checkpoints/last-000000100.pt
    assert sorted(os.listdir(tmp_path)) == ["last-000000100.pt", "last.pt"]
    assert newest(tmp_path) == 150


def test_a_damaged_one_takes_no_place_of_those_that_stay(tmp_path):
    saved(tmp_path, 100, 200, 300)
    damage(tmp_path / "last.pt")
    saved(tmp_path, 400)
    assert sorted(os.listdir(tmp_path)) == ["last-000000100.pt", "last-000000200.pt", "last.pt"]


def test_what_a_killed_process_left_half_written_goes_away(tmp_path):
    (tmp_path / ".last.pt.1234.tmp").write_bytes(b"half")
    saved(tmp_path, 100)
    assert os.listdir(tmp_path) == ["last.pt"]


def test_a_file_system_without_links_keeps_copies(tmp_path, monkeypatch):
    def none(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", none)
    saved(tmp_path, 100, 200, 300, 400)
    assert sorted(os.listdir(tmp_path)) == ["last-000000200.pt", "last-000000300.pt", "last.pt"]
    assert steps_of(load_checkpoint(tmp_path / "last-000000300.pt")) == 300


# ---- damage ----


@pytest.mark.parametrize("how", [damage, lambda path: path.write_bytes(b""), lambda path: os.truncate(path, 100)])
def test_a_damaged_one_is_named_and_the_one_before_it_used(tmp_path, how):
    saved(tmp_path, 100, 200, 300)
    how(tmp_path / "last.pt")
    told: list[str] = []
    assert newest(tmp_path, told=told) == 200
    reason = "is damaged or no checkpoint of a2c: it does not match its SHA-256"
    assert told == [f"{tmp_path}/last.pt {reason}; using {tmp_path}/last-000000200.pt"]


def test_every_damaged_one_is_named(tmp_path):
    saved(tmp_path, 100, 200, 300)
    damage(tmp_path / "last.pt")
    damage(tmp_path / "last-000000200.pt")
    told: list[str] = []
    assert newest(tmp_path, told=told) == 100
    assert told[0].count("does not match its SHA-256") == 2


def test_where_none_is_whole_nothing_is_loaded(tmp_path):
    saved(tmp_path, 100, 200)
    damage(tmp_path / "last.pt")
    damage(tmp_path / "last-000000100.pt")
    said = r"last\.pt is damaged.*; nor is any of last-000000100\.pt whole"
    with pytest.raises(CheckpointError, match=said) as caught:
        newest(tmp_path)
    assert caught.value.exit_code == 5


def test_a_newest_that_is_gone_is_followed_by_the_one_before(tmp_path):
    saved(tmp_path, 100, 200)
    (tmp_path / "last.pt").unlink()
    assert newest(tmp_path) == 100


def test_a_run_is_read_from_the_other_name_where_none_of_the_first_is_whole(tmp_path):
    store = saved(tmp_path / "checkpoints", 100)
    store.save("best", payload(50))
    damage(tmp_path / "checkpoints" / "last.pt")
    told: list[str] = []
    path, loaded = open_checkpoint(tmp_path, "runs", "last", told.append)
    assert (path.name, steps_of(loaded), len(told)) == ("best.pt", 50, 1)


def test_a_file_that_is_named_is_taken_literally(tmp_path):
    saved(tmp_path, 100, 200)
    damage(tmp_path / "last.pt")
    said = r"last\.pt is damaged.* SHA-256; .*last-000000100\.pt is whole"
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(tmp_path / "last.pt", "runs", "last", pytest.fail)
    damage(tmp_path / "last-000000100.pt")
    with pytest.raises(CheckpointError, match=r"SHA-256$"):
        open_checkpoint(tmp_path / "last.pt", "runs", "last", pytest.fail)


# ---- a full disk ----


@contextlib.contextmanager
def no_room(size: int = 100) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: the kernel refuses the write, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_save_that_finds_no_room_leaves_all_that_was_there(tmp_path):
    store = saved(tmp_path, 100, 200)
    with no_room(), pytest.raises(RunIOError, match=r"cannot write .*last\.pt: File too large"):
        store.save("last", payload(300))
    assert newest(tmp_path) == 200
    assert not list(tmp_path.glob(".*"))
    store.save("last", payload(300))
    assert sorted(os.listdir(tmp_path)) == ["last-000000100.pt", "last-000000200.pt", "last.pt"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 64 KiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount")
def test_a_disk_that_is_really_full_is_told_and_the_next_save_succeeds_once_there_is_room(small_disk):
    store = saved(small_disk, 100, 200)
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(RunIOError, match="No space left on device"):
        store.save("last", payload(300))
    assert newest(small_disk) == 200
    assert not list(small_disk.glob(".*"))
    ballast.unlink()
    store.save("last", payload(300))
    assert newest(small_disk) == 300


# ---- a kill ----


class _KilledWriter(io.FileIO):
    """A file whose write may be cut short by the end of the process."""

    count: Callable[[], bool]

    def write(self, data: Any) -> int:
        if type(self).count():
            super().write(bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(data)


def killed_at(call: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a child that is killed at its ``call``-th call to the system; whether it was.

    Counted are open, write (of which half comes through), fsync, link, rename and unlink.
    """
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
        return status != 0
    try:
        left = call

        def due() -> bool:
            nonlocal left
            left -= 1
            return left == 0

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*arguments: Any, **named: Any) -> Any:
                if due():
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **named)

            return counting

        _KilledWriter.count = due
        opened = io.open
        for name in ("open", "fsync", "link", "replace", "rename", "unlink"):
            setattr(os, name, counted(getattr(os, name)))
        io.open = counted(  # type: ignore[assignment]
            lambda path, mode="r", *rest, **named: (
                _KilledWriter(path, "w") if mode == "wb" else opened(path, mode, *rest, **named)
            )
        )
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


def test_a_save_that_is_killed_at_any_call_leaves_the_old_one_or_the_new_one(tmp_path):
    found = []
    for call in range(1, 100):
        folder = tmp_path / str(call)
        saved(folder, 100, 200, 300)
        killed = killed_at(call, lambda folder=folder: saved(folder, 400))
        found.append(newest(folder))
        if found[-1] == 300:
            damage(folder / "last.pt")
            assert newest(folder, told=[]) == 200
        saved(folder, 500)  # and the next session finds nothing in its way
        assert newest(folder) == 500
        assert not list(folder.glob(".*"))
        assert len(list(folder.iterdir())) <= 3
        if not killed:
            break
    assert not killed
    assert len(found) > 10, "hardly a call was counted"
    assert sorted(set(found)) == [300, 400]
    assert found == sorted(found)  # one of the calls makes it the new one


# ---- all of it, in any order ----


class Store(RuleBasedStateMachine):
    """The checkpoints of a run against a list of the saves that were acknowledged."""

    KEEP = 3

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.acknowledged: dict[str, list[int]] = {"last": [], "best": []}
        self.damaged: set[tuple[str, int]] = set()
        self.steps = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        self.store = KeptCheckpoints(self.folder, self.KEEP)

    def note(self, name: str) -> None:
        if self.steps not in self.acknowledged[name]:
            self.acknowledged[name].append(self.steps)
        self.damaged.discard((name, self.steps))

    @rule(name=st.sampled_from(["last", "best"]), more=st.sampled_from([0, 1, 50_000]))
    def save(self, name: str, more: int) -> None:
        self.steps += more
        self.store.save(name, payload(self.steps))
        self.note(name)

    @rule(name=st.sampled_from(["last", "best"]))
    def save_on_a_full_disk(self, name: str) -> None:
        self.steps += 1
        with no_room(), pytest.raises(RunIOError):
            self.store.save(name, payload(self.steps))

    @rule(name=st.sampled_from(["last", "best"]), call=st.integers(1, 16))
    def be_killed_while_saving(self, name: str, call: int) -> None:
        self.steps += 1
        before = set(self.acknowledged[name])
        if not killed_at(call, lambda: self.store.save(name, payload(self.steps))) or self.is_there(name):
            self.note(name)
        assert before <= set(self.acknowledged[name])
        self.store = KeptCheckpoints(self.folder, self.KEEP)

    def is_there(self, name: str) -> bool:
        with contextlib.suppress(CheckpointError):
            return newest(self.folder, name, []) == self.steps
        return False

    @precondition(lambda self: self.acknowledged["last"])
    @rule()
    def damage_the_newest(self) -> None:
        step = self.acknowledged["last"][-1]
        if ("last", step) not in self.damaged:
            damage(self.folder / "last.pt")
            self.damaged.add(("last", step))

    @rule()
    def begin_another_session(self) -> None:
        self.store = KeptCheckpoints(self.folder, self.KEEP)

    @invariant()
    def the_newest_whole_one_loads(self) -> None:
        for name, saves in self.acknowledged.items():
            whole = [step for step in saves[-self.KEEP :] if (name, step) not in self.damaged]
            if whole:
                assert newest(self.folder, name, []) == whole[-1]
            elif not saves:
                with pytest.raises(CheckpointError, match="there is no checkpoint"):
                    newest(self.folder, name, [])
            else:  # none, or one that stayed longer than it had to
                with contextlib.suppress(DamagedCheckpointError):
                    assert newest(self.folder, name, []) in saves

    @invariant()
    def no_more_stay_than_are_kept(self) -> None:
        for name in self.acknowledged:
            assert len(list(self.folder.glob(f"{name}*.pt"))) <= self.KEEP + 1  # one may have two names for a while
        assert not list(self.folder.glob(".*"))


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


# ---- which one a user means ----


def found(target: str | Path, runs_dir: str | Path = "runs", which: str = "best") -> Path:
    return open_checkpoint(target, runs_dir, which, pytest.fail)[0]


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
    assert found("latest", run.parents[1], which) == expected
    assert found(run, which=which) == expected
    assert found(str(run), which=which) == expected
    assert found(expected, which="best") == expected


def test_the_best_checkpoint_is_meant_unless_told(run):
    assert found(run).name == "best.pt"


@pytest.mark.parametrize(("which", "other"), [("best", "last"), ("last", "best")])
def test_the_other_checkpoint_serves_where_one_is_missing(run, which, other):
    (run / "checkpoints" / f"{which}.pt").unlink()
    assert found(run, which=which).name == f"{other}.pt"


def test_latest_keeps_meaning_the_run_it_meant(run):
    # the path that comes back does not go through the link, which a newer run moves
    assert "latest" not in found("latest", run.parents[1]).parts


def test_no_run_yet_is_told_with_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no latest run under .*; train one first with: a2c train"):
        found("latest", tmp_path)


def test_a_latest_that_leads_nowhere_is_no_run(run):
    for name in ("best", "last"):
        (run / "checkpoints" / f"{name}.pt").unlink()
    with pytest.raises(CheckpointError, match="latest is neither"):
        found("latest", run.parents[1])
    (run.parents[1] / "latest").unlink()
    (run.parents[1] / "latest").symlink_to("gone")
    with pytest.raises(CheckpointError, match="there is no latest run"):
        found("latest", run.parents[1])


@pytest.mark.parametrize("target", ["", "nowhere", "nowhere/best.pt"])
def test_what_is_neither_file_nor_run_is_named(tmp_path, target, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=f"^checkpoint error: {target} is neither a checkpoint nor a run folder"):
        found(target)
