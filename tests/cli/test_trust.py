"""A run from elsewhere does not import a module that nobody who typed the command named."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import a2c
from a2c.cli import main
from a2c.run.showing.next_commands import next_commands
from a2c.settings.trust import code_in, imports_foreign_code
from a2c.storage.checkpoint import load_checkpoint, save_checkpoint
from registrations import forget
from space_toys import Scene

QUICK = ["total_steps=60", "num_envs=2", "eval.every=0", "eval.episodes=1", "eval.final_episodes=1", "gif=false",
         "wandb.mode=disabled", "vectorization=sync", "device=cpu"]  # fmt: skip
MODULE = """
import pathlib, gymnasium
pathlib.Path("imported").touch()
gymnasium.register("Evil-v0", entry_point=lambda **_: gymnasium.make("CartPole-v1", render_mode="rgb_array").unwrapped,
                   max_episode_steps=20)
"""
MODULES, IDS = {"evil", "evil_nets"}, {"Evil-v0", "Parts-v0"}


@pytest.fixture(autouse=True)
def nothing_registered_stays() -> Iterator[None]:
    yield
    forget(IDS, MODULES)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of ``evil:Evil-v0``, as if it came from elsewhere: the module is not imported yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text(MODULE)
    assert main(["train", "env.id=evil:Evil-v0", *QUICK]) == 0
    sys.modules.pop("evil")
    (tmp_path / "imported").unlink()
    return (tmp_path / "runs" / "latest").resolve()


COMMANDS = ["train resume=latest total_steps=80", "eval run=latest episodes=1", "watch run=latest"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_module_that_only_the_run_names_is_not_imported(run: Path, command: str, capsys: Any) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    capsys.readouterr()
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("config error: ")
    assert said.endswith(
        " imports the module 'evil', which can do anything; name it again (env.id=evil:Evil-v0), or trust the run "
        "(--trust)\n"
    )
    assert said.count("\n") == 1
    assert not Path("imported").exists()
    assert (run / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("word", ["--trust", "env.id=evil:Evil-v0"])
@pytest.mark.parametrize("command", COMMANDS)
def test_who_names_it_again_or_trusts_the_run_gets_it(run: Path, command: str, word: str) -> None:
    assert main([*command.split(), word]) == 0
    assert Path("imported").exists()


def test_another_environment_is_not_what_the_run_was_trained_on(run: Path, capsys: Any) -> None:
    assert main(["eval", "env.id=CartPole-v1"]) == 2
    assert "but " in capsys.readouterr().err
    assert not Path("imported").exists()


def test_a_checkpoint_outside_of_any_run_is_no_other_way_in(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints" / "last.pt", tmp_path / "ck.pt")
    assert main(["train", "resume=ck.pt", "total_steps=80"]) == 2
    (run / ".hydra" / "config.yaml").unlink()  # then the settings come from the checkpoint
    assert main(["train", f"resume={run}", "total_steps=80"]) == 2
    assert not Path("imported").exists()


def test_our_own_modules_need_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "env=cartpole_device", *QUICK[:-2], "device=cpu", "total_steps=60"]) == 0
    assert main(["eval", "episodes=1"]) == 0
    assert not imports_foreign_code("a2c.envs.device:X-v0")
    assert not imports_foreign_code("ALE/Pong-v5")
    assert imports_foreign_code("a2cx.envs:X-v0")


def test_the_commands_that_a_run_prints_carry_the_trust(run: Path, capsys: Any) -> None:
    assert main(["train", "resume=latest", "total_steps=80", "--trust"]) == 0
    printed = [line.removeprefix("  next").strip() for line in capsys.readouterr().out.splitlines()]
    commands = [line for line in printed if line.startswith(("a2c watch", "a2c eval"))]
    assert commands == ["a2c watch run=latest --trust", "a2c eval run=latest episodes=100 --trust"]
    assert main(shlex.split(commands[0])[1:]) == 0


# ---- networks follow the same rule ----

NETS = """
import pathlib
from network_toys import Ours, pair
pathlib.Path("imported").touch()
"""
OWN = ("network.torso=evil_nets:Ours", "network.make=evil_nets:pair", "network.encoders.at=evil_nets:Ours")


@pytest.fixture(params=OWN)
def own(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A run of a network of the user's, as if it came from elsewhere, and the words that name its code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_nets.py").write_text(NETS)
    gymnasium.register("Parts-v0", entry_point=Scene)
    env = ["env.id=Parts-v0"] if "encoders" in request.param else []  # it has parts
    assert main(["train", *QUICK, request.param, *env]) == 0
    sys.modules.pop("evil_nets")
    (tmp_path / "imported").unlink()
    return request.param, (tmp_path / "runs" / "latest").resolve()


def test_a_network_that_only_the_run_names_is_not_imported(own: tuple[str, Path], capsys: Any) -> None:
    named, run = own
    before = (run / "metrics.jsonl").read_bytes()
    for command in COMMANDS:
        capsys.readouterr()
        assert main(command.split()) == 2
        said = capsys.readouterr().err
        assert said.endswith(f"name it again ({named}), or trust the run (--trust)\n")
        assert said.count("\n") == 1
        assert not Path("imported").exists()
        assert (run / "metrics.jsonl").read_bytes() == before
    assert main([*COMMANDS[0].split(), "--trust"]) == 0
    assert Path("imported").exists()


def test_a_network_that_is_named_again_is_trusted_and_another_is_not_taken_for_it(
    own: tuple[str, Path], capsys: Any
) -> None:
    named, _ = own
    assert main(["eval", "episodes=1", f"{named.partition('=')[0]}=evil_nets:Another"]) == 2
    assert "was trained with evil_nets:" in capsys.readouterr().err
    assert not Path("imported").exists()
    assert main(["eval", "episodes=1", named]) == 0
    assert main([*COMMANDS[0].split(), named]) == 0


def test_loading_a_policy_in_python_imports_nothing_until_told(own: tuple[str, Path]) -> None:
    _, run = own
    with pytest.raises(a2c.ConfigError, match=r"load_policy\(..., trust=True\) allows it, network=... gives it again"):
        a2c.load_policy(run)
    assert not Path("imported").exists()
    a2c.load_policy(run, trust=True)
    assert Path("imported").exists()


def test_a_dump_asks_as_well(own: tuple[str, Path], capsys: Any) -> None:
    named, run = own
    payload = load_checkpoint(run / "checkpoints" / "last.pt")
    path = Path("numeric-0.pt")
    save_checkpoint(path, {**payload, "error": "numeric error: x", "evidence": {"rollout": {}}})
    assert main(["replay", str(path)]) == 2
    assert f"{path} imports the module 'evil_nets', which can do anything; name it again ({named})" in (
        capsys.readouterr().err
    )
    assert not Path("imported").exists()
    assert main(["replay", str(path), "--trust"]) == 5  # it holds no rollout


def test_a_checkpoint_that_somebody_put_into_a_run_imports_nothing_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_nets.py").write_text(NETS)
    assert main(["train", *QUICK]) == 0
    best = (tmp_path / "runs" / "latest").resolve() / "checkpoints" / "best.pt"
    payload = load_checkpoint(best)
    payload["config"]["network"]["torso"] = "evil_nets:Ours"
    payload["state"]["best_eval"] = 1e9  # no later evaluation takes its place
    del payload["format"]
    save_checkpoint(best, payload)
    assert main(["train", "resume=latest", "total_steps=80"]) == 2
    assert "best.pt imports the module 'evil_nets'" in capsys.readouterr().err
    assert not Path("imported").exists()


def test_a_network_whose_module_has_moved_goes_on_with_its_best_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_nets.py").write_text(NETS)
    assert main(["train", *QUICK, "network.torso=evil_nets:Ours"]) == 0
    (tmp_path / "evil_nets.py").unlink()
    sys.modules.pop("evil_nets")
    best = (tmp_path / "runs" / "latest").resolve() / "checkpoints" / "best.pt"
    payload = load_checkpoint(best)
    payload["state"]["best_eval"] = 1e9  # no later evaluation takes its place
    del payload["format"]
    save_checkpoint(best, payload)
    assert main(["train", "resume=latest", "total_steps=80", "network.torso=network_toys:Ours"]) == 0
    assert load_checkpoint(best)["config"]["network"]["torso"] == "evil_nets:Ours"
    assert main(["train", "resume=latest", "total_steps=90", "network.torso=network_toys:Lazy"]) == 5


def test_a_command_that_loads_no_run_has_no_trust(capsys: Any) -> None:
    assert main(["study", "--trust"]) == 2
    assert capsys.readouterr().err == "config error: a2c study has no --trust: it loads no run\n"


# ---- commands that work as printed ----


@pytest.mark.parametrize(
    ("runs_dir", "more"),
    [
        ("runs", []),
        ("my runs, and (more)", []),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (("other", []), ("runs", ["hydra.job.chdir=true"]), ("other", ["hydra.job.chdir=true"]))
        ),
    ],
)
def test_what_is_printed_at_the_end_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, runs_dir: str, more: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK, "seed=9"]) == 0  # another run, which is the latest of runs/
    assert main(["train", *QUICK, f"runs_dir={runs_dir}", *more]) == 0
    mine = (tmp_path / runs_dir / "latest").resolve()
    assert mine.parent == tmp_path / runs_dir / "CartPole-v1"
    out = capsys.readouterr().out.rpartition("  next")[2]
    watch, evaluate = (line.strip() for line in out.splitlines()[:2])
    capsys.readouterr()
    assert main(shlex.split(watch)[1:]) == 0
    assert (mine / "watch.gif").exists()
    assert main([*shlex.split(evaluate)[1:], "episodes=1"]) == 0
    assert capsys.readouterr().out.rpartition("\n")[0].count(f"{mine}/checkpoints/best.pt") == 1
    assert sorted(path.name for path in mine.iterdir() if path.name != "watch.gif") == sorted(
        [".hydra", ".lock", "checkpoints", "curve.png", "metrics.jsonl", "summary.json", "train.log"]
    )


def test_what_a_stopped_run_prints_goes_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK, "runs_dir=my other"]) == 0
    folder = (tmp_path / "my other" / "latest").resolve()
    cfg = a2c.load_config("runs_dir=my other")
    summary = {"folder": str(folder), "stopped": "SIGINT", "wandb_id": "x"}
    (command, _), *others, (board, _) = next_commands(summary, cfg)
    assert board == "wandb leet 'my other/wandb'"
    assert len(others) == 2
    assert main([*shlex.split(command)[1:], "total_steps=120"]) == 0
    assert load_checkpoint(folder / "checkpoints" / "last.pt")["state"]["env_steps"] >= 120
    assert not (tmp_path / "runs").exists()


def test_the_gif_of_a_checkpoint_of_no_run_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK]) == 0
    (tmp_path / "x" / "mymodels").mkdir(parents=True)
    shutil.copy("runs/latest/checkpoints/last.pt", "x/mymodels/ck.pt")
    assert main(["watch", "run=x/mymodels/ck.pt"]) == 0
    assert sorted(str(path) for path in Path("x").rglob("*.*")) == ["x/mymodels/ck.pt", "x/mymodels/watch.gif"]
    assert main(["watch", "run=runs/latest/checkpoints/last.pt"]) == 0
    assert (tmp_path / "runs" / "latest" / "watch.gif").exists()


def test_a_makefile_of_somebody_else_is_not_advertised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Makefile").write_text("all:\n")
    commands = next_commands({"folder": "runs/x", "wandb_id": "x"}, a2c.load_config())
    assert commands[-1][0] == "wandb leet runs/wandb"


def test_a_checkpoint_of_no_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "x.pt", {"anything": 1})
    assert main(["train", "resume=x.pt"]) == 5
    assert capsys.readouterr().err == "checkpoint error: x.pt holds no settings; it is no checkpoint of a run\n"


WRAPPERS = """
import pathlib, gymnasium
pathlib.Path("imported").touch()
class Wrap(gymnasium.Wrapper): pass
"""
TYPED = "env.wrappers=[{evil_wrappers:Wrap: {}}]"


@pytest.fixture
def wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run with a wrapper of ``evil_wrappers``, which is not imported yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_wrappers.py").write_text(WRAPPERS)
    assert main(["train", "env.id=CartPole-v1", TYPED, "env.max_episode_steps=20", *QUICK]) == 0
    sys.modules.pop("evil_wrappers")
    (tmp_path / "imported").unlink()
    yield (tmp_path / "runs" / "latest").resolve()
    sys.modules.pop("evil_wrappers", None)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrapper_that_only_the_run_names_is_not_imported(wrapped: Path, command: str, capsys: Any) -> None:
    assert main(command.split()) == 2
    assert capsys.readouterr().err.endswith(
        " imports the module 'evil_wrappers', which can do anything; name it again (env.wrappers=[...]), or trust the "
        "run (--trust)\n"
    )
    assert main([*command.split(), "env.id=CartPole-v1"]) == 2  # that names another thing
    assert not Path("imported").exists()
    assert main([*command.split(), TYPED]) == 0
    assert Path("imported").exists()


def test_a_wrapper_of_gymnasium_needs_no_trust_unless_it_writes_files(tmp_path: Path) -> None:
    harmless = ["gymnasium.wrappers.ClipReward", {"gymnasium.wrappers:TimeLimit": {"n": 3}}]
    assert code_in({"env.wrappers": harmless}) == {}
    for name in ("gymnasium.wrappers.RecordVideo", "gymnasium.wrappers.vector.ClipReward", "gymnasium.wrappersx.Clip",
                 "gymnasium:wrappers.RecordVideo", "a2c.x:y"):  # fmt: skip
        assert list(code_in({"env.wrappers": [*harmless, name]})) == ["env.wrappers[2]"], name


def test_another_chain_is_not_what_the_run_was_trained_with(wrapped: Path, capsys: Any) -> None:
    assert main(["eval", "env.wrappers=[gymnasium.wrappers.ClipReward]", "--trust"]) == 2
    assert "leave out env.wrappers=" in capsys.readouterr().err
    assert not Path("imported").exists()


def test_the_commands_of_a_run_with_foreign_wrappers_carry_the_trust(wrapped: Path, capsys: Any) -> None:
    assert main(["train", "resume=latest", "total_steps=80", "--trust"]) == 0
    assert "a2c eval run=latest episodes=100 --trust" in capsys.readouterr().out
