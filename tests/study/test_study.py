"""The study: what it stores, what it keeps, and how it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from a2c import cli
from a2c.errors import RunIOError
from a2c.settings.compose import compose_plain
from a2c.study import run
from a2c.study.claim import Claim, Verdict
from a2c.study.claims import CLAIMS, load
from a2c.study.record import stored

from .stubs import settings, stub


@pytest.fixture
def claims(monkeypatch) -> dict[str, Claim]:
    """Stubs in place of the claims."""
    stubs = {key: stub(key) for key in CLAIMS}
    monkeypatch.setattr(run, "load", stubs.__getitem__)
    return stubs


def fail(*_: object) -> None:
    raise ValueError("cannot be measured")


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_has_its_key_all_that_the_report_needs_and_the_code_that_it_names(key):
    claim = load(key)
    assert claim.key == key
    assert all((claim.title, claim.says, claim.formula, claim.method, claim.code))
    for line in claim.code:
        file, _, names = line.partition(": ")
        source = (Path(run.__file__).parents[2] / file).read_text()
        missing = [name for name in filter(None, names.split(", ")) if name.split(".")[-1] not in source]
        assert not missing, f"{line}: {missing}"


def test_a_study_writes_data_figure_and_report_for_every_claim(claims, tmp_path):
    told: list[str] = []
    outcome = run.study(settings(tmp_path), tell=told.append)
    assert (outcome.errors, outcome.stopped) == ({}, None)
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        *(f"{key}.{kind}" for key in CLAIMS for kind in ("json", "png")),
    }
    kept = json.loads((tmp_path / "lag.json").read_text())
    assert kept["data"] == {"scale": 1.0, "seeds": [1000, 1001]}
    assert kept["judgement"]["verdict"] == "supported"
    assert kept["settings"] == {"seeds": 2, "scale": 1.0, "seed": 1000}
    assert {"cpu", "cores", "gpu", "system", "versions"} == kept["machine"].keys()
    assert {"a2c", "python", "torch", "scipy"} <= kept["machine"]["versions"].keys()
    assert kept["seconds"] >= 0
    assert told[0] == "[1/8] n_step: The title of n_step"
    assert told[-1] == f"report: {tmp_path / 'report.html'}"


def test_claims_are_measured_in_their_own_order_and_the_rest_is_kept(claims, tmp_path):
    run.study(settings(tmp_path, claims=["lag"], scale=2.0))
    before = (tmp_path / "lag.json").read_bytes()
    told: list[str] = []
    run.study(settings(tmp_path, claims=["entropy", "coverage"]), tell=told.append)
    assert [line for line in told if line.startswith("[")] == [
        "[1/2] coverage: The title of coverage",
        "[2/2] entropy: The title of entropy",
    ]
    assert (tmp_path / "lag.json").read_bytes() == before
    report = (tmp_path / "report.html").read_text()
    measured = 3  # lag, coverage and entropy, each in the summary, over its section and with its reasons
    assert report.count("✓ supported") == 3 * measured
    assert report.count("data:image/png") == measured


def test_a_claim_that_fails_does_not_stop_the_others(claims, tmp_path):
    claims["coverage"] = stub("coverage", measure=fail)
    claims["lag"] = stub("lag", measure=lambda settings: {"not": float("nan")})
    told: list[str] = []
    outcome = run.study(settings(tmp_path), tell=told.append)
    assert list(outcome.errors) == ["coverage", "lag"]
    assert "      failed: ValueError: cannot be measured" in told
    assert stored(tmp_path, CLAIMS).keys() == set(CLAIMS) - {"coverage", "lag"}
    assert "The title of coverage" in (tmp_path / "report.html").read_text()


def test_a_figure_never_belongs_to_another_measurement(claims, tmp_path):
    run.study(settings(tmp_path, claims=["lag"]))
    claims["lag"] = stub("lag", draw=fail)
    run.study(settings(tmp_path, claims=["lag"], scale=3.0))
    assert stored(tmp_path, ["lag"])["lag"].data["scale"] == 3.0
    assert not (tmp_path / "lag.png").exists()


def test_what_was_measured_is_judged_and_drawn_again_without_measuring(claims, tmp_path):
    run.study(settings(tmp_path, claims=["lag", "entropy"], scale=0.5))
    old = stored(tmp_path, ["lag"])["lag"]
    judged = dataclasses.replace(old.judgement, verdict=Verdict.CONDITIONAL)
    for key in CLAIMS:
        claims[key] = stub(key, measure=fail, judge=lambda data: judged)
    outcome = run.study(settings(tmp_path, claims=["lag"]), measure=False)
    assert not outcome.errors
    new = stored(tmp_path, ["lag", "entropy"])
    assert new["lag"] == dataclasses.replace(old, judgement=judged)  # scale, date and seconds are of the measurement
    assert new["entropy"].judgement.verdict is Verdict.NOT_SUPPORTED  # was not asked for


def test_an_interrupt_keeps_and_reports_what_was_measured(claims, tmp_path):
    def interrupt(_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    claims["coverage"] = stub("coverage", measure=interrupt)
    before = signal.getsignal(signal.SIGINT)
    outcome = run.study(settings(tmp_path))
    assert outcome.stopped == "SIGINT"
    assert stored(tmp_path, CLAIMS).keys() == {"n_step", "decorrelation"}
    assert (tmp_path / "report.html").read_text().count("✓ supported") == 3 * 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_damaged_record_and_a_folder_that_is_a_file_are_named(claims, tmp_path):
    (tmp_path / "lag.json").write_text("{")
    with pytest.raises(RunIOError, match=r"cannot read .*lag\.json .*; remove it"):
        run.study(settings(tmp_path))
    with pytest.raises(RunIOError, match=r"cannot write .*lag\.json"):
        run.study(settings(tmp_path / "lag.json"))


def test_the_command_passes_its_settings_on_and_ends_with_the_code_of_what_failed(claims, tmp_path, capsys):
    arguments = ["study", "claims=[lag,entropy]", "seeds=3", "scale=2", "seed=7", f"folder={tmp_path}"]
    assert cli.main(arguments) == 0
    assert stored(tmp_path, ["entropy"])["entropy"].data == {"scale": 2.0, "seeds": [7, 8, 9]}
    assert cli.main([*arguments, "measure=false"]) == 0
    claims["lag"] = stub("lag", measure=fail)
    assert cli.main(arguments) == 1
    assert "ValueError: cannot be measured" in capsys.readouterr().err


def test_the_values_of_the_settings_are_those_of_the_study_at_its_usual_size():
    assert compose_plain("study", []) == {
        "claims": [],
        "seeds": 5,
        "scale": 1.0,
        "seed": 1000,
        "jobs": None,
        "folder": "runs/study",
        "measure": True,
    }


MISTAKES = {
    "claims=[lagg]": "config error: unknown claim 'lagg'; did you mean 'lag'? Claims: n_step, decorrelation, ",
    "claims=[xyz]": "config error: unknown claim 'xyz'; claims: n_step, decorrelation, ",
    "claims=lag": "config error: claims='lag' must be a list, like [a,b]",
    "claim=[lag]": "config error: unknown key 'claim'; did you mean 'claims'?",
    "seeds=1": "config error: seeds=1 must be >= 2",
    "scale=0": "config error: scale=0.0 must be > 0",
    "jobs=0": "config error: jobs=0 must be >= 1",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_a_mistake_is_told_in_one_line_before_anything_is_measured(argument, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["study", argument]) == 2
    told = capsys.readouterr().err
    assert told.startswith(MISTAKES[argument])
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_claim_and_setting(capsys):
    assert cli.main(["study", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(key in shown for key in CLAIMS)
    assert all(f"  {name}=" in shown for name in ("claims", "seeds", "scale", "seed", "jobs", "folder", "measure"))


SLEEPER = """
import sys, time
from pathlib import Path
from a2c.study.parallel import each

