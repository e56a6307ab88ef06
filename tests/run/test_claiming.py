"""Before a run writes anything: one run a folder, nothing led out of it, and a checkpoint that fits."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import a2c
from a2c.cli import main
from a2c.errors import CheckpointError, ConfigError, RunIOError
from a2c.run.claiming import claimed
from a2c.run.resuming import _bring_best
from a2c.storage.checkpoint import load_checkpoint, save_checkpoint
from a2c.storage.metrics_file import read_rows
from a2c.storage.run_lock import LOCK, locked
from builders import LIGHT
from registrations import forget

MODULES, IDS = {"changing", "scarce"}, {"Mine-v0", "Scarce-v0", "Twin-v0"}


@pytest.fixture(autouse=True)
def nothing_registered_stays() -> Iterator[None]:
    yield
    forget(IDS, MODULES)


def trained(folder: Path, *overrides: str) -> Path:
    """A run of CartPole below ``folder``, 300 steps unless told, without normalisers."""
    cfg = a2c.load_config("env=cartpole_study", f"runs_dir={folder}", *LIGHT, "total_steps=300", *overrides)
    return Path(a2c.train(cfg).folder).resolve()


def test_a_program_resumes_a_run_with_the_values_that_nobody_gave(tmp_path: Path) -> None:
    settings = ("env=cartpole", f"runs_dir={tmp_path}", *LIGHT)
    first = a2c.train(a2c.load_config(*settings, "total_steps=128"))
    again = a2c.load_config(*settings, "total_steps=256", "n_step=4")
    again.resume = first.folder
    assert again.network.activation == "auto"
    assert a2c.train(again).env_steps == 256
    assert again.network.activation == "relu"


def test_a_best_checkpoint_of_before_a_setting_was_added_comes_along(tmp_path: Path) -> None:
    run = trained(tmp_path / "runs")
    path = run / "checkpoints" / "best.pt"
    best = load_checkpoint(path)
    for part, key in (("env", "symbols"), ("network", "init")):
        del best["config"][part][key]
    del best["spec"]["obs_symbols"]
    save_checkpoint(path, best)
    target = tmp_path / "other" / "best.pt"
    _bring_best(path.parent, load_checkpoint(run / "checkpoints" / "last.pt"), target)
    assert load_checkpoint(target)["state"]["env_steps"] == best["state"]["env_steps"]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its bytes and time, but for the lock, which says who holds it."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return trained(tmp_path / "runs")


# ---- one run in a folder ----


@pytest.mark.parametrize("how", ["cli", "api"])
def test_a_second_run_in_a_folder_is_refused_and_changes_nothing(run: Path, how: str, capsys: Any) -> None:
    before = contents(run)
    latest = os.lstat(run.parents[1] / "latest")
    with locked(run, pytest.fail):
        if how == "cli":
            assert main(["train", "resume=latest", "total_steps=900", "gamma=0.5"]) == 6
            said = capsys.readouterr().err
            assert said.count("\n") == 1
        else:
            with pytest.raises(RunIOError) as caught:
                a2c.train(a2c.load_config("resume=latest", "total_steps=900"))
            said = str(caught.value)
    who = f"process {os.getpid()} on {socket.gethostname()}"
    assert said.startswith(f"i/o error: {run} belongs to a run that is going on ({who}); wait for it, or stop it")
    assert contents(run) == before
    assert os.lstat(run.parents[1] / "latest") == latest


@pytest.mark.parametrize("algo", ["a2c", "a2c vectorization=workers", "a3c"])
def test_the_lock_goes_with_the_trainer_even_while_its_workers_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["env=cartpole", *LIGHT, *f"algo={algo}".split(), "total_steps=1e9", "num_workers=2"]
    arguments = [text for text in arguments if algo == "a2c" or text != "vectorization=sync"]
    with Path("out").open("w") as out:
        first = subprocess.Popen(
            [sys.executable, "-m", "a2c", "train", *arguments], stdout=out, stderr=out, start_new_session=True
        )
    try:
        while not list(tmp_path.glob("runs/*/*/metrics.jsonl")) or not (tmp_path / "runs/latest").exists():
            assert first.poll() is None, Path("out").read_text()
            time.sleep(0.05)
        folder = (tmp_path / "runs/latest").resolve()
        with pytest.raises(RunIOError, match=rf"going on \(process {first.pid} on "), locked(folder, pytest.fail):
            pass
        workers = workers_of(first.pid)
        for worker in workers:  # they cannot notice that the trainer is gone, and hold whatever they hold
            os.kill(worker, signal.SIGSTOP)
        first.kill()
        first.wait()
        with locked(folder, pytest.fail):  # free at once
            assert (folder / LOCK).read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
        first.wait()


def test_of_two_that_resume_a_run_at_once_one_goes_on(run: Path) -> None:
    before = [row["global_step"] for row in read_rows(run / "metrics.jsonl")]
    command = [sys.executable, "-m", "a2c", "train", "resume=latest", "total_steps=1e9"]
    with Path("out").open("w") as out, Path("err").open("w") as err:
        both = [subprocess.Popen(command, stdout=out, stderr=err) for _ in range(2)]
    try:
        deadline = time.monotonic() + 300
        while all(one.poll() is None for one in both):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (refused,) = [one for one in both if one.poll() is not None]
        (other,) = [one for one in both if one is not refused]
        assert refused.returncode == 6
        while len(read_rows(run / "metrics.jsonl")) < len(before) + 20:
            assert other.poll() is None, Path("err").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        other.send_signal(signal.SIGTERM)
        assert other.wait(300) == 143
    finally:
        for one in both:
            one.kill()
            one.wait()
    assert Path("err").read_text().count("\n") == 1
    steps = [row["global_step"] for row in read_rows(run / "metrics.jsonl")]
    assert steps == sorted(set(steps))


def test_an_environment_whose_code_has_changed_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code = "import gymnasium\ngymnasium.register('Mine-v0', entry_point=lambda **_: gymnasium.make('NAME').unwrapped)\n"
    (tmp_path / "changing.py").write_text(code.replace("NAME", "CartPole-v1"))
    mine = trained(tmp_path / "runs", "env.id=changing:Mine-v0", "env.max_episode_steps=20")
    before = contents(mine)
    sys.modules.pop("changing")
    (tmp_path / "changing.py").write_text(code.replace("NAME", "Acrobot-v1") + "\n")
    assert main(["train", "resume=latest", "total_steps=900", "--trust"]) == 5
    assert "it belongs to another environment: obs_shape is (6,), was (4,)" in capsys.readouterr().err
    assert contents(mine) == before


def workers_of(pid: int) -> list[int]:
    """Processes below those that ``pid`` started."""
    found, waiting = [], [pid]
    while waiting:
        for children in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            pids = [int(child) for child in children.read_text().split()]
            found += pids
            waiting += pids
    return found


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    begun, over = context.Event(), context.Event()

    def child() -> None:
        begun.set()
        over.wait(60)

    with locked(tmp_path, pytest.fail):
        process = context.Process(target=child)
        process.start()
        begun.wait(60)
    try:
        with locked(tmp_path, pytest.fail):
            pass
    finally:
        over.set()
        process.join()


def test_a_file_system_without_locks_is_told_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    said: list[str] = []
    with locked(tmp_path, said.append):
        pass
    assert said == [f"the file system of {tmp_path} has no locks: see to it that no second run writes into it"]


def test_a_folder_that_cannot_be_written_is_an_io_error(tmp_path: Path) -> None:
    with pytest.raises(RunIOError, match="cannot write the run folder"), locked(tmp_path / "none", pytest.fail):
        pass


# ---- a checkpoint that fits ----


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("network.hidden_sizes=[32]", "its network has other layers; settings that differ and matter: "
         "network.hidden_sizes=[32] (was [64, 64]); other settings that differ: total_steps=900 (was 300)"),
        ("network.activation=relu", "its weights were learned with another activation; settings that differ and "
         "matter: network.activation='relu' (was 'tanh')"),
        ("normalize_obs=true", "its network has other layers; settings that differ and matter: normalize_obs=true"),
        ("normalize_reward=true", "it holds no statistics of rewards; settings that differ and matter: "),
        ("optimizer=rmsprop", "it holds the state of another optimizer: "),
        ("env.id=Acrobot-v1", "it belongs to another environment: obs_shape is (6,), was (4,)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_written(
    run: Path, override: str, said: str, capsys: Any
) -> None:
    before = contents(run)
    assert main(["train", "resume=latest", "total_steps=900", override]) == 5
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(f"checkpoint error: {run}/checkpoints/last.pt does not fit: {said}")
    assert err.endswith("; nothing was changed\n")
    assert contents(run) == before
    assert main(["train", "resume=latest", "total_steps=400"]) == 0  # the run is as good as before
    assert read_rows(run / "metrics.jsonl")[-1]["global_step"] >= 400


def test_another_distribution_of_as_many_parameters_is_refused(tmp_path: Path) -> None:
    run = trained(tmp_path, "env.id=Pendulum-v1", "policy.distribution=gaussian")
    before = contents(run)
    with pytest.raises(CheckpointError, match=r"its policy was learned with another distribution; .*='squashed'"):
        a2c.train(a2c.load_config(f"resume={run}", f"runs_dir={tmp_path}", "policy.distribution=squashed"))
    assert contents(run) == before


def test_another_environment_of_the_same_spaces_is_refused_too(run: Path, capsys: Any) -> None:
    gymnasium.register("Twin-v0", gymnasium.spec("CartPole-v1").entry_point)
    before = contents(run)
    assert main(["train", "resume=latest", "total_steps=400", "env.id=Twin-v0"]) == 5
    said = f"checkpoint error: {run}/checkpoints/last.pt does not fit: it was trained on another environment; "
    differ = "settings that differ and matter: env.id='Twin-v0' (was 'CartPole-v1')"
    assert capsys.readouterr().err.startswith(said + differ)
    assert contents(run) == before


def test_python_refuses_what_does_not_fit_in_the_same_way(run: Path) -> None:
    before = contents(run)
    with pytest.raises(CheckpointError, match="its network has other layers"):
        a2c.train(a2c.load_config("resume=latest", "network.hidden_sizes=[32]"))
    assert contents(run) == before


def test_a_setting_that_fits_but_changes_learning_is_told(run: Path, capsys: Any) -> None:
    assert main(["train", "resume=latest", "total_steps=400", "gamma=0.5"]) == 0
    assert capsys.readouterr().err == "resuming with other settings than before: gamma=0.5 (was 0.99)\n"


# ---- where a run goes on ----


def test_a_checkpoint_outside_of_any_run_begins_a_new_one(run: Path, tmp_path: Path, capsys: Any) -> None:
    mine = tmp_path / "x" / "mymodels" / "ck.pt"
    mine.parent.mkdir(parents=True)
    shutil.copy(run / "checkpoints" / "last.pt", mine)
    assert main(["train", f"resume={mine}", "total_steps=400"]) == 0
    assert [path.name for path in (tmp_path / "x").rglob("*")] == ["mymodels", "ck.pt"]
    new = (tmp_path / "runs" / "latest").resolve()
    assert new != run
    assert new.parent == run.parent
    said = capsys.readouterr().err
    assert said == f"{mine} lies in no run's folder: a new run begins in {os.path.relpath(new)}\n"
    assert load_checkpoint(new / "checkpoints" / "last.pt")["state"]["env_steps"] >= 400
    assert (
        a2c.load_config(f"resume={new}").n_step == a2c.load_config("env=cartpole_study").n_step
    )  # from the checkpoint


def test_python_too_begins_a_new_run_from_such_a_checkpoint(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints" / "last.pt", tmp_path / "ck.pt")
    summary = a2c.train(a2c.load_config("resume=ck.pt", "total_steps=400"))
    assert Path(summary.folder).resolve().parent == run.parent
    assert Path(summary.folder).resolve() != run


def test_a_checkpoint_in_a_run_goes_on_there(run: Path) -> None:
    assert main(["train", f"resume={run}/checkpoints/best.pt", "total_steps=400"]) == 0
    assert read_rows(run / "metrics.jsonl")[-1]["global_step"] >= 400


@pytest.mark.parametrize("best", ["there", "missing", "damaged", "of another run"])
def test_the_best_score_comes_along_with_its_file_or_not_at_all(run: Path, tmp_path: Path, best: str) -> None:
    kept = run / "checkpoints" / "best.pt"
    if best == "missing":
        kept.unlink()
    elif best == "damaged":
        kept.write_bytes(kept.read_bytes()[:-1])
    elif best == "of another run":
        shutil.copy(trained(tmp_path / "other", "seed=5", "lr=0.5") / "checkpoints" / "best.pt", kept)
    score = load_checkpoint(run / "checkpoints" / "last.pt")["state"]["best_eval"]
    elsewhere = tmp_path / "elsewhere"
    assert main(["train", f"resume={run}", f"hydra.run.dir={elsewhere}", "total_steps=320", "lr=1e-30"]) == 0
    state = load_checkpoint(elsewhere / "checkpoints" / "best.pt")["state"]
    again = load_checkpoint(elsewhere / "checkpoints" / "last.pt")["state"]
    assert again["best_eval"] == state["best_eval"]
    assert a2c.load_policy(elsewhere).path == elsewhere / "checkpoints" / "best.pt"
    if best == "there":
        assert state["best_eval"] >= score


def test_the_best_checkpoint_of_before_is_the_best_of_the_run_that_goes_on(run: Path, tmp_path: Path) -> None:
    for name in ("best", "last"):  # a score that 20 more steps will not reach
        path = run / "checkpoints" / f"{name}.pt"
        saved = load_checkpoint(path)
        save_checkpoint(path, {**saved, "state": {**saved["state"], "best_eval": 499.0}})
    best = (run / "checkpoints" / "best.pt").read_bytes()
    elsewhere = tmp_path / "elsewhere"
    assert main(["train", f"resume={run}", f"hydra.run.dir={elsewhere}", "total_steps=320"]) == 0
    assert (elsewhere / "checkpoints" / "best.pt").read_bytes() == best
    assert json.loads((elsewhere / "summary.json").read_text())["best_eval"] == 499.0


def test_a_score_without_its_file_is_forgotten_in_the_same_folder_too(run: Path, capsys: Any) -> None:
    best = run / "checkpoints" / "best.pt"
    best.write_bytes(b"damaged")
    assert main(["train", "resume=latest", "total_steps=400"]) == 0
    assert f"{best} cannot be read; the next evaluation takes its place" in capsys.readouterr().err
    assert load_checkpoint(best)["state"]["env_steps"] >= 400


# ---- nothing leads out ----


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", ".hydra", ".lock", "train.log"])
def test_a_link_out_of_a_run_folder_is_refused(run: Path, tmp_path: Path, name: str, capsys: Any) -> None:
    outside = tmp_path / "precious"
    if (run / name).exists():
        (run / name).rename(outside)
    else:
        outside.write_text("precious")
    (run / name).symlink_to(outside)
    before = contents(tmp_path)
    assert main(["train", "resume=latest", "total_steps=400"]) == 2
    assert capsys.readouterr().err.startswith(f"config error: {run}/{name} leads out of {run}, to {outside}; ")
    assert contents(tmp_path) == before


def test_a_link_in_the_place_of_the_folder_of_an_environment_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "runs" / "CartPole-v1").symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigError, match="runs/CartPole-v1 leads out of runs, to "):
        a2c.train(a2c.load_config("env=cartpole", *LIGHT))
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_id_of_dots_is_no_way_out(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    assert main(["train", "env.id=..", *LIGHT]) == 2
    assert "unknown environment '..'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


# ---- what a refused run leaves ----


@pytest.mark.parametrize(
    ("override", "code"), [("env.id=Nonsense-v0", 2), ("env.kwargs.nonsense=1", 2), ("device=mps", 2)]
)
@pytest.mark.parametrize("how", ["cli", "api"])
def test_a_refused_run_leaves_no_folder_and_latest_as_it_was(
    run: Path, override: str, code: int, how: str, capsys: Any
) -> None:
    if how == "cli":
        assert main(["train", *LIGHT, override]) == code
        assert capsys.readouterr().err.count("\n") == 1
    else:
        with pytest.raises(ConfigError):
            a2c.train(a2c.load_config(*LIGHT, override))
    assert [path for path in run.parents[1].glob("*/*") if path.is_dir() and path.parent.name != "latest"] == [run]
    assert (run.parents[1] / "latest").resolve() == run
    assert [path.name for path in run.parents[1].iterdir() if path.name != "latest"] == ["CartPole-v1"]


def test_latest_stays_where_it_was_however_late_a_run_is_refused(run: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.syspath_prepend(Path.cwd())
    Path("scarce.py").write_text(
        "import gymnasium, pathlib\n"
        "def make(**_):\n"
        "    if list(pathlib.Path('runs').glob('scarce*/*/checkpoints')):  # to evaluate with\n"
        "        raise RuntimeError('no licence left')\n"
        "    return gymnasium.make('CartPole-v1').unwrapped\n"
        "gymnasium.register('Scarce-v0', entry_point=make)\n"
    )
    assert main(["train", "env.id=scarce:Scarce-v0", *LIGHT]) == 3
    assert "no licence left" in capsys.readouterr().err
    assert (run.parents[1] / "latest").resolve() == run
    assert [path.name for path in run.parents[1].iterdir() if path.name != "latest"] == ["CartPole-v1"]


def test_a_run_that_never_got_to_a_checkpoint_keeps_its_settings(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "CartPole-v1" / "killed-early"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("env: {id: CartPole-v1}\n")
    (folder / "metrics.jsonl").touch()
    before = contents(folder)
    assert main(["train", f"resume={folder}"]) == 5
    assert contents(folder) == before


def test_what_a_run_has_written_stays_when_it_fails(tmp_path: Path) -> None:
    cfg = a2c.load_config("env=cartpole", f"runs_dir={tmp_path}")
    folder = tmp_path / "CartPole-v1" / "one"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.pt").write_text("weights")
    with pytest.raises(ConfigError), claimed(cfg, folder):
        raise ConfigError("x")
    assert (folder / "checkpoints" / "last.pt").exists()
