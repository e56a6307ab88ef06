"""A secret that a run was told is in nothing that it leaves behind, and the run still has it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import a2c
from a2c.cli import main
from a2c.errors import ConfigError
from registrations import forget

KEY, PASSWORD, NESTED, LISTED = "sk-d0not/te11", "hunter2hunter2", "v3ry-n3sted", "a-listed-one"
SECRETS = [KEY, PASSWORD, NESTED, LISTED]
GIVEN = [
    f"env.kwargs.api_key={KEY}",
    f"env.kwargs.url=https://me:{PASSWORD}@host/x",
    f"env.kwargs.login={{user: me, auth_token: {NESTED}}}",
    f"env.kwargs.servers=[{{name: one, token: {LISTED}}}]",
]
QUICK = ["total_steps=60", "num_envs=2", "log_every=20", "eval.every=30", "eval.episodes=1", "eval.final_episodes=1",
         "device=cpu", "--trust"]  # fmt: skip
MODULE = f"""
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

class Vault(CartPoleEnv):
    def __init__(self, api_key, url, login, servers, size=1, fails=False, render_mode=None):
        told = (api_key, url, login["auth_token"], servers[0]["token"])
        if told != ({KEY!r}, "https://me:{PASSWORD}@host/x", {NESTED!r}, {LISTED!r}):
            raise PermissionError(f"no entry for {{told}}")
        self.fails, self.told = fails, told
        super().__init__(render_mode=render_mode)

    def step(self, action):
        if self.fails:
            raise ValueError(f"the server did not like {{self.told}}")
        return super().step(action)

gymnasium.register("Vault-v0", entry_point=Vault, max_episode_steps=10)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "vault.py").write_text(MODULE)
    yield tmp_path
    forget({"Vault-v0"}, {"vault"})


def train(*overrides: str) -> int:
    return main(["train", "env.id=vault:Vault-v0", *GIVEN, *QUICK, *overrides])


def assert_told_nowhere(folder: Path) -> None:
    """Look for the secrets in every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "vault.py"]
    assert files
    for path in files:
        data = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in data], path


@pytest.mark.slow
def test_a_whole_run_tells_its_secrets_nowhere_and_plays_with_them(here: Path, capfd: Any) -> None:
    assert train("wandb.mode=offline", "vectorization=workers", "num_workers=1", "eval.apart=true") == 0
    run = (here / "runs" / "latest").resolve()
    assert {"agent.gif", "curve.png", "train.log", "summary.json", ".hydra"} <= {path.name for path in run.iterdir()}
    assert list((here / "runs" / "wandb").rglob("run-*.wandb"))
    assert_told_nowhere(here)
    shown = "".join(capfd.readouterr())
    assert not [secret for secret in SECRETS if secret in shown]
    (command,) = re.findall(r"a2c eval .*", shown)
    again = [f"env.kwargs.{name}=..." for name in ("api_key", "url", "login.auth_token", "servers")]
    assert shlex.split(command) == ["a2c", "eval", "run=latest", "episodes=100", "--trust", *again]


def test_a_failure_tells_no_secret_to_the_log(here: Path, capfd: Any) -> None:
    assert train("wandb.mode=disabled", "env.kwargs.fails=true", "vectorization=workers", "eval.apart=true") == 3
    assert_told_nowhere(here)
    shown = "".join(capfd.readouterr())
    assert "the server did not like ('<redacted>', 'https://<redacted>@host/x'" in shown
    assert not [secret for secret in SECRETS if secret in shown]


def test_a_multirun_tells_no_secret(here: Path, capfd: Any) -> None:
    assert train("wandb.mode=disabled", "-m", "seed=1,2", "total_steps=10", "gif=false") == 0
    assert (here / "runs" / "multirun.yaml").is_file()
    assert_told_nowhere(here)
    shown = "".join(capfd.readouterr())
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.fixture
def run(here: Path) -> Path:
    assert train("wandb.mode=disabled", "gif=false", "eval.every=0") == 0
    return (here / "runs" / "latest").resolve()


COMMANDS = ["train resume=latest total_steps=80", "eval run=latest episodes=1", "watch run=latest"]


@pytest.mark.parametrize("command", COMMANDS)
def test_who_goes_on_is_asked_for_the_secrets_and_may_give_them(run: Path, command: str, capfd: Any) -> None:
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    capfd.readouterr()
    assert main([*command.split(), "--trust", *GIVEN[1:]]) == 2
    asked = "env.kwargs.api_key is a secret, which a run does not keep; give it again: env.kwargs.api_key=...\n"
    assert capfd.readouterr().err == f"config error: {asked}"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files
    given = [text for text in GIVEN if "login" not in text] + [f"env.kwargs.login.auth_token={NESTED}"]
    assert main([*command.split(), "--trust", *given]) == 0
    assert_told_nowhere(run)


def test_no_run_trains_with_the_mark_in_the_place_of_a_secret(here: Path, capfd: Any) -> None:
    assert train("env.kwargs.api_key=<redacted>") == 2
    assert "env.kwargs.api_key is a secret" in capfd.readouterr().err
    assert not (here / "runs").exists()


@pytest.mark.parametrize("wrong", ["env.kwargs.api_key@x=SECRET", "env_kwargs.api_key=SECRET", "--token=SECRET"])
def test_what_cannot_be_read_is_told_without_its_secret(wrong: str, capfd: Any) -> None:
    assert main(["train", wrong.replace("SECRET", KEY)]) == 2
    said = capfd.readouterr().err
    assert said.startswith("config error: ")
    assert KEY not in said


def test_a_policy_in_python_takes_the_secrets_of_its_environment(run: Path) -> None:
    policy = a2c.load_policy(run)
    with pytest.raises(ConfigError, match=r"env\.kwargs\.api_key, .*env\.kwargs\.servers are secrets"):
        a2c.evaluate(policy, 1)
    secrets = {"api_key": KEY, "url": f"https://me:{PASSWORD}@host/x", "login": {"auth_token": NESTED}}
    policy = a2c.load_policy(run, secrets={**secrets, "servers": [{"name": "one", "token": LISTED}]})
    assert a2c.evaluate(policy, 1).rewards
    with pytest.raises(ConfigError, match=r"env\.kwargs\.size is no secret"):
        a2c.load_policy(run, secrets={"size": 3})


def test_a_run_from_python_keeps_no_secret_either(here: Path) -> None:
    cfg = a2c.load_config("env.id=vault:Vault-v0", *GIVEN, *QUICK[:-1], "wandb.mode=disabled", "gif=false")
    a2c.train(cfg)
    assert cfg.env.kwargs["api_key"] == KEY
    assert_told_nowhere(here)


def test_the_report_of_the_doctor_tells_no_secret(here: Path) -> None:
    main(["doctor", "env.id=vault:Vault-v0", *GIVEN, "env.kwargs.fails=true", "--report", "report.md"])
    assert "env.kwargs.api_key=<redacted>" in (here / "report.md").read_text()
    assert_told_nowhere(here)
    sys.stdout.flush()
