"""Settings name no code, whoever wrote them; and a few lines of them cannot fill the memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import hydra
import pytest

import a2c
from a2c.cli import main
from a2c.errors import ConfigError
from a2c.settings.compose import compose_plain, load_config, prepare_training
from a2c.settings.sizes import check_tree

ALARM = """
import pathlib
pathlib.Path("executed").touch()
class C:
    def __init__(self, *a, **k): pathlib.Path("executed").touch()
    def __getattr__(self, name): return lambda *a, **k: None
def f(*a, **k): pathlib.Path("executed").touch()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a module that leaves a trace when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "alarm.py").write_text(ALARM)
    yield tmp_path
    assert not (tmp_path / "executed").exists()
    sys.modules.pop("alarm", None)


HYDRAS = [
    "+hydra.callbacks.x._target_=alarm.C",
    "++hydra.callbacks={x: {_target_: alarm.C}}",
    "hydra/callbacks=x",
    "+hydra/callbacks=x",
    "hydra/job_logging=x",
    "hydra.job_logging.handlers.file.class=alarm.C",
    "hydra.launcher._target_=alarm.C",
    "hydra.sweeper={_target_: alarm.C}",
    "+hydra.launcher.x={y: {_target_: alarm.f}}",
    "hydra.searchpath=[file:///tmp]",
    "+hydra.job.env_set.LD_PRELOAD=x",
    "hydra.output_subdir=x",
    "hydra.mode=MULTIRUN",
    "~hydra.run",
]


