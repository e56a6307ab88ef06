"""The doctor finds what is wrong with an environment, and nothing in a sound one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from a2c.api import load_config
from a2c.cli import main
from a2c.envs.examining import examination
from a2c.envs.examining.findings import BROKEN, CHANGE, GOOD, Finding
from a2c.envs.examining.recording import _play, first_difference
from a2c.envs.single.make_env import make_env


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "STEPS", 2000)
    monkeypatch.setattr(examination, "SECONDS", 600.0)  # steps decide, not the clock


def examined(name: str, algo: str = "a2c_paper") -> list[Finding]:
    """By default with plain A2C, whose settings even nothing out."""
    cfg = load_config(f"env.id=envs.examining.ailing:{name}-v0", f"algo={algo}", "vectorization=sync", "num_envs=2")
    return list(examination.examine(cfg))


def test_a_sound_environment_has_nothing_to_change() -> None:
    found = examined("Sound")
    assert {finding.kind for finding in found} == {GOOD}
    texts = "\n".join(finding.text for finding in found)
    assert "it keeps Gymnasium's API" in texts
    assert "equal seeds and actions give equal episodes" in texts
    assert "a resumed run goes on exactly: it plays its episodes again" in texts
    assert "rewards from 0 to 1" in texts
    assert "num_envs=2: in this process" in texts


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Forgetful", "equal seeds and actions give other numbers from the first observation in the same instance on"),
        ("Clocked", "episodes were terminated after exactly 20 steps: if that is a time limit, return truncated=True"),
        ("Endless", "no episode ended in 2,000 random steps: set a time limit with env.max_episode_steps"),
        ("Skewed", "observations are on very different scales (number 0:"),
        ("Symbolic", "are 4 at most: if they are symbols of a grid, env.symbols=[5,3] makes them one-hot"),
        ("Outside", "observations are outside the bounds of their space"),
        ("Constant", "1 of 2 numbers never changed (the first: 0)"),
        ("Unrewarding", "every reward was 0: random play never meets one"),
        ("Generous", "normalize_reward=true"),
        ("Masked", "infos offer 'action_mask', which training does not use"),
        ("Strong", "continuous actions lie in [-300, 300], but the first policy draws around 0 with spread 1"),
    ],
)
def test_what_is_wrong_is_the_one_thing_to_change(name: str, said: str) -> None:
    change = [finding.text for finding in examined(name) if finding.kind == CHANGE]
    ours = [text for text in change if not text.startswith("Gymnasium's checker")]
    assert len(ours) == 1, change
    assert said in ours[0]
    assert not [finding for finding in examined(name) if finding.kind == BROKEN]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Skewed", "normalize_obs=true evens them out"),
        ("Generous", "normalize_reward=true scales them"),
        ("Strong", "continuous actions lie in [-300, 300]"),  # a squashed policy draws within any bounds
    ],
)
def test_what_the_settings_take_care_of_needs_no_change(name: str, said: str) -> None:
    found = examined(name, "a2c")
    assert [finding.text for finding in found if finding.kind == CHANGE and "checker" not in finding.text] == []
    assert any(finding.text.endswith(said) for finding in found if finding.kind == GOOD)


def test_symbols_that_the_settings_name_need_no_change() -> None:
    cfg = load_config(
        "env.id=envs.examining.ailing:Symbolic-v0", "env.symbols=[9,3]", "vectorization=sync", "num_envs=2"
    )
    found = list(examination.examine(cfg))
    assert [finding.text for finding in found if finding.kind == CHANGE and "checker" not in finding.text] == []


def test_an_array_that_is_used_again_is_told_but_harms_nothing() -> None:
    assert Finding(GOOD, "it returns the same array at every step; training copies it, your own code may have to") in (
        examined("Reusing")
    )


def test_an_environment_that_raises_is_broken_with_its_own_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "env.id=envs.examining.ailing:Raising-v0", "num_envs=2", "vectorization=sync"]) == 3
    said = capsys.readouterr().out
    assert "x environment error: the environment (pid " in said
    assert "raised RuntimeError in step 4: the gripper is stuck" in said
    assert "ailing.py" in said


def test_the_report_holds_the_findings_and_the_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.md"
    arguments = ["doctor", "env.id=envs.examining.ailing:Clocked-v0", "vectorization=sync", "--report", str(path)]
    assert main(arguments) == 0
    text = path.read_text()
    assert text.splitlines()[0] == "a2c doctor env.id=envs.examining.ailing:Clocked-v0 vectorization=sync"
    assert "! all 100 episodes were terminated after exactly 20 steps" in text
    assert "torch 2" in text
    assert "gymnasium 1" in text
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--report"], "--report needs a file"),
        (["-m", "env=cartpole"], "a2c doctor has neither -m nor -c"),
        (["env.id=Nothing-v0"], "Nothing-v0"),
        (["--report=/nowhere/at/all.md", "env=cartpole", "vectorization=sync"], "cannot write /nowhere/at/all.md"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) in (2, 6)
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_no_play_outlasts_its_time() -> None:
    """An environment without end, in which a step takes a while, must not keep the doctor busy for minutes."""
    cfg = load_config("env.id=envs.examining.ailing:Endless-v0")
    assert len(_play(make_env(cfg.env), 1000, 0.0, 0)) == 2
    assert first_difference(partial(make_env, cfg.env), 1000, 0.0) is None


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--help"]) == 0
    assert "Usage: a2c doctor" in capsys.readouterr().out
