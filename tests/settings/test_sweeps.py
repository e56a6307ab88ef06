"""The sweeps of conf/sweep, without a server: W&B's own agent builds each command line, and the command runs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb import wandb_agent
from wandb.wandb_agent import Agent

from a2c.errors import ConfigError
from a2c.settings.compose import load_config
from a2c.settings.setting import settings
from a2c.settings.sweep_guard import refuse_foreign_code
from a2c.storage.metrics_file import read_rows

ROOT = Path(__file__).resolve().parents[2]
SWEEPS = sorted((ROOT / "conf" / "sweep").glob("*.yaml"))
FLAT = {key for key, _, _ in settings(load_config()) if "." not in key}

Launch = tuple[list[str], dict[str, str]]


class Agents:
    """Starts runs as ``wandb agent`` does, up to the process itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._launched: list[Launch] = []
        monkeypatch.chdir(folder)
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            monkeypatch.delenv(name)
        # What the agent itself sets, so that the end of the test takes it back.
        for name in ("WANDB_DIR", "WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("WANDB_DIR", str(folder))
        monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
        monkeypatch.setattr(wandb_agent, "AgentProcess", self._keep)

    def _keep(self, command: list[str], env: dict[str, str], **_: Any) -> Any:
        self._launched.append((command, env))
        return lambda: None

    def launch(self, sweep: dict[str, Any], **parameters: Any) -> Launch:
        """Command line and environment for a run with these parameters."""
        agent = Agent(api=None, queue=None)
        agent._sweep_command = list(sweep["command"])
        args = {name: {"value": value} for name, value in parameters.items()}
        job = {"type": "run", "run_id": "run1", "program": sweep.get("program"), "args": args}
        response = agent._process_command(job)
        assert "exception" not in response, response
        return self._launched[-1]


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Agents:
    return Agents(monkeypatch, tmp_path)


def read(path: Path) -> dict[str, Any]:
    sweep = yaml.safe_load(path.read_text())
    assert isinstance(sweep, dict)
    return sweep


def choices(parameter: dict[str, Any]) -> list[Any]:
    return list(parameter.get("values", [parameter.get("min"), parameter.get("max")]))


def overrides(command: list[str]) -> list[str]:
    return command[command.index("train") + 1 :]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_asks_only_for_flat_settings(path: Path) -> None:
    sweep = read(path)
    assert set(sweep["parameters"]) <= FLAT
    assert sweep["metric"] == {"name": "eval/mean_reward", "goal": "maximize"}


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_agents_command_is_a_valid_run_for_every_value(path: Path, agents: Agents) -> None:
    sweep = read(path)
    for name, parameter in sweep["parameters"].items():
        for value in choices(parameter):
            command, _ = agents.launch(sweep, **{name: value})
            assert command[:5] == ["/usr/bin/env", "python", "-m", "a2c", "train"]
            assert asdict(load_config(*overrides(command)))[name] == value


def test_there_are_sweeps() -> None:
    assert [path.stem for path in SWEEPS] == ["cartpole", "lunarlander", "pendulum"]


@pytest.mark.parametrize(
    ("name", "value", "composed"),
    [
        ("max_grad_norm", None, None),
        ("normalize_obs", True, True),
        ("lr", 1e-05, 1e-05),
        ("device", "cpu", "cpu"),
        ("network.hidden_sizes", [32, 16], [32, 16]),
    ],
)
def test_values_as_the_agent_writes_them_arrive(agents: Agents, name: str, value: Any, composed: Any) -> None:
    command, _ = agents.launch(read(SWEEPS[0]), **{name: value})
    found = {key: value for key, value, _ in settings(load_config(*overrides(command)))}
    assert found[name] == composed


def test_a_mapping_reaches_the_keyword_arguments_of_the_environment(agents: Agents) -> None:
    command, _ = agents.launch(read(SWEEPS[0]), **{"env.kwargs": {"sutton_barto_reward": True, "note": "two words"}})
    assert load_config(*overrides(command)).env.kwargs == {"sutton_barto_reward": True, "note": "two words"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lr", None, "lr"),
        ("lr", {"min": 1, "max": 2}, "lr"),
        ("lr", [1, 2], "lr"),
        ("gamma", "very high", "gamma"),
        ("gamma", 1.5, r"gamma=1.5 must be in \[0, 1\]"),
        ("name", "two words", "name"),
        ("gama", 0.9, "did you mean 'gamma'"),
    ],
)
def test_a_value_that_cannot_be_is_one_clear_line(agents: Agents, name: str, value: Any, message: str) -> None:
    command, _ = agents.launch(read(SWEEPS[0]), **{name: value})
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(*overrides(command))
    assert "\n" not in str(caught.value)


