"""A file is written whole or not at all, whoever writes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from a2c.storage.atomic import replacing, write_text


def test_a_new_file_replaces_the_old_one_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_text(path, "old")
    assert write_text(path, "nèw") == path
    assert path.read_bytes() == "nèw".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("no figure"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_what_fails_on_the_way_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = write_text(tmp_path / "curve.png", "old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "gone" / "file", "text")


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_text(tmp_path / "best.pt", "old")
    program = (
        "import sys, time; from pathlib import Path; from a2c.storage.atomic import replacing\n"
        f"with replacing(Path({str(path)!r})) as temporary:\n"
        "    temporary.write_text('half'); print('writing', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        os.kill(process.pid, signal.SIGKILL)
    assert path.read_text() == "old"
