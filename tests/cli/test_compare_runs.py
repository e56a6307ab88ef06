"""``a2c compare``, ``runs`` and ``show`` as typed, and what follows a multirun."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from a2c import cli
from a2c.cli import completion
from a2c.errors import NumericError
from a2c.run.summary import Summary
from a2c.settings.config import Config
from a2c.storage.metrics_file import read_rows
from a2c.storage.run_lock import locked
from builders import LIGHT
from past_runs import past_run


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def four_runs() -> None:
    for lr in (0.1, 0.2):
        for seed in (1, 2):
            past_run(f"Cart/{lr}-{seed}", f"lr={lr}", f"seed={seed}", scores=[1, 5, 9], final=9.0, threshold=5.0)


def test_a_comparison_is_a_table_and_a_picture_beside_the_runs(capsys):
    four_runs()
    assert cli.main(["compare", "runs/Cart/*"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("CartPole-v1\n---")
    assert out.endswith("\nruns/Cart/compare.png\n")
    with Image.open("runs/Cart/compare.png") as picture:
        assert picture.width > 800
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0, 0x72, 0xB2), (0xD5, 0x5E, 0)} <= colours  # a line for each of two groups


def test_its_files_are_written_where_one_says(capsys):
    four_runs()
    line = "compare runs --score 9 --out a.svg --csv b.csv --json c.json"
    assert cli.main(line.split()) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == ["b.csv", "c.json", "a.svg"]
    first = Path("a.svg").read_bytes()
    assert Path("b.csv").read_text().count("\n") == 3
    assert json.loads(Path("c.json").read_text())["groups"][0]["figures"]["steps_to_aim"] == 300
    assert cli.main(["compare", "runs", "--score=9", "--out", "b.svg"]) == 0
    assert Path("b.svg").read_bytes() == first  # the same runs draw the same bytes
    assert cli.main(["compare", "runs", "--out", "a.pdf"]) == 0
    assert Path("a.pdf").read_bytes().startswith(b"%PDF")


def test_damaged_and_foreign_folders_are_named_and_no_failure(capsys):
    four_runs()
    Path("runs/Cart/0.1-1/summary.json").write_text("{")
    Path("runs/Cart/0.1-2/.hydra/config.yaml").unlink()
    assert cli.main(["compare", "runs"]) == 0
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()] == ["left out runs/Cart/0.1-1", "left out runs/Cart/0.1-2"]
    assert "all equal" in out


ENDINGS = {
    "compare": "config error: name a run: latest, a folder, or a pattern",
    "compare runs/none": "config error: there is no runs/none\n",
    "compare runs/*x": "config error: nothing fits runs/*x\n",
    "compare .": "left out .: ",
    "compare runs --score high": "config error: argument --score: invalid float value: 'high'\n",
    "compare runs --score nan": "config error: --score nan must be finite\n",
    "compare runs --out a.gif": "config error: --out a.gif must end in .png, .pdf, .svg\n",
    "compare runs --by lr": "config error: unrecognized arguments: --by",
    "runs": "config error: there is no runs\n",
    "runs --all": "config error: unknown option '--all'; a2c runs --help\n",
    "show": "config error: name a run",
    "show latest": "config error: there is no runs/latest\n",
    "show --all": "config error: unknown option '--all'; a2c show --help\n",
}


@pytest.mark.parametrize("line", ENDINGS)
def test_a_mistake_ends_in_one_line_and_exit_code_2(line, capsys):
    assert cli.main(line.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(ENDINGS[line])
    assert list(Path().iterdir()) == []


def test_a_picture_that_cannot_be_written_is_an_io_error(capsys):
    four_runs()
    assert cli.main(["compare", "runs", "--out", "nowhere/a.png"]) == 6
    assert capsys.readouterr().err.startswith("i/o error: cannot write ")


def test_scores_below_zero_can_be_asked_for(capsys):
    past_run("a", scores=[-200, -90], final=-90.0)
    assert cli.main(["compare", "runs/a", "--score", "-100"]) == 0
    assert "reach -100" in capsys.readouterr().out


def test_runs_are_listed_with_their_states(capsys):
    past_run("done", scores=[1], final=1.0)
    past_run("cut", "total_steps=9", scores=[1], stopped="SIGTERM")
    past_run("dead")
    with locked(past_run("busy"), pytest.fail):
        assert cli.main(["runs"]) == 0
        shown = capsys.readouterr().out.splitlines()[3:7]
    states = {line.split()[0]: line.split()[2] for line in shown}
    assert states == {
        "runs/done": "finished", "runs/cut": "stopped", "runs/dead": "failed", "runs/busy": "running",
    }  # fmt: skip
    Path("runs").rename("elsewhere")
    assert cli.main(["runs", "runs_dir=elsewhere"]) == 0
    assert capsys.readouterr().out.count("elsewhere/") == 4


def test_one_run_is_shown_by_name_as_elsewhere(capsys):
    past_run("a", "lr=0.5", scores=[1], final=1.0)
    Path("runs/latest").symlink_to("a")
    for named in (["latest"], ["run=latest"], ["runs/a"], ["latest", "runs_dir=runs"]):
        assert cli.main(["show", *named]) == 0
        assert "lr=0.5 (0.0007)" in capsys.readouterr().out
    past_run("b")
    assert cli.main(["show", "runs"]) == 2
    assert capsys.readouterr().err == "config error: a2c show takes one run, not 2; a2c runs lists them\n"


@pytest.mark.parametrize("command", ["compare", "runs", "show"])
def test_the_commands_explain_themselves(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: a2c {command} ")


def test_completion_offers_the_folders_of_runs(monkeypatch, capsys):
    four_runs()
    monkeypatch.setenv("COMP_LINE", "a2c show runs/Cart/0.2")
    assert completion.complete(["query=bash"]) == 0
    assert capsys.readouterr().out.split() == ["runs/Cart/0.2-1", "runs/Cart/0.2-2"]


def test_looking_at_runs_does_not_wait_for_torch():
    four_runs()
    program = """
