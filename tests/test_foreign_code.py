"""What an environment may do to a run, in training and in evaluation: it is named, and the run is saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2c
from a2c.__main__ import main
from a2c.envs.seeding import FINAL_EVAL, env_seed
from a2c.errors import EnvironmentFailure, NumericError
from foreign_runs import HOW, SEEDS, saved, settings
from foreign_toys import Foreign

pytestmark = pytest.mark.long


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise", "raised ZeroDivisionError in step 25: broken"),
        ("exit", "raised SystemExit in step 25: no license"),
        ("generator", "raised GeneratorExit in step 25: done"),
        ("own", "raised OwnError in step 25: not to be caught"),
        ("text", "returned the reward 'one', which is no real number, in step 25"),
        ("pair", r"returned the reward array\(\[1., 1.\]\), which is no real number \(a wrapper can .*\), in step 25"),
        ("shape", r"returned an observation of shape \(2, 1\), but its space has \(2,\), in step 25"),
        ("dtype", "returned an observation of dtype int64, but its space has float32, in step 25"),
    ],
)
def test_what_a_step_does_in_training_ends_the_run_named_and_saved(
    tmp_path: Path, how: str, fault: str, said: str
) -> None:
    with pytest.raises(EnvironmentFailure, match=said) as caught:
        a2c.train(settings(tmp_path, *HOW[how], where="step", fault=fault))
    assert re.match(r"environment error: environment [01] (\(.*\) )?r", str(caught.value))
    assert caught.value.exit_code == 3
    assert saved(tmp_path)["state"]["env_steps"] == 40  # two environments, and whole rollouts of five steps
    traced = "".join(getattr(caught.value, "__notes__", ()))
    assert ("foreign_toys.py" in traced) == said.startswith("raised")


@pytest.mark.parametrize("how", ["workers", "async"])
def test_an_interrupt_that_an_environment_raises_in_its_process_is_not_the_users(tmp_path: Path, how: str) -> None:
    with pytest.raises(EnvironmentFailure, match="raised KeyboardInterrupt in step 25: the simulator's own"):
        a2c.train(settings(tmp_path, *HOW[how], where="step", fault="interrupt"))
    assert saved(tmp_path)["state"]["env_steps"] == 40


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("where", ["constructor", "reset"])
def test_an_environment_that_exits_before_it_steps_is_an_error(tmp_path: Path, how: str, where: str) -> None:
    with pytest.raises(EnvironmentFailure, match=r"SystemExit.*: no license") as caught:
        a2c.train(settings(tmp_path, *HOW[how], where=where, fault="exit"))
    assert "foreign_toys.py" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("how", HOW)
def test_a_reward_in_an_array_of_one_is_a_number_everywhere(tmp_path: Path, how: str) -> None:
    a2c.train(settings(tmp_path / "training", *HOW[how], where="step", fault="array"))
    summary = a2c.train(settings(tmp_path / "evaluation", *HOW[how], where="evaluation", fault="array", seeds=SEEDS))
    assert summary.eval_mean == 10.0


@pytest.mark.parametrize("how", HOW)
def test_what_close_raises_ends_no_run(tmp_path: Path, how: str) -> None:
    assert a2c.train(settings(tmp_path, *HOW[how], "eval.every=0", where="close", fault="exit")).eval_mean == 10.0


@pytest.mark.parametrize("apart", ["false", "true"])
@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("exit", EnvironmentFailure, "raised SystemExit in step 3: no license"),
        ("own", EnvironmentFailure, "raised OwnError in step 3: not to be caught"),
        ("text", EnvironmentFailure, "returned the reward 'one', which is no real number, in step 3"),
        (
            "shape",
            EnvironmentFailure,
            r"returned an observation of shape \(2, 1\), but its space has \(2,\), in step 3",
        ),
        ("no number", NumericError, "gave the reward nan in step 3; every one must be finite"),
        ("hang", EnvironmentFailure, r"did not answer in 0.2 s \(.*env.step_timeout\)"),
    ],
)
def test_what_a_step_does_in_evaluation_alone_ends_the_run_named_and_saved(
    tmp_path: Path, apart: str, fault: str, kind: type[Exception], said: str
) -> None:
    hang = ("env.step_timeout=0.2",) if fault == "hang" else ()
    cfg = settings(tmp_path, *HOW["sync"], *hang, f"eval.apart={apart}", where="evaluation", fault=fault, seeds=SEEDS)
    with pytest.raises(kind, match=f"environment 0 of the evaluation .*{said}"):
        a2c.train(cfg)
    last = saved(tmp_path)
    assert last["state"]["env_steps"] >= 100
    assert not last.get("waiting_row")  # a resumed run must not meet the same failure again


def test_a_limit_of_time_moves_evaluations_apart_where_also_what_hangs_in_c_can_be_ended(tmp_path: Path) -> None:
    cfg = settings(tmp_path, *HOW["sync"], "env.step_timeout=0.2", where="evaluation", fault="hang", seeds=SEEDS)
    before = Foreign.made
    with pytest.raises(EnvironmentFailure, match=r"environment 0 of the evaluation did not answer in 0\.2 s"):
        a2c.train(cfg)
    assert Foreign.made - before == 5  # two for training, two for the trial, and the one that plan looked at
    assert saved(tmp_path)["state"]["env_steps"] >= 100


def test_a_final_evaluation_that_fails_leaves_a_saved_run_and_its_summary(tmp_path: Path) -> None:
    cfg = settings(tmp_path, *HOW["sync"], where="evaluation", fault="exit", seeds=SEEDS[1:])
    with pytest.raises(EnvironmentFailure, match="no license"):
        a2c.train(cfg)
    assert saved(tmp_path)["state"]["env_steps"] == 200
    assert list(tmp_path.glob("*/*/summary.json"))


@pytest.fixture
def trained(tmp_path: Path) -> Any:
    """Trains without evaluation, and returns the run folder."""

    def train(*overrides: str, **kwargs: Any) -> str:
        cfg = settings(tmp_path, *HOW["sync"], "eval.episodes=0", "num_envs=1", *overrides, **kwargs)
        return a2c.train(cfg).folder

    return train


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("exit", 3, "raised SystemExit in step 3: no license"),
        ("own", 3, "raised OwnError in step 3: not to be caught"),
        ("no number", 4, "gave the reward nan in step 3"),
        ("hang", 3, "did not answer in 0.2 s (step 3; env.step_timeout)"),
    ],
)
@pytest.mark.parametrize("command", ["eval", "watch"])
def test_commands_that_play_say_the_same(
    trained: Any, capfd: pytest.CaptureFixture[str], command: str, fault: str, code: int, said: str
) -> None:
    seeds = [env_seed(7, FINAL_EVAL, 0), 7]
    folder = trained("env.step_timeout=0.2", where="evaluation", fault=fault, seeds=seeds)
    assert main([command, f"run={folder}", "seed=7", "--trust", "episodes=1"]) == code
    assert said in capfd.readouterr().err


def test_actions_are_of_the_space_itself_wherever_they_come_from(tmp_path: Path) -> None:
    """0.1 as float32 is 0.10000000149: out of the bounds of float64."""
    for how in HOW:
        summary = a2c.train(settings(tmp_path / how, *HOW[how], high=0.1))
    policy = a2c.load_policy(summary.folder)
    action = policy.act(np.zeros(2, np.float32), deterministic=False)
    assert action.dtype == np.float64
    assert abs(action) <= 0.1
    a2c.evaluate(policy, 1)


def test_with_one_environment_and_no_evaluation_no_second_one_ever_lives(tmp_path: Path, capsys: Any) -> None:
    Foreign.most_alive = Foreign.alive = 0
    for how in ("auto", "sync"):
        cfg = settings(tmp_path / how, f"vectorization={how}", "num_envs=1", "eval.episodes=0", "gif=true")
        summary = a2c.train(cfg)
        assert summary.eval_mean is None
        assert summary.gif is None
        assert summary.best_checkpoint is None
        assert Path(summary.last_checkpoint).exists()
    assert Foreign.most_alive == 1
    assert "not evaluated (eval.episodes=0)" in capsys.readouterr().out
    assert a2c.load_policy(summary.folder).path == Path(summary.last_checkpoint).resolve()


@pytest.fixture
def own_modes() -> Iterator[None]:
    """Gives torch back as it was."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)


