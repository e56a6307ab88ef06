"""``ranks=2`` and torchrun, with real processes: they train, die, start again, and end with the same weights."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from a2c.errors import ConfigError, RankFailure
from a2c.machine.cores import usable_cores
from a2c.machine.rank_place import Place, place_here
from a2c.run.rank_agent import RESTARTS
from a2c.run.rank_settings import of_place
from a2c.settings.rules import validate
from builders import config
from rank_processes import a2c, assert_same_weights, ended, last, ranks_of, wait_for

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python")


def test_a_process_knows_its_place_by_what_torchrun_says(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    assert place_here() is None
    said = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert place_here() == Place(rank=3, size=4, local=1, restarts=0)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert place_here() == Place(rank=3, size=4, local=1, restarts=2)
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ConfigError, match=r"RANK=first WORLD_SIZE=4 .* must be numbers"):
        place_here()


def test_ranks_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    alone = usable_cores()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert usable_cores() == max(1, alone // 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algo": "ac", "num_envs": 2}, "algo=ac does not go with ranks=2: it is one environment"),
        ({"algo": "a3c"}, "algo=a3c does not go with ranks=2: it has processes of its own; use num_workers=2"),
        ({"vectorization": "device"}, "vectorization=device does not go with ranks=2"),
        ({"device": "cuda:1"}, "device=cuda:1 does not go with ranks=2: each rank takes the GPU of its number"),
        ({"compile": True}, "compile=true does not go with ranks=2"),
        (
            {"deterministic_ranks": True, "ranks": 3},
            "ranks=3 does not go with deterministic_ranks=true: num_envs=16 are 8",
        ),
        ({"deterministic_ranks": True, "vectorization": "device", "ranks": 1}, "vectorization=device does not go with"),
        ({"num_envs": 1}, "ranks=2 must be at most num_envs=1"),
    ],
    ids=str,
)
def test_what_does_not_go_with_ranks_is_refused_in_one_line(changes, said):
    with pytest.raises(ConfigError, match=said):
        validate(config(**{"ranks": 2, **changes}))


def test_torchrun_says_how_many_ranks_there_are():
    assert of_place(config(), Place(0, 3)).ranks == 3
    with pytest.raises(ConfigError, match="ranks=2, but torchrun started 3"):
        of_place(config(ranks=2), Place(0, 3))


@pytest.mark.long
def test_one_command_trains_with_two_processes_and_another_with_one_to_the_same_end(tmp_path):
    for name, more in {"one": (), "two": ("ranks=2",)}.items():
        done = a2c(tmp_path / name, "total_steps=3000", *more)
        code, out, err = ended(done)
        assert code == 0, err
        assert ("ranks         2, each with its share of the 4" in out) == (name == "two")
    assert_same_weights(tmp_path / "two", tmp_path / "one")


@pytest.mark.long
def test_torchrun_trains_the_same(tmp_path):
    for name, before in {"one": (), "two": (*TORCHRUN, sys.executable)}.items():
        done = a2c(tmp_path / name, "total_steps=3000", launcher=before)
        code, _, err = ended(done)
        assert code == 0, err
    assert_same_weights(tmp_path / "two", tmp_path / "one")


@pytest.mark.long
def test_under_torchrun_a_finished_run_is_left_alone(tmp_path):
    for _ in range(2):
        done = a2c(tmp_path, "total_steps=2000", "resume=auto", launcher=(*TORCHRUN, sys.executable))
        code, out, err = ended(done)
        assert code == 0, err
    assert "is finished" in out
    assert len(list(tmp_path.glob("CartPole-v1/*"))) == 1


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_costs_a_restart_and_nothing_else(tmp_path, rank):
    undisturbed = a2c(tmp_path / "one", "total_steps=20000")
    done = a2c(tmp_path / "two", "total_steps=20000", "ranks=2")
    wait_for(lambda: list((tmp_path / "two").glob("*/*/checkpoints/last*.pt")))
    os.kill(ranks_of(done.pid)[rank], signal.SIGKILL)
    code, out, err = ended(done)
    assert code == 0, err
    assert "all start again from the last checkpoint (restart 1)" in out + err
    assert ended(undisturbed)[0] == 0
    assert_same_weights(tmp_path / "two", tmp_path / "one")


@pytest.mark.long
def test_a_rank_that_hangs_is_noticed_and_named(tmp_path):
    done = a2c(tmp_path, "total_steps=20000", "ranks=2", "rank_timeout=5")
    wait_for(lambda: list(tmp_path.glob("*/*/checkpoints/last*.pt")))
    os.kill(ranks_of(done.pid)[1], signal.SIGSTOP)
    code, out, err = ended(done)
    assert code == 0, err
    assert "rank 1 has kept the others waiting for 5 s (rank_timeout)" in out + err


@pytest.mark.long
@pytest.mark.parametrize("whom", ["the command", "a rank"])
def test_a_stop_is_saved_once_and_resumed_exactly(tmp_path, whom):
    undisturbed = a2c(tmp_path / "one", "total_steps=20000")
    done = a2c(tmp_path / "two", "total_steps=20000", "ranks=2")
    wait_for(lambda: list((tmp_path / "two").glob("*/*/checkpoints/last*.pt")))
    os.kill(done.pid if whom == "the command" else ranks_of(done.pid)[1], signal.SIGTERM)
    code, out, err = ended(done)
    assert code == 143, err
    assert out.count("checkpoint saved") == 1
    assert ended(a2c(tmp_path / "two", "total_steps=20000", "ranks=2", "resume=auto"))[0] == 0
    assert ended(undisturbed)[0] == 0
    assert_same_weights(tmp_path / "two", tmp_path / "one")


@pytest.mark.long
def test_no_rank_outlives_a_command_that_is_killed(tmp_path):
    done = a2c(tmp_path / "two", "total_steps=1_000_000_000", "ranks=2")
    wait_for(lambda: list((tmp_path / "two").glob("*/*/checkpoints/last*.pt")))
    ranks = ranks_of(done.pid)
    before = last(tmp_path / "two")["state"]["env_steps"]
    done.kill()
    done.communicate(timeout=600)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks))
    assert last(tmp_path / "two")["state"]["env_steps"] >= before


@pytest.mark.long
def test_an_error_of_a_rank_is_that_of_the_command(tmp_path):
    done = a2c(tmp_path, "ranks=2", "lr=1e30", "max_grad_norm=null")
    code, _, err = ended(done)
    assert code == 4, err
    assert "numeric error" in err
    assert "Traceback" not in err


@pytest.mark.long
def test_ranks_that_die_again_and_again_end_the_command(tmp_path):
    done = a2c(tmp_path, "ranks=2", "total_steps=1_000_000_000")
    killed: set[int] = set()
    while len(killed) < 1 + RESTARTS:
        wait_for(lambda: len(set(ranks_of(done.pid))) == 2 and not killed & set(ranks_of(done.pid)))
        killed.add(max(ranks_of(done.pid)))
        os.kill(max(killed), signal.SIGKILL)
    code, _, err = ended(done)
    assert code == RankFailure.exit_code, err
    assert "the run can go on from its last checkpoint" in err