def sleep(seconds):
    Path(f"awake-{seconds}").touch()
    time.sleep(seconds)

def measure(settings):
    each(sleep, [3600, 3601, 3602], settings.jobs)
"""

STUDY = """
import sys
import sleeper
from a2c import cli
from a2c.study import run
from study.stubs import stub
run.load = lambda key: stub(key, **({"measure": sleeper.measure} if key == "lag" else {}))
sys.exit(cli.main(["study", "claims=[coverage,lag]", "jobs=2", "folder=out"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("to_group", [True, pytest.param(False, marks=pytest.mark.long)], ids=["terminal", "kill"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)]
)
def test_a_signal_ends_a_real_study_and_all_its_processes_in_order(tmp_path, number, code, to_group):
    (tmp_path / "sleeper.py").write_text(textwrap.dedent(SLEEPER))
    tests = str(Path(__file__).parents[1])
    paths = [str(tmp_path), tests, *filter(None, [os.environ.get("PYTHONPATH")])]
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", STUDY],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        )
        try:
            wait_for(lambda: len(list(tmp_path.glob("awake-*"))) == 2)
            (os.killpg if to_group else os.kill)(process.pid, number)
            assert process.wait(timeout=300) == code
        finally:
            process.kill()
            process.wait()
    assert (tmp_path / "err").read_text() == ""
    assert stored(tmp_path / "out", CLAIMS).keys() == {"coverage"}
    assert "The title of lag" in (tmp_path / "out" / "report.html").read_text()
    # and no process is left: the fixture no_leaks looks for our children, this for orphans of the session
    wait_for(lambda: not members_of_session(process.pid))


def members_of_session(leader: int) -> list[int]:
    """Processes of the session that ``leader`` began (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            session = path.read_text().rpartition(")")[2].split()[3]
        except OSError:
            continue
        if int(session) == leader:
            found.append(int(path.parent.name))
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
