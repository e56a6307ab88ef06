"""examples/notebook.ipynb: its cells run as in a notebook, and it is one that Jupyter opens.

Neither a2c nor its tests need Jupyter or IPython. ``notebook_kernel.py`` does what of them an environment, a network or
a callback can notice: the cells run in turn, in a running event loop, in a fresh ``__main__`` without a ``__file__``,
from files that exist in ``linecache`` alone; ``print`` goes to a stream of the kernel's kind. Not covered are IPython's
own syntax (``%magic``, ``await`` in a cell), how it shows values and tracebacks, and interrupts from the front end.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import a2c
import notebook_kernel
from builders import LIGHT

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
BOOK = json.loads(NOTEBOOK.read_text())
QUICK = ("total_steps=400", "num_envs=4", "eval.every=200", "eval.episodes=2", "eval.final_episodes=2", "log_every=100")


@pytest.mark.slow
def test_its_cells_run_with_workers_and_evaluations_in_processes_of_their_own(tmp_path: Path) -> None:
    """The classes and functions of cells reach them, though no import finds one."""
    kernel = [sys.executable, notebook_kernel.__file__, str(NOTEBOOK), *QUICK, "eval.apart=true", "device=cpu"]
    environ = {**os.environ, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        kernel, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path, env=environ, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert re.search(r"environments +2 workers", said)
    assert re.search(r"% .*\d+/400 ", said)  # the bar
    (folder,) = (tmp_path / "runs").glob("__main__-Hover/2*")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert any("callback/distance" in row for row in rows)
    assert re.findall(r"<Figure of cell (\d)>", said) == ["6", "8"]
    score = json.loads((folder / "summary.json").read_text())["eval_mean"]
    assert re.search(r"^Out\[7\]: -\d+\.\d+$", said, re.MULTILINE)
    assert -600 < score < 0


def test_what_fails_in_a_cell_is_shown_with_the_line_of_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cell = "def fail(progress):\n    return 1 / 0  # of the cell\n\nsummary = a2c.train(cfg, on_report=fail)"
    variables: dict[str, Any] = {"a2c": a2c, "cfg": a2c.load_config("env=cartpole", *LIGHT, "total_steps=50")}
    with pytest.raises(a2c.CallbackFailure, match=r"on_report \(fail\) raised ZeroDivisionError") as caught:
        asyncio.run(notebook_kernel.run(["pass", cell], variables))
    (traceback,) = caught.value.__notes__
    assert 'File "<ipython-input-2>", line 2, in fail\n    return 1 / 0  # of the cell' in traceback


def test_jupyter_opens_it() -> None:
    """The rules of nbformat 4.5, and those of a notebook in a repository: no outputs."""
    assert (BOOK["nbformat"], BOOK["nbformat_minor"]) == (4, 5)
    assert set(BOOK) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert BOOK["metadata"]["kernelspec"].keys() >= {"name", "display_name"}
    assert BOOK["metadata"]["language_info"]["name"] == "python"
    ids = [cell["id"] for cell in BOOK["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in BOOK["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert cell["metadata"] == {}
        assert all(isinstance(line, str) and line.endswith("\n") for line in cell["source"][:-1])
        assert not cell["source"][-1].endswith("\n")
        own = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert (set(cell) - own, cell["outputs"], cell["execution_count"]) == (
                {"outputs", "execution_count"},
                [],
                None,
            )
        else:
            assert (cell["cell_type"], set(cell)) == ("markdown", own)
    for link in re.findall(r"\]\((\S+?)\)", NOTEBOOK.read_text()):
        assert (NOTEBOOK.parent / link).exists()
