"""Which launcher a multirun has, what it means, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore

from a2c import cli
from a2c.cli.launcher_choice import launcher_of, number_of_jobs
from a2c.errors import ConfigError
from a2c.settings.compose import launcher_settings, load_config
from launchers_here import needs_launchers


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2c.cli.launcher_choice.usable_cores", lambda: 8)


def chosen(settings: dict[str, Any], *overrides: str) -> Any:
    return launcher_of({"_target_": "x.JoblibLauncher", **settings}, ["hydra/launcher=cores", *overrides], [])


@pytest.mark.parametrize(
    ("n_jobs", "jobs", "at_once", "share"),
    [
        (-1, 100, 8, 1),
        (-1, 4, 8, 2),
        (2, 100, 2, 4),
        (3, 100, 3, 2),
        (-2, 100, 7, 1),
        (16, 100, 16, 1),
        (4, None, 4, 2),
    ],
)
def test_jobs_that_run_at_once_share_the_cores(
    n_jobs: int, jobs: int | None, at_once: int, share: int, eight_cores: None
) -> None:
    launcher = chosen({"n_jobs": n_jobs})
    assert (launcher.local, launcher.at_once, launcher.cores(jobs)) == (True, at_once, share)
    assert launcher.overrides == (f"hydra.launcher.n_jobs={at_once}",)  # the cores that we count, not joblib


def test_submitits_local_jobs_all_run_at_once_and_those_of_slurm_elsewhere(eight_cores: None) -> None:
    assert chosen({"_target_": "x.LocalLauncher"}).cores(4) == 2
    slurm = chosen({"_target_": "x.SlurmLauncher"})
    assert (slurm.local, slurm.cores(4)) == (False, None)
    assert launcher_of({"_target_": "x.BasicLauncher"}, [], []) is None


@pytest.mark.parametrize("key", ["hydra.sweep.dir", "hydra.sweep.subdir", "hydra.run.dir"])
def test_runs_of_a_launcher_lie_in_runs_dir(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} does not go with hydra/launcher=cores"):
        chosen({}, f"{key}=x")


def test_the_jobs_of_a_multirun_are_counted() -> None:
    assert number_of_jobs(["seed=1,2,3", "lr=0.1,0.2", "gamma=0.9", "num_envs=range(1,3)"]) == 12
    assert number_of_jobs(["seed=1,2", "hydra/sweeper=other"]) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-m hydra/launcher=corse", "hydra/launcher=corse is not installed; did you mean 'cores'?"),
        ("-m hydra/launcher=x", "hydra/launcher=x is not installed; there are cores, slurm, slurm_nodes"),
        ("hydra/launcher=corse", "hydra/launcher=corse is not installed; did you mean 'cores'?"),
    ],
)
def test_a_launcher_that_there_is_not_is_one_line(words: str, said: str, capsys: Any) -> None:
    assert cli.main(["train", "seed=1", *words.split()]) == 2
    assert capsys.readouterr().err == f"config error: {said}\n"
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("name", "plugin"), [("cores", "joblib"), ("slurm", "submitit_slurm"), ("joblib", "joblib")])
def test_without_the_extra_one_line_says_what_to_install(
    name: str, plugin: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_config()  # has Hydra look for plugins
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{plugin}.yaml", raising=False)
    assert cli.main(["train", "-m", "seed=1,2", f"hydra/launcher={name}"]) == 2
    said = f'config error: hydra/launcher={name} is not installed: pip install "a2c[launchers]"; without it, a2c sweep '
    assert capsys.readouterr().err == f"{said}FILE jobs=4 trains four at once\n"


@needs_launchers
@pytest.mark.parametrize("name", ["cores", "slurm", "joblib", "submitit_local"])
def test_a_launcher_without_several_runs_is_refused(name: str, capsys: Any) -> None:
    assert cli.main(["train", f"hydra/launcher={name}"]) == 2
    said = f"config error: hydra/launcher={name} starts the jobs of a multirun; add -m, as in -m seed=1,2,3, or leave"
    assert capsys.readouterr().err == f"{said} it out\n"
    assert list(Path().iterdir()) == []


@needs_launchers
def test_a_sweeps_server_starts_no_launcher(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    assert cli.main(["train", "-m", "seed=1,2", "hydra/launcher=cores"]) == 2
    assert "sets Hydra's own settings, which a sweep may not" in capsys.readouterr().err


@needs_launchers
def test_a_launchers_options_name_no_code(capsys: Any) -> None:
    for option in ("hydra.launcher._target_=os.system", "+hydra.launcher.x={_target_: os.system}"):
        assert cli.main(["train", "-m", "seed=1,2", "hydra/launcher=cores", option]) == 2
        assert "names code to run" in capsys.readouterr().err


@needs_launchers
def test_ours_are_made_for_hours_and_for_what_slurm_takes_back() -> None:
    assert launcher_settings(["hydra/launcher=cores"])["n_jobs"] == -1
    slurm, nodes = (launcher_settings([f"hydra/launcher={name}"]) for name in ("slurm", "slurm_nodes"))
    assert slurm["additional_parameters"] == {"requeue": True}
    assert slurm["max_num_timeout"] > 10
    assert {**slurm, "nodes": 2} == nodes
