"""Rows reach metrics.jsonl and W&B; whatever W&B does, the run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from a2c.machine.processes.deadline import within
from a2c.run.tracking import wandb_mirror
from a2c.run.tracking.tracker import Trackers, open_trackers
from a2c.run.tracking.wandb_mirror import wandb_mode
from a2c.settings.compose import load_config
from a2c.storage.metrics_file import read_rows

Records = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def own_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting or key of whoever runs the tests, and no way to a server."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("CACHE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb-home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture(autouse=True)
def patient(own_wandb: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason to give W&B up; tests of its hanging set limits of their own."""
    monkeypatch.setattr(wandb_mirror, "ONLINE_TIMEOUT", 300.0)
    monkeypatch.setattr(wandb_mirror, "GRACE", 300.0)
    monkeypatch.setitem(wandb_mirror.FINISH_TIMEOUT, "offline", 300.0)
    monkeypatch.setenv("WANDB__SERVICE_WAIT", "300")


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., tuple[Trackers, list[str]]]:
    """Opens a tracker on ``runs/Env/NAME`` and the list of its notes."""

    def start(*overrides: str, name: str = "one", **arguments: Any) -> tuple[Trackers, list[str]]:
        cfg = load_config("env=cartpole", f"runs_dir={tmp_path / 'runs'}", *overrides)
        folder = tmp_path / "runs" / "Env" / name
        folder.mkdir(parents=True, exist_ok=True)
        notes: list[str] = []
        return open_trackers(folder, cfg, notify=notes.append, **arguments), notes

    return start


def wandb_folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "runs" / "wandb").glob("*run-*-*"))


def records(folder: Path) -> Records:
    """What W&B's own reader finds in the transaction log of a run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def history(found: Records) -> Records:
    return [record["history"]["item"] for record in found if record["type"] == "history"]


def test_a_row_is_the_step_and_its_metrics(start: Any, tmp_path: Path) -> None:
    tracker, notes = start("wandb.mode=disabled")
    tracker.log(100, {"train/loss": 0.1, "time/fps": float("inf")})
    tracker.log(200, {"rollout/ep_rew_mean": None})
    tracker.finish({}, {})
    tracker.finish({}, {})  # closing twice is closing
    assert read_rows(tmp_path / "runs/Env/one/metrics.jsonl") == [
        {"global_step": 100, "train/loss": 0.1, "time/fps": None},
        {"global_step": 200, "rollout/ep_rew_mean": None},
    ]
    assert tracker.state_dict()["wandb_id"] is None
    assert not notes


def test_disabled_never_imports_wandb(tmp_path: Path) -> None:
    script = """if True:
        import sys
        from pathlib import Path
        from a2c.settings.compose import load_config
        from a2c.run.tracking.tracker import open_trackers
        cfg = load_config("wandb.mode=disabled", f"runs_dir={sys.argv[1]}")
        tracker = open_trackers(Path(sys.argv[1]), cfg, notify=print)
        tracker.log(1, {})
        tracker.finish({}, {})
        assert "wandb" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("setting", "environ", "mode"),
    [
        (None, {}, "offline"),
        (None, {"WANDB_SWEEP_ID": "s"}, "online"),
        (None, {"WANDB_SWEEP_ID": "s", "WANDB_MODE": "offline"}, "offline"),
        (None, {"WANDB_MODE": "disabled"}, "disabled"),
        ("online", {"WANDB_MODE": "disabled"}, "online"),
        ("offline", {"WANDB_SWEEP_ID": "s", "WANDB_MODE": "online"}, "offline"),
    ],
)
def test_the_mode_is_the_setting_then_the_variable_then_the_sweep(
    setting: str | None, environ: dict[str, str], mode: str
) -> None:
    cfg = load_config(*([f"wandb.mode={setting}"] if setting else []))
    assert wandb_mode(cfg, environ) == mode