@pytest.mark.usefixtures("own_modes")
@pytest.mark.parametrize(
    ("overrides", "kwargs"),
    [
        ((), {}),
        (("normalize_obs=true", "normalize_reward=true", "optimizer=adam", "normalize_advantage=true"), {"high": 1.0}),
    ],
    ids=["plain", "with everything"],
)
def test_modes_of_torch_that_an_environment_sets_change_no_bit_of_training(
    tmp_path: Path, overrides: tuple[str, ...], kwargs: dict[str, Any]
) -> None:
    """Neither a default of float64, nor threads, nor gradients switched off; and it may take gradients in its step."""
    runs = {}
    for modes in (False, True):
        cfg = settings(tmp_path / str(modes), *HOW["sync"], *overrides, modes=modes, **kwargs)
        summary = a2c.train(cfg)
        policy = a2c.load_policy(summary.folder)
        acts = [policy.act(np.full(2, x, np.float32), deterministic=False) for x in (-1.0, 0.0, 1.0)]
        runs[modes] = (saved(tmp_path / str(modes)), summary.eval_mean, acts)
    assert torch.get_default_dtype() is torch.float64  # which is the environment's own matter
    for part in ("model", "optimizer"):
        plain, other = (runs[modes][0]["learner"][part] for modes in (False, True))
        assert {name: tensor.dtype for name, tensor in plain.items()} == {n: t.dtype for n, t in other.items()}
        assert all(torch.equal(plain[name], other[name]) for name in plain)
    assert runs[True][1:] == runs[False][1:]


@pytest.mark.parametrize("how", HOW)
def test_what_is_odd_is_said_once_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    odd = {"where": "step", "fault": "value", "value": 7.0, "info": {"action_mask": [1, 0]}}
    a2c.train(settings(tmp_path, *HOW[how], "eval.episodes=0", **odd))
    said = capsys.readouterr().out
    outside = re.findall(
        r"environment [01] gave an observation with the number 7 in step \d+, outside its bounds", said
    )
    assert len(outside) == said.count("gave an observation") == 1
    assert said.count("infos offer 'action_mask', which is not used") == 1
