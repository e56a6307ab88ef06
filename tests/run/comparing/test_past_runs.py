"""What a run folder tells: its state, whatever ended it; folders of others and damaged ones; lists and facts."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from a2c.errors import ConfigError
from a2c.run.comparing.past_run import read_run
from a2c.run.comparing.run_facts import facts_of
from a2c.run.comparing.run_list import listed
from a2c.run.comparing.run_search import find_runs
from a2c.run.showing.figures import age
from a2c.settings.overrides import parse
from a2c.storage.metrics_file import last_row
from a2c.storage.run_lock import is_held, locked
from past_runs import past_run


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_is_finished_when_it_has_all_its_steps():
    run = read_run(past_run("a", scores=[1, 2], final=2.5, threshold=475.0))
    assert (run.state, run.env_steps, run.score, run.latest, run.threshold) == ("finished", 200, 2.5, 2.0, 475.0)


def test_a_run_that_was_stopped_says_so():
    run = read_run(past_run("a", "total_steps=900", scores=[1, 2], stopped="SIGINT"))
    assert (run.state, run.env_steps, run.score) == ("stopped", 200, None)


def test_a_run_without_a_summary_has_failed():
    assert read_run(past_run("a", scores=[1])).state == "failed"
    assert read_run(past_run("b")).state == "failed"  # before its first row


def test_a_run_whose_lock_is_held_is_running_whatever_it_has_written():
    folder = past_run("a", scores=[1], final=1.0)
    with locked(folder, pytest.fail):
        assert read_run(folder).state == "running"
        assert read_run(folder).score is None  # that of an earlier session
    assert read_run(folder).state == "finished"


def test_looking_at_a_lock_takes_nothing():
    folder = past_run("a")
    before = (folder / ".lock").read_bytes()
    assert not is_held(folder)
    assert (folder / ".lock").read_bytes() == before
    (folder / ".lock").unlink()
    assert not is_held(folder)
    assert not (folder / ".lock").exists()
    with locked(folder, pytest.fail):  # nobody holds it
        assert is_held(folder)


def test_a_run_begins_although_somebody_looks_at_its_lock(monkeypatch: pytest.MonkeyPatch):
    import fcntl

    folder = past_run("a")
    glance = os.open(folder / ".lock", os.O_RDONLY)
    fcntl.flock(glance, fcntl.LOCK_SH)
    monkeypatch.setattr("a2c.storage.run_lock.time.sleep", lambda seconds: os.close(glance))
    with locked(folder, pytest.fail):
        assert is_held(folder)


def test_a_resumed_run_that_died_has_failed_although_its_first_session_left_a_summary():
    steps = {"env_steps": 100}
    stopped = past_run("a", "total_steps=900", scores=[1, 2, 3], stopped="SIGTERM", summary=steps)
    assert read_run(stopped).state == "failed"
    extended = past_run("b", "total_steps=900", scores=[1], final=1.0)
    assert (read_run(extended).state, read_run(extended).score) == ("failed", None)


def test_a_run_that_reached_its_score_before_all_steps_is_finished():
    ended = {"ended": "score 480 reached stop_at=475"}
    early = past_run("a", "total_steps=900", scores=[1, 480], final=470.0, summary=ended)
    assert (read_run(early).state, read_run(early).score, read_run(early).env_steps) == ("finished", 470.0, 200)
    stopped = past_run("b", "total_steps=900", scores=[1, 480], stopped="SIGINT", summary=ended)
    assert read_run(stopped).state == "stopped"


DAMAGES = {
    "no settings": (".hydra/config.yaml", None, "holds no settings of a run"),
    "settings cut short": (".hydra/config.yaml", "env: {id: [", "config.yaml line"),
    "settings of something else": (".hydra/config.yaml", "epochs: 3\n", "unknown key 'epochs'"),
    "settings without end": (".hydra/config.yaml", "a: &a [*a]\n", "without end"),
    "an object": (".hydra/config.yaml", "env: !!python/object/apply:os.system [touch ran]\n", "config.yaml"),
    "a summary cut short": ("summary.json", '{"env_steps": 1', "summary.json is damaged"),
    "a summary of something else": ("summary.json", '{"loss": 1}', "holds no env_steps"),
    "a deep summary": ("summary.json", "[" * 100_000, "summary.json is damaged"),
    "rows of nothing": ("metrics.jsonl", "garbage\n" * 3, "ends in nothing that is a row"),
    "a step beyond all numbers": ("metrics.jsonl", '{"global_step": 1e999}\n', "ends in nothing that is a row"),
    "no text": (".hydra/config.yaml", b"\xff\xfe\x00", "UTF-8"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_named_and_left_out(damage: str):
    name, content, said = DAMAGES[damage]
    good, bad = past_run("good", scores=[1], final=1.0), past_run("bad", scores=[1], final=1.0)
    if content is None:
        (bad / name).unlink()
    else:
        (bad / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    told: list[str] = []
    runs = find_runs(["runs"], "runs", told.append)
    assert [run.folder for run in runs] == [good.resolve()]
    (line,) = told
    assert line.startswith("left out runs/bad: ")
    assert said in line
    assert "\n" not in line
    assert not Path("ran").exists()


def test_odd_values_in_a_file_are_no_values():
    odd = {"eval_mean": "high", "reward_threshold": True, "best_step": 10**400}
    run = read_run(past_run("a", scores=[1], summary=odd, rows=[{"global_step": 100, "eval/mean_reward": "x"}]))
    assert (run.state, run.score, run.threshold, run.best_step, run.latest) == ("finished", None, None, None, None)


def test_runs_are_found_by_folder_pattern_and_name_each_once():
    first, second = past_run("CartPole-v1/one"), past_run("CartPole-v1/two")
    other = past_run("Acrobot-v1/one")
    Path("runs/CartPole-v1/compare.png").write_text("")
    Path("runs/wandb/offline").mkdir(parents=True)
    Path("runs/latest").symlink_to("CartPole-v1/two")
    found = {
        ("runs",): [other, first, second],
        ("latest",): [second],
        ("runs/CartPole-v1", "latest"): [first, second],
        ("runs/*/one",): [other, first],
        (str(second), "runs/CartPole-v1/*"): [second, first],
    }
    for targets, folders in found.items():
        runs = find_runs(targets, "runs", pytest.fail)
        assert [run.folder for run in runs] == [folder.resolve() for folder in folders], targets


def test_a_folder_named_like_a_pattern_is_that_folder():
    folder = past_run("lr=[1]*")
    assert [run.folder for run in find_runs([str(folder)], "runs", pytest.fail)] == [folder.resolve()]
    assert len(find_runs(["runs/*"], "runs", pytest.fail)) == 1


def test_what_is_not_there_is_said():
    for target, said in {"runs/none": "there is no runs/none", "runs/*x": r"nothing fits runs/\*x"}.items():
        with pytest.raises(ConfigError, match=said):
            find_runs([target], "runs", pytest.fail)
    told: list[str] = []
    Path("empty").mkdir()
    assert find_runs(["empty"], "runs", told.append) == []
    assert told == ["left out empty: " + f"{Path('empty').resolve()} holds no settings of a run (.hydra/config.yaml)"]


def test_the_last_row_is_read_from_the_end_of_the_file():
    file = Path("metrics.jsonl")
    assert last_row(file) is None
    file.write_text("".join(json.dumps({"global_step": step, "fill": "x" * 1000}) + "\n" for step in range(200)))
    assert last_row(file)["global_step"] == 199
    with file.open("a") as more:
        more.write('nothing\n{"global_step": 200, "fi')  # a last line that a dying process left
    assert last_row(file)["global_step"] == 199


def test_the_list_has_a_line_for_each_run_those_that_wrote_last_at_the_end():
    old, new = past_run("old", scores=[1], final=1234.5, summary={"eval_std": 0.5}), past_run("new", scores=[7])
    for place, seconds in ((old, 1000), (new, 5000)):
        for path in place.rglob("*"):
            os.utime(path, (seconds, seconds))
    lines = listed(find_runs(["runs/new", "runs/old"], "runs", pytest.fail), now=5065)
    assert [line.split() for line in lines[3:5]] == [
        ["runs/old", "CartPole-v1", "finished", "100", "of", "100", "1,234", "±0.5", "1h"],
        ["runs/new", "CartPole-v1", "failed", "100", "of", "100", "~7.0", "1m"],
    ]
    assert lines[-1].startswith("~: ")


def test_an_age_is_in_its_largest_unit():
    ages = {0: "0s", -3: "0s", 59.9: "59s", 60: "1m", 86399: "23h", 9e5: "10d"}
    assert {seconds: age(seconds) for seconds in ages} == ages


def test_what_a_terminal_would_obey_is_shown_as_a_question_mark():
    folder = past_run("a")
    path = folder / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("name: null", 'name: "x\\e[2Jy"'))
    facts = facts_of(read_run(folder))
    assert ("", "name=x?[2Jy (null)") in facts


def test_the_facts_say_what_differs_from_the_preset_and_how_to_go_on():
    more = {"eval_std": 2.0, "eval_episodes": 20, "best_step": 300, "best_eval": 490.0, "wall_time": 65.0}
    folder = past_run("a", "lr=0.5", "seed=7", scores=[1, 2], final=480.0, threshold=475.0, summary=more)
    (folder / "checkpoints").mkdir()
    for name in ("last.pt", "last-000000100.pt", "best.pt"):
        (folder / "checkpoints" / name).write_bytes(b"no checkpoint is read")
    facts = facts_of(read_run(folder))
    named = {name: text for name, text in facts if name}
    assert named["state"].startswith("finished: 200 of 200 steps in 1m05s")
    score = "480.0 ±2.0 over 20 episodes, threshold 475: reached; of the checkpoint after 300 steps"
    assert named["score"].startswith(score)
    assert named["settings"] == "env=cartpole algo=a2c, but"
    differing = [text for name, text in facts if not name and "=" in text]
    assert [text.split()[0] for text in differing] == ["total_steps=200", "lr=0.5", "seed=7"]
    assert [text.split()[0] for _, text in facts if ".pt" in text] == ["last.pt", "last-000000100.pt", "best.pt"]
    assert named["go on"] == "a2c train resume=runs/a total_steps=..."


def test_the_command_goes_on_with_what_a_run_does_not_keep():
    changes = ("env.id=mine:My-v0", "env.kwargs={api_key: <redacted>}", "total_steps=900", "runs_dir=there")
    folder = past_run("it's", *changes, scores=[1], stopped="SIGINT")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.pt").write_text("")
    facts = dict(facts_of(read_run(folder)))
    command = shlex.split(facts["go on"])
    assert command[:2] == ["a2c", "train"]
    assert parse(command[2])[1].value() == "runs/it's"
    assert command[3:] == ["runs_dir=there", "--trust", "env.kwargs.api_key=..."]


def test_a_run_that_is_going_on_or_has_no_checkpoint_has_no_such_command():
    folder = past_run("a")
    assert dict(facts_of(read_run(folder)))["go on"] == "it has no checkpoint to go on from"
    with locked(folder, pytest.fail):
        assert dict(facts_of(read_run(folder)))["go on"] == "it is going on"