def test_an_offline_run_holds_config_rows_summary_checkpoint_and_video(
    start: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-do-not-leak"
    monkeypatch.setattr(sys, "argv", ["a2c", "train", f"env.kwargs.api_key={secret}"])
    best, video = tmp_path / "best.pt", tmp_path / "agent.gif"
    best.write_bytes(b"weights")
    Image.new("RGB", (8, 8)).save(video)
    tracker, notes = start(f"env.kwargs.api_key={secret}", "wandb.group=g", "wandb.tags=[a,b]", "lr=0.003")
    tracker.log(100, {"rollout/ep_rew_mean": 1.0, "train/loss": float("nan")})
    tracker.log(200, {"eval/mean_reward": 2.0, "eval/std_reward": 0.5})  # at once, whatever the time since the last row
    tracker.log(300, {"rollout/ep_rew_mean": 3.0})  # held back ...
    tracker.log(400, {"rollout/ep_rew_mean": 4.0, "train/lag_histogram": [7, 0, 2]})  # ... and replaced, and sent last
    results = {"env_steps": 400, "eval_mean": 475.5, "eval_std": 7.5, "solved": True}
    tracker.finish(results, {"checkpoint": best, "video": video})

    assert not notes
    assert capfd.readouterr() == ("", "")  # wandb says nothing
    (folder,) = wandb_folders(tmp_path)
    assert folder.name.startswith("offline-run-")
    assert folder.name.endswith(str(tracker.state_dict()["wandb_id"]))
    found = records(folder)
    run = next(record["run"] for record in found if record["type"] == "run")
    config = run["config"]["update"]
    assert (run["project"], run["run_group"], run["tags"], run["display_name"]) == ("a2c", "g", ["a", "b"], "one")
    assert (config["lr"], config["env"]["id"]) == (0.003, "CartPole-v1")
    assert config["env"]["kwargs"] == {"api_key": "<redacted>"}
    rows = [{key: value for key, value in row.items() if key[0] != "_"} for row in history(found)]
    assert rows[:3] == [
        {"global_step": 100, "rollout/ep_rew_mean": 1},
        {"global_step": 200, "eval/mean_reward": 2, "eval/std_reward": 0.5},
        {
            "global_step": 400,
            "rollout/ep_rew_mean": 4,
            "train/lag_histogram._type": "histogram",
            "train/lag_histogram.values": [7, 0, 2],
            "train/lag_histogram.bins": [-0.5, 0.5, 1.5, 2.5],
        },
    ]
    assert [row.get("agent._type") for row in rows[3:]] == ["video-file"]
    axes = [record["metric"] for record in found if record["type"] == "metric"]
    assert ("*", "global_step") in [(axis.get("glob_name"), axis.get("step_metric")) for axis in axes]
    summary: dict[str, Any] = {}
    for record in found:
        if record["type"] == "summary":
            summary |= record["summary"]["update"]
    assert (summary["eval_mean"], summary["eval/mean_reward"], summary["solved"]) == (475.5, 475.5, True)
    assert (summary["eval/mean_reward"], summary["eval/std_reward"]) == (475.5, 7.5)  # of one evaluation
    assert (summary["eval/last_mean_reward"], summary["eval/last_std_reward"]) == (2, 0.5)
    (artifact,) = [record["artifact"] for record in found if record["type"] == "artifact"]
    assert (artifact["type"], set(artifact["aliases"])) == ("model", {"latest", "best"})
    assert (folder / "checkpoint" / "best.pt").read_bytes() == b"weights"
    leaks = [path for path in (tmp_path / "runs").rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert not leaks


def test_several_runs_in_one_process_and_a_resume_of_the_first(start: Any, tmp_path: Path) -> None:
    ids = []
    for name in ("one", "two"):
        tracker, notes = start(name=name)
        tracker.log(10, {"a": 1.0})
        tracker.finish({}, {})
        ids.append(tracker.state_dict()["wandb_id"])
        assert not notes
    resumed, notes = start(saved={"wandb_id": ids[0]}, resume_from=10)
    resumed.log(20, {"a": 2.0})
    resumed.finish({}, {})
    assert not notes
    assert resumed.state_dict()["wandb_id"] == ids[0] != ids[1]
    # Offline, W&B gives each part of a run a folder of its own, under one id.
    assert [folder.name.split("-")[-1] for folder in wandb_folders(tmp_path)].count(ids[0] or "") >= 1
    assert len(wandb_folders(tmp_path)) == 3
    assert [row["global_step"] for row in read_rows(tmp_path / "runs/Env/one/metrics.jsonl")] == [10, 20]


def test_a_run_of_the_users_own_is_left_alone(start: Any, tmp_path: Path) -> None:
    import wandb

    mine = wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(silent=True, console="off"))
    try:
        tracker, _ = start()
        tracker.log(1, {"a": 1.0})
        tracker.finish({}, {})
        assert wandb.run is mine
        assert tracker.state_dict()["wandb_id"] != mine.id
        mine.log({"still": 1})
    finally:
        mine.finish()
        wandb.teardown()


def test_a_killed_service_costs_the_wandb_rows_and_nothing_else(start: Any, tmp_path: Path) -> None:
    tracker, notes = start()
    tracker.log(1, {"eval/mean_reward": 1.0})
    service = tracker._trackers[1]._service
    os.kill(service.pid, signal.SIGKILL)
    service.wait()
    deadline = time.monotonic() + 300
    step = 1
    while not notes and time.monotonic() < deadline:  # the closed connection is noticed within a few rows
        step += 1
        tracker.log(step, {"eval/mean_reward": 1.0})
        time.sleep(0.01)
    tracker.log(step + 1, {"eval/mean_reward": 1.0})
    tracker.finish({}, {})
    assert len(notes) == 1
    assert "going on without it, metrics.jsonl has every row" in notes[0]
    assert "\n" not in notes[0]
    assert len(read_rows(tmp_path / "runs/Env/one/metrics.jsonl")) == step + 1


def test_a_service_that_hangs_is_killed_at_the_end(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wandb_mirror.FINISH_TIMEOUT, "offline", 0.5)
    monkeypatch.setattr(wandb_mirror, "GRACE", 0.5)
    tracker, notes = start()
    service = tracker._trackers[1]._service
    os.kill(service.pid, signal.SIGSTOP)
    tracker.log(1, {"a": 1.0})
    tracker.finish({}, {})
    assert len(notes) == 1
    assert "W&B failed to finish (TimeoutError: no answer in 1 s)" in notes[0]
    assert service.returncode == -signal.SIGKILL


def test_a_run_that_a_signal_ends_does_not_wait_long_for_a_service_that_hangs(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_mirror, "STOP_TIMEOUT", 0.5)
    tracker, notes = start()
    service = tracker._trackers[1]._service
    os.kill(service.pid, signal.SIGSTOP)
    tracker.finish({"stopped": "SIGTERM"}, {})
    assert "W&B failed to finish (TimeoutError: no answer in 0.5 s)" in notes[0]
    assert service.returncode == -signal.SIGKILL


def test_no_service_is_left_when_wandb_fails_to_end_it(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def broken() -> None:
        raise OSError("connection lost")

    monkeypatch.setattr(wandb_mirror, "GRACE", 0.5)
    tracker, notes = start()
    service = tracker._trackers[1]._service
    with monkeypatch.context() as patched:
        patched.setattr(wandb, "teardown", broken)
        tracker.finish({}, {})
    with contextlib.suppress(Exception):
        within(2.0, wandb.teardown, service.kill)  # what the broken one left undone
    assert service.returncode == -signal.SIGKILL
    assert not notes  # the rows are all there


def test_online_without_a_key_goes_on_offline(start: Any, tmp_path: Path) -> None:
    tracker, notes = start("wandb.mode=online")
    tracker.log(1, {"a": 1.0})
    tracker.finish({}, {})
    assert len(notes) == 1
    assert notes[0].startswith("W&B cannot go online (UsageError: No API key configured.")
    assert any(folder.name.startswith("offline-run-") for folder in wandb_folders(tmp_path))


def test_online_without_a_network_goes_on_offline(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb_mirror, "ONLINE_TIMEOUT", 2.0)
    tracker, notes = start("wandb.mode=online")
    tracker.log(1, {"a": 1.0})
    tracker.finish({}, {})
    assert len(notes) == 1
    assert notes[0].startswith("W&B cannot go online (")
    assert any(folder.name.startswith("offline-run-") for folder in wandb_folders(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_without_wandb_there_is_one_line_and_a_run(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracker, notes = start("wandb.mode=online")
    tracker.log(1, {"a": 1.0})
    tracker.finish({}, {})
    assert len(notes) == 1
    assert "W&B failed to start (ModuleNotFoundError" in notes[0]
    assert tracker.state_dict()["wandb_id"] is None
    assert len(read_rows(tmp_path / "runs/Env/one/metrics.jsonl")) == 1


def test_a_resumed_run_keeps_its_id_where_wandb_cannot_start(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracker, _ = start(saved={"wandb_id": "abc123"})
    tracker.finish({}, {})
    assert tracker.state_dict()["wandb_id"] == "abc123"  # so that the next resume continues it