def test_a_sweep_may_not_choose_code_to_import_unless_told_so() -> None:
    known = load_config("env.id=CartPole-v1")
    for chosen in ("network.make=nets:make", "network.torso=nets:Torso", "network.encoders.image=nets:Encoder"):
        with pytest.raises(ConfigError, match=f"{chosen} imports code that a sweep chose"):
            refuse_foreign_code(load_config("env.id=CartPole-v1", chosen), {"WANDB_SWEEP_ID": "s"})
    foreign = load_config("env.id=some_package:Env-v0")
    with pytest.raises(ConfigError, match="set A2C_ALLOW_SWEEP_CODE=1"):
        refuse_foreign_code(foreign, {"WANDB_SWEEP_ID": "s"})
    with pytest.raises(ConfigError):
        refuse_foreign_code(foreign, {"WANDB_SWEEP_ID": "s", "A2C_ALLOW_SWEEP_CODE": "0"})
    refuse_foreign_code(foreign, {"WANDB_SWEEP_ID": "s", "A2C_ALLOW_SWEEP_CODE": "1"})
    wrapped = load_config("env=cartpole", "env.wrappers=[my_module:Wrap]")
    with pytest.raises(ConfigError, match=r"env.wrappers\[0\]=my_module:Wrap imports code that a sweep chose"):
        refuse_foreign_code(wrapped, {"WANDB_SWEEP_ID": "s"})
    refuse_foreign_code(
        load_config("env=cartpole", "env.wrappers=[gymnasium.wrappers.ClipReward]"), {"WANDB_SWEEP_ID": "s"}
    )
    refuse_foreign_code(known, {"WANDB_SWEEP_ID": "s"})
    refuse_foreign_code(foreign, {})


@pytest.mark.slow
def test_an_agents_run_trains_and_belongs_to_the_sweep(agents: Agents, tmp_path: Path) -> None:
    command, environ = agents.launch(
        read(SWEEPS[0]), lr=0.002, n_step=8, num_envs=4, total_steps=800, num_workers=1, log_every=160, device="cpu"
    )
    # The agent's `python` is this one; there is no server, so the run that would go online stays offline.
    environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "NETRC": str(tmp_path / "netrc"),
        "WANDB_CONFIG_DIR": str(tmp_path / "wandb-home"),
        "WANDB_BASE_URL": "http://127.0.0.1:9",
    }
    with (tmp_path / "output").open("w") as output:
        code = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=600
        ).returncode
    text = (tmp_path / "output").read_text()
    assert code == 0, text
    assert text.count("W&B cannot go online") == 1
    (folder,) = (tmp_path / "runs").glob("CartPole*/*")
    rows = read_rows(folder / "metrics.jsonl")
    assert rows[-1]["global_step"] == 800
    (record,) = (tmp_path / "runs" / "wandb").glob("offline-run-*-run1")  # under the id that the sweep gave
    inspected = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(record)], capture_output=True, text=True
    ).stdout
    run = next(line for line in inspected.splitlines() if '"type":"run"' in line)
    assert '"sweep_id":"sweep1"' in run
    assert '"lr":0.002' in run
    assert '"n_step":8' in run
