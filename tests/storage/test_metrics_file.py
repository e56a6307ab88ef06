"""metrics.jsonl is the record of truth: exact, valid, whole lines, continued without a step twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2c.errors import RunIOError
from a2c.storage.metrics_file import MetricsFile, plain, read_rows


def write(path: Path, *steps: int, resume_from: int | None = None) -> None:
    rows = MetricsFile(path, resume_from)
    for step in steps:
        rows.append({"global_step": step, "loss": step / 3})
    rows.close()


def steps_in(path: Path) -> list[int]:
    return [row["global_step"] for row in read_rows(path)]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_comes_back_bit_for_bit(value: float) -> None:
    assert json.loads(json.dumps(plain(value))) == value


def test_numbers_of_other_libraries_are_written_in_full(tmp_path: Path) -> None:
    rows = MetricsFile(tmp_path / "metrics.jsonl")
    rows.append({"global_step": np.int64(7), "loss": np.float32(0.1), "flag": True, "note": "x"})
    rows.close()
    # The nearest float32 to 0.1, not the text "0.1".
    assert read_rows(rows.path) == [{"global_step": 7, "loss": 0.10000000149011612, "flag": True, "note": "x"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan"), None])
def test_what_is_not_finite_is_null_and_the_line_stays_valid_json(tmp_path: Path, value: Any) -> None:
    rows = MetricsFile(tmp_path / "metrics.jsonl")
    rows.append({"global_step": 1, "loss": value})
    rows.close()
    assert rows.path.read_text() == '{"global_step": 1, "loss": null}\n'


def test_a_row_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    rows = MetricsFile(tmp_path / "metrics.jsonl")
    rows.append({"global_step": 1})
    assert steps_in(rows.path) == [1]  # not closed, not flushed by anyone
    rows.close()


def test_resuming_drops_the_rows_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 10, 20, 30, 40)
    write(path, 30, 50, resume_from=20)  # the checkpoint was at 20: 30 and 40 are made again
    assert steps_in(path) == [10, 20, 30, 50]


def test_resuming_exactly_where_the_rows_end_keeps_them_all(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 10, 20)
    write(path, 30, resume_from=20)
    assert steps_in(path) == [10, 20, 30]


def test_a_line_cut_off_by_a_kill_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 10)
    with path.open("ab") as file:
        file.write(b'{"global_step": 20, "lo')
    assert steps_in(path) == [10]
    write(path, 30, resume_from=25)
    assert steps_in(path) == [10, 30]


GARBAGE = [b"garbage", b"\xff\xfe", b"[1]", b'{"loss": 1}', b'{"global_step": "7"}', b"null", b"", b"[" * 5000]


@pytest.mark.parametrize("line", GARBAGE, ids=range(len(GARBAGE)))
def test_a_line_that_is_no_row_is_told_and_skipped(tmp_path: Path, line: bytes, caplog: Any) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 10)
    with path.open("ab") as file:
        file.write(line + b"\n")
    write(path, 20, 30, 40, resume_from=30)  # after the garbage
    assert steps_in(path) == [10, 20, 30, 40]
    write(path, 35, resume_from=30)
    assert steps_in(path) == [10, 20, 30, 35]  # nothing after it was lost, nothing twice
    assert f"{path}: line 2 is no row of metrics; it is skipped" in caplog.text


def test_a_new_run_starts_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 10, 20)
    write(path, 5)
    assert steps_in(path) == [5]


def test_a_full_disk_stops_the_run_with_exit_code_6() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    rows = MetricsFile(Path("/dev/full"))
    with pytest.raises(RunIOError, match=r"i/o error: cannot write /dev/full: No space left on device") as caught:
        rows.append({"global_step": 1})
    rows.close()
    assert caught.value.exit_code == 6


def test_half_a_row_on_a_full_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = MetricsFile(tmp_path / "metrics.jsonl")
    rows.append({"global_step": 1})
    real = rows._file

    class FillingUp:
        """Takes five bytes, then has no room."""

        taken = 0

        def write(self, data: bytes) -> int:
            if self.taken:
                raise OSError(28, "No space left on device")
            self.taken = real.write(data[:5])
            return self.taken

        def truncate(self, size: int) -> int:
            return real.truncate(size)

    monkeypatch.setattr(rows, "_file", FillingUp())
    with pytest.raises(RunIOError):
        rows.append({"global_step": 2})
    real.close()
    assert rows.path.read_text() == '{"global_step": 1}\n'


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = MetricsFile(tmp_path / "metrics.jsonl")
    real = rows._file

    class Sips:
        def write(self, data: bytes) -> int:
            return real.write(data[:4])

    monkeypatch.setattr(rows, "_file", Sips())
    rows.append({"global_step": 12345})
    real.close()
    assert rows.path.read_text() == '{"global_step": 12345}\n'


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(RunIOError, match="No such file or directory"):
        MetricsFile(tmp_path / "missing" / "metrics.jsonl")


def test_resuming_without_a_file_starts_one(tmp_path: Path) -> None:
    write(tmp_path / "metrics.jsonl", 30, resume_from=20)
    assert steps_in(tmp_path / "metrics.jsonl") == [30]
    assert os.listdir(tmp_path) == ["metrics.jsonl"]