import sys
from a2c.cli import main
assert main(["runs"]) == 0
assert main(["show", "runs/Cart/0.1-1"]) == 0
assert not {"torch", "scipy", "matplotlib", "gymnasium"} & set(sys.modules)
assert main(["compare", "runs"]) == 0
assert not {"torch", "gymnasium"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


def test_after_a_multirun_its_runs_are_compared_and_the_failed_are_named_last(capsys, monkeypatch):
    def train_in(cfg: Config, folder: Path) -> Summary:
        if cfg.seed == 2:
            raise NumericError("boom")
        (folder / "metrics.jsonl").write_text('{"global_step": 100, "rollout/ep_rew_mean": 1.0}\n')
        (folder / "summary.json").write_text('{"env_steps": 100, "eval_mean": 3.0}')
        return Summary(**dict.fromkeys(Summary.__dataclass_fields__) | {"env_steps": 100})

    monkeypatch.setattr("a2c.api.train_in", train_in)
    assert cli.main(["train", "-m", "seed=1,2,3", "total_steps=100"]) == 4
    out, err = capsys.readouterr()
    assert "\n\nCartPole-v1\n---" in out
    assert "does not count: failed after 0 of 100 steps" in out
    picture, again = out.splitlines()[-2:]
    picture = Path(picture)
    assert picture.is_file()
    assert re.fullmatch(r"again: a2c compare( runs/CartPole-v1/[\w-]+-seed[123]){3}", again)
    assert picture.parent == Path("runs/CartPole-v1")
    assert err == "numeric error: boom\n1 of 3 runs failed: run 2 seed=2 (exit code 4)\n"


def test_a_comparison_that_fails_is_no_failure_of_the_multirun(capsys, monkeypatch):
    def train_in(cfg: Config, folder: Path) -> Summary:
        (folder / "metrics.jsonl").write_text('{"global_step": 100}\n')
        return Summary(**dict.fromkeys(Summary.__dataclass_fields__) | {"env_steps": 100})

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", "compare.png")

    monkeypatch.setattr("a2c.api.train_in", train_in)
    monkeypatch.setattr("a2c.run.comparing.comparison_picture.draw_comparison", full)
    assert cli.main(["train", "-m", "seed=1,2"]) == 0
    said = "the runs are not compared: cannot write compare.png: No space left on device\n"
    assert capsys.readouterr().err == said


def test_a_real_multirun_ends_with_its_comparison(capsys):
    assert cli.main(["train", *LIGHT, "-m", "seed=1,2", "total_steps=400"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (table,) = (line for line in lines if line.startswith("all equal"))
    assert table.split()[:3] == ["all", "equal", "2"]
    assert Path(lines[-2]).is_file()
    assert cli.main(lines[-1].removeprefix("again: a2c ").split()) == 0
    assert table in capsys.readouterr().out.splitlines()
    for folder in Path("runs/CartPole-v1").glob("*seed?"):
        elapsed = [row["time/time_elapsed"] for row in read_rows(folder / "metrics.jsonl")]
        assert elapsed == sorted(elapsed)
        assert 0 < elapsed[-1] <= json.loads((folder / "summary.json").read_text())["wall_time"]