@pytest.mark.parametrize("override", HYDRAS)
def test_the_command_line_sets_of_hydra_only_what_names_no_code(folder: Path, override: str, capsys: Any) -> None:
    assert main(["train", "env=cartpole", override]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["alarm.py"]


@pytest.mark.parametrize(
    "override",
    ["hydra.job.name=mine", "hydra.job.chdir=true", "hydra.run.dir=here/x", "hydra.sweep.dir=x", "hydra.sweep.subdir=y",
     "hydra.verbose=true", "hydra/launcher=basic", "hydra/sweeper=basic", "hydra.sweeper.max_batch_size=3"],
)  # fmt: skip
def test_what_people_set_of_hydra_is_still_theirs(override: str) -> None:
    load_config(override)


@pytest.mark.parametrize("override", ["hydra.verbose=true", "hydra/launcher=basic", "name=${oc.env:WANDB_API_KEY}"])
def test_a_sweep_sets_nothing_of_hydra_and_reads_no_variable(override: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    load_config(override)
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    with pytest.raises(ConfigError, match="which a sweep may not; set A2C_ALLOW_SWEEP_CODE=1 to allow it") as caught:
        load_config(override)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("A2C_ALLOW_SWEEP_CODE", "1")
    load_config(override)


@pytest.mark.parametrize("value", ["${oc.${wandb.group}:WANDB_API_KEY}", "${oc.env:${name}}", "${ oc.env : KEY }"])
def test_a_sweep_cannot_put_the_name_of_a_function_together(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-secret")
    told = ["wandb.group=env", f"wandb.tags=['{value}']"]
    if "group" in value:
        assert load_config(*told).wandb.tags == ["a-secret"]  # what a sweep's server would be told
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    with pytest.raises(ConfigError, match="which a sweep may not"):
        load_config(*told)


@pytest.mark.parametrize("override", ["env.kwargs._target_=alarm.f", "env.kwargs={a: [{_target_: alarm.f}]}"])
def test_nothing_of_ours_takes_a_target(folder: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="names code to run; a2c takes no code from settings"):
        load_config(override)


@pytest.mark.parametrize("place", ["../x", "a/../../x", "link/x"])
def test_a_run_folder_of_ones_own_does_not_lead_out_of_this_one(folder: Path, place: str) -> None:
    (folder / "link").symlink_to(folder.parent)
    for key in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"):
        with pytest.raises(ConfigError, match=rf"{key}={place} (must not hold '\.\.'|leads out of this folder)"):
            load_config(f"{key}={place}")
    with pytest.raises(ConfigError, match="it names the log"):
        load_config("hydra.job.name=../x")


PRESETS = {
    "callbacks": "hydra:\n  callbacks:\n    x:\n      _target_: alarm.C\n",
    "launcher": "hydra:\n  launcher:\n    _target_: alarm.C\n",
    "handlers": "hydra:\n  job_logging:\n    handlers:\n      file:\n        (): alarm.f\n",
    "class": "hydra:\n  job_logging:\n    handlers:\n      file:\n        class: alarm.C\n",
    "variables": "hydra:\n  job:\n    env_set:\n      LD_PRELOAD: x\n",
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_of_ones_own_names_no_code_either(folder: Path, name: str, capsys: Any) -> None:
    (folder / "mine" / "env").mkdir(parents=True)
    (folder / "mine" / "env" / "bad.yaml").write_text(f"# @package _global_\nenv:\n  id: CartPole-v1\n{PRESETS[name]}")
    assert main(["train", "-cd", "mine", "env=bad"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("kind", ["launcher", "sweeper"])
@pytest.mark.parametrize("more", [[], ["-m", "lr=interval(1,2)"], ["-m", "seed=1,2"]], ids=["one", "interval", "list"])
def test_a_launcher_or_sweeper_of_a_folder_of_presets_is_no_way_in(
    folder: Path, kind: str, more: list[str], capsys: Any
) -> None:
    place = folder / "mine" / "hydra" / kind
    place.mkdir(parents=True)
    (place / "bad.yaml").write_text("_target_: alarm.C\n")
    assert main(["train", "-cd", "mine", f"hydra/{kind}=bad", *more]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (folder / "runs").exists()


def test_presets_are_looked_at_whatever_sweeps_them(folder: Path, capsys: Any) -> None:
    (folder / "mine" / "env").mkdir(parents=True)
    (folder / "mine" / "env" / "bad.yaml").write_text(f"# @package _global_\n{PRESETS['class']}")
    assert main(["train", "-cd", "mine", "-m", "hydra/sweeper=basic", "env=cartpole,bad"]) == 2
    assert "names code to run" in capsys.readouterr().err


# ---- run folders ----


def run_with(folder: Path, text: str) -> Path:
    run = folder / "runs" / "CartPole-v1" / "one"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text(text)
    return run


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}\n" for level in range(1, 12)
)
ENDLESS = "env: &e\n  id: CartPole-v1\n  kwargs: *e\n"
SETTINGS = {
    "env: {id: X-v0}\nhydra:\n  callbacks:\n    x:\n      _target_: alarm.C\n": "which is no setting; take it out",
    "env: {id: CartPole-v1}\n_target_: alarm.C\n": "holds '_target_', which is no setting; take it out",
    "env: {id: CartPole-v1}\nname: ${new_run:/tmp/x,y,z,a,1}\n": "write its value there",
    "env: {id: CartPole-v1}\nname: ${oc.env:HOME}\n": "write its value there",
    "env: {id: CartPole-v1}\nname: env\nwandb: {tags: ['${oc.${name}:HOME}']}\n": "write its value there",
    "env: {id: CartPole-v1}\nname: oc.env\nwandb: {tags: ['${${name}:HOME}']}\n": "write its value there",
    "env: {id: CartPole-v1, kwargs: {a: [{_target_: alarm.f}]}}\n": "env.kwargs names code to run; take it out",
    BOMB: "is more than 10,000 values when written out",
    MERGED: "is more than 10,000 values when written out",
    ENDLESS: "is without end when written out",
    "a: [unclosed\n": "config.yaml line 2: ",
    "": "holds no settings",
    "just text": "is no setting",
    "- a\n- b\n": "holds no settings",
    "env: 3\n": "holds no env.id",
    "\0\1": "config.yaml",
    "env: {id: CartPole-v1, kwargs: " + "[" * 3000 + "]" * 3000 + "}\n": "config.yaml",
}


@pytest.mark.parametrize("text", SETTINGS, ids=range(len(SETTINGS)))
def test_settings_of_a_run_that_are_none_are_one_line(folder: Path, text: str, capsys: Any) -> None:
    run = run_with(folder, text)
    started = time.process_time()
    assert main(["train", f"resume={run}"]) == 2
    assert time.process_time() - started < 5  # without an answer for ever, otherwise
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert SETTINGS[text] in said
    assert [path.name for path in run.rglob("*")] == [".hydra", "config.yaml"]


def test_settings_that_are_no_text_are_one_line(folder: Path, capsys: Any) -> None:
    run = run_with(folder, "")
    (run / ".hydra" / "config.yaml").write_bytes(b"env: \xff\xfe\n")
    assert main(["train", f"resume={run}"]) == 2
    assert capsys.readouterr().err == f"config error: cannot read {run}/.hydra/config.yaml: byte 5 is no UTF-8\n"


# ---- bombs ----


@pytest.mark.parametrize("bomb", [BOMB, MERGED, ENDLESS.replace("env", "wandb")])
@pytest.mark.parametrize("where", ["env/bad.yaml", "bad.yaml", "algo/bad.yaml"])
def test_an_alias_bomb_in_a_folder_of_presets_is_refused(folder: Path, where: str, bomb: str) -> None:
    path = folder / "mine" / where
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{bomb}")
    for read in (lambda: prepare_training(["env=cartpole"], folder / "mine"),
                 lambda: compose_plain("config", [], folder / "mine")):  # fmt: skip
        with pytest.raises(ConfigError, match="when written out"):
            read()


def test_an_alias_bomb_in_conf_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "conf").mkdir()
    (folder / "conf" / "eval.yaml").write_text(BOMB)
    monkeypatch.setattr("a2c.settings.compose.conf_dir", lambda: folder / "conf")
    with pytest.raises(ConfigError, match="when written out"):
        compose_plain("eval", [])


def test_aliases_that_people_write_are_fine(folder: Path) -> None:
    (folder / "env").mkdir()
    (folder / "env" / "mine.yaml").write_text(
        "# @package _global_\nenv:\n  id: X-v0\n  kwargs: {a: &a [1, 2], b: *a, c: *a}\n"
    )
    tree = compose_plain("config", prepare_training(["env=mine"], folder), folder)
    assert tree["env"]["kwargs"] == {"a": [1, 2], "b": [1, 2], "c": [1, 2]}


def test_interpolations_that_double_each_other_are_refused() -> None:
    bomb = ["env.kwargs.a0=xxxxxxxxxx"]
    doubled = (f"${{env.kwargs.a{n - 1}}}" * 2 for n in range(1, 40))
    bomb += [f"env.kwargs.a{n}='{text}'" for n, text in enumerate(doubled, 1)]
    with pytest.raises(ConfigError, match="the settings hold 78 interpolations; at most 20 are resolved"):
        load_config(*bomb)
    assert load_config("n_step=${num_envs}", "num_envs=7").n_step == 7


@pytest.mark.parametrize("value", ["[" * 400 + "]" * 400, "{a:" * 400 + "1" + "}" * 400])
def test_a_value_that_is_nested_beyond_reason_is_one_line(value: str) -> None:
    with pytest.raises(ConfigError, match=r"the value of env\.kwargs\.x is nested more than 50 deep"):
        load_config(f"env.kwargs.x={value}")


def test_a_checkpoint_that_holds_one_list_over_and_over_is_refused() -> None:
    tree: Any = ["x"] * 9
    for _ in range(12):
        tree = [tree] * 9
    with pytest.raises(ConfigError, match="more than 1,000,000 values"):
        check_tree({"a": tree}, "x")
    own: dict[str, Any] = {}
    own["a"] = own
    with pytest.raises(ConfigError, match="without end"):
        check_tree(own, "x")


# ---- threads ----


def test_threads_compose_at_once(folder: Path) -> None:
    failures: list[BaseException] = []

    def load(gamma: float) -> None:
        try:
            for _ in range(5):
                assert a2c.load_config("env=pendulum", f"gamma={gamma}").gamma == gamma
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=load, args=(0.1 * number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_hydra_itself_runs_may_compose_too(folder: Path) -> None:
    # an environment that asks for settings of its own, while `a2c train` runs it
    (folder / "asks.py").write_text(
        "import a2c, gymnasium\n"
        "cfg = a2c.load_config('env=pendulum')\n"
        "gymnasium.register('Asks-v0', entry_point=lambda **_: gymnasium.make(cfg.env.id).unwrapped)\n"
    )
    quick = ["total_steps=50", "eval.episodes=1", "eval.final_episodes=1", "gif=false", "wandb.mode=disabled"]
    with (folder / "out").open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "a2c", "train", "env.id=asks:Asks-v0", "env.max_episode_steps=10",
             "vectorization=sync", "device=cpu", *quick],
            stdout=out, stderr=out, env=dict(os.environ), timeout=600,
        )  # fmt: skip
    assert done.returncode == 0, (folder / "out").read_text()


def test_settings_are_composed_beside_somebody_elses_hydra(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("theirs: 1\n")
    failures: list[BaseException] = []
    done = threading.Event()

    def compose_mine() -> None:
        try:
            with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
                for _ in range(10):
                    assert hydra.compose("theirs") == {"theirs": 1}
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    mine = threading.Thread(target=compose_mine)
    try:
        mine.start()
        while not done.is_set():
            assert a2c.load_config("env=pendulum").env.id == "Pendulum-v1"
    finally:
        mine.join()
        sys.setswitchinterval(before)
    assert failures == []


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("hydra/sweeper=optuna", "hydra/sweeper=optuna is not installed; to search settings by Optuna, type a2c sweep"),
        ("hydra/launcher=ray", "not installed: pip install hydra-ray-launcher; without it, a2c sweep FILE jobs=4"),
        ("hydra/launcher=mine", "hydra/launcher=mine is not installed; there are cores, slurm, slurm_nodes"),
    ],
)
def test_a_launcher_or_sweeper_that_is_not_there_is_one_line(override: str, said: str, capsys: Any) -> None:
    assert main(["train", "-m", "env=cartpole", override, "seed=1,2"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("config error: hydra/")
    assert said in told
    assert told.count("\n") == 1
