"""What does not fit the machine is refused before anything starts, by numbers that are those of the run."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from a2c.build import build, make_envs
from a2c.cli import main
from a2c.collecting import preflight
from a2c.collecting.collector import Collector
from a2c.collecting.preflight import check_fits, check_settings, needs
from a2c.envs.choosing.choose import Plan
from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.machine.limits import Limit, Limits
from a2c.maths.trees import leaves
from builders import IMAGE, TORQUE, VECTOR, config

PLENTY = Limits(None, None, None)


def sizes(parts: Any) -> dict[str, int]:
    return {part.name: part.size for part in parts}


def test_the_bytes_of_a_rollout_of_vectors() -> None:
    cfg = config(num_envs=3, n_step=5, network={"hidden_sizes": [8]}, eval={"episodes": 2, "final_episodes": 7})
    found = sizes(needs(cfg, VECTOR).host)  # observations of 4 float32 (16 bytes), 3 discrete actions
    # (5+1) x 3 observations of 16; 15 transitions, each: action 8, noise of 3 float32 twice 24, reward 4, flags 3,
    # weight 4, value of a final observation 4
    assert found["rollout"] == 18 * 16 + 15 * (8 + 24 + 4 + 3 + 4 + 4)
    assert found["network"] == 2 * 3 * 4 * (4 * 8)  # two torsos; weights, gradient and mean square
    assert found["environments"] == 2 * 3 * 16 + 3 * 1024  # observations and final ones; a kB for each environment
    assert found["evaluation"] == 7 * 40


def test_the_bytes_of_a_values_own_mlp_and_of_what_is_the_users() -> None:
    cfg = config(network={"hidden_sizes": [8], "value_hidden_sizes": [2, 3]})
    assert sizes(needs(cfg, VECTOR).host)["network"] == 3 * 4 * (4 * 8 + 4 * 2 + 2 * 3)
    for own in ({"make": "nets:make"}, {"torso": "nets:Torso"}, {"encoders": {"at": "nets:At"}}):
        assert sizes(needs(config(network=own), VECTOR).host)["network"] == 0  # a floor: nobody knows yet


def test_the_bytes_of_continuous_actions_and_of_images() -> None:
    cfg = config(num_envs=1, n_step=2)
    torque = sizes(needs(cfg, TORQUE).host)["rollout"]  # 2 numbers of 4 bytes, from as many of noise, twice
    assert torque == 3 * 16 + 2 * (8 + 16 + 15)
    image = sizes(needs(cfg, IMAGE).host)  # uint8 [4, 36, 36]; 3 actions
    assert image["rollout"] == 3 * 4 * 36 * 36 + 2 * (8 + 24 + 15)
    assert image["network"] == 0  # the hidden sizes are the mlp's


def test_on_a_gpu_the_rollout_is_there_and_the_host_has_what_crosses() -> None:
    cfg = config(num_envs=3, n_step=5)
    here, there = needs(cfg, VECTOR), needs(cfg, VECTOR, on_host=False)
    assert sizes(there.device) == {name: sizes(here.host)[name] for name in ("rollout", "network")}
    assert sizes(there.host)["arrivals"] == 15 * 7
    with pytest.raises(ConfigError, match=r"network.hidden_sizes=.64, 64. need .* \(on cuda:1\); lower"):
        check_fits(there, PLENTY, Limit(1000, "on cuda:1"))


def test_an_atari_game_is_judged_before_it_is_made() -> None:
    cfg = config(num_envs=2, n_step=5, env={"id": "ALE/Pong-v5"})
    found = sizes(needs(cfg).host)
    assert found["rollout"] == 12 * 4 * 84 * 84 + 10 * (15 + 12)
    assert found["environments"] == 2 * 2 * 84 * 84 + 2 * 1024  # they give the newest frame


@pytest.mark.parametrize("spaces", [VECTOR, None])
def test_workers_of_a3c_count_as_often_as_there_are(spaces: Spaces | None) -> None:
    cfg = config(num_envs=2, n_step=5, vectorization="sync")
    one, four = needs(cfg, spaces), needs(cfg, spaces, team=4)
    assert sizes(four.host)["rollout"] == 4 * sizes(one.host)["rollout"]
    assert (one.descriptors, four.descriptors, four.processes) == (0, 4 * 5 + 6, 8)


@pytest.mark.parametrize(
    ("settings", "plan", "workers", "descriptors"),
    [
        ({"vectorization": "async"}, None, 16, 16 * 3 + 10),
        ({"vectorization": "auto"}, None, 0, 0),
        ({"vectorization": "workers", "num_workers": 4}, None, 4, 4 * 5 + 6),
        ({"vectorization": "workers", "num_workers": 16}, None, 15, 15 * 5 + 6),  # this process may step the rest
        ({"vectorization": "workers", "num_workers": 16}, Plan("workers", 16, ""), 16, 16 * 5 + 6),
        ({"vectorization": "workers", "num_workers": 2, "env_groups": 4}, Plan("workers", 2, ""), 8, 8 * 5 + 6),
        ({"vectorization": "auto"}, Plan("workers", 3, "", main_shard=True), 3, 3 * 5 + 6),
        ({"vectorization": "auto"}, Plan("sync", None, ""), 0, 0),
    ],
)
def test_descriptors_by_what_steps_the_environments(
    settings: dict[str, Any], plan: Plan | None, workers: int, descriptors: int
) -> None:
    found = needs(config(num_envs=16, **settings), plan=plan)
    assert (found.workers, found.descriptors) == (workers, descriptors)


def test_what_just_fits_is_not_refused() -> None:
    found = needs(config(num_envs=16, vectorization="async"), VECTOR)
    total = sum(part.size for part in found.host)
    check_fits(found, Limits(Limit(total, ""), Limit(found.descriptors, ""), Limit(found.processes, "")))
    few = dataclasses.replace
    for limits, said in (
        (few(PLENTY, memory=Limit(total - 1, "here")), "16.9 MB of memory (environments 16.8 MB), and 16.9 MB are"),
        (few(PLENTY, descriptors=Limit(55, "here")), "58 file descriptors, and 55 are"),
        (few(PLENTY, processes=Limit(-3, "here")), "16 processes and threads, and 0 are"),
    ):
        with pytest.raises(ConfigError) as refused:
            check_fits(found, limits)
        assert str(refused.value).startswith(f"config error: num_envs=16 need {said}")
        assert "free (here); lower num_envs" in str(refused.value)


def test_ranks_of_a_machine_need_their_memory_and_processes_each() -> None:
    cfg = config(num_envs=8, n_step=5, vectorization="workers", num_workers=2)
    one, three = needs(cfg, VECTOR), needs(cfg, VECTOR, ranks=3)
    total, tasks = 3 * sum(part.size for part in one.host), 3 * one.processes
    check_fits(three, Limits(Limit(total, ""), Limit(one.descriptors, ""), Limit(tasks, "")))
    few, found = dataclasses.replace, []
    for limits in (
        few(PLENTY, memory=Limit(total - 1, "here")),
        few(PLENTY, descriptors=Limit(one.descriptors - 1, "here")),  # which are each process's own
        few(PLENTY, processes=Limit(tasks - 1, "here")),
    ):
        with pytest.raises(ConfigError) as refused:
            check_fits(three, limits)
        found.append(str(refused.value))
    assert [text.startswith("config error: 3 ranks with ") for text in found] == [True] * 3
    assert f"each need {total / 1e6:.1f} MB of memory" in found[0]
    assert f"num_workers=2 each need {one.descriptors} file descriptors" in found[1]
    assert f"num_workers=2 each need {tasks} processes and threads" in found[2]


def test_under_torchrun_the_ranks_of_this_machine_count(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a"}
    for name, value in {**said, "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    seen: list[preflight.Needs] = []
    monkeypatch.setattr(preflight, "check_fits", lambda found, *limits: seen.append(found))
    check_settings(config(num_envs=18, n_step=5))
    preflight.fitting(config(num_envs=4, n_step=5), "cpu")(VECTOR, None)
    assert [found.ranks for found in seen] == [2, 2]
    assert sizes(seen[0].host) == sizes(needs(config(num_envs=4, n_step=5)).host)  # a quarter of 18, at least


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_the_memory_of_a_rollout_is_what_was_computed(env_id: str) -> None:
    cfg = config(env={"id": env_id}, num_envs=7, n_step=300, vectorization="sync")
    with make_envs(cfg) as envs:
        _, collector = build(cfg, envs)
        assert isinstance(collector, Collector)
        noise, finals = collector._noise, collector._final_values._values
        tensors = [
            *leaves(collector._obs),
            collector._actions,
            collector._weight,
            finals,
            noise,
        ]
        held = sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor)) + noise.nbytes  # drawn ahead
        held += sum(array.nbytes for array in collector._host.arrays.values())
        assert held == sizes(needs(cfg, envs.spaces).host)["rollout"]


MEASURE = """
import os, resource, sys
from a2c.api import load_config
from a2c.collecting.preflight import needs
from a2c.envs.choosing.choose import Plan
from a2c.envs.make_vector_env import make_vector_env

def descriptors():
    return len(os.listdir("/proc/self/fd")) - 1

kind, count = sys.argv[1], int(sys.argv[2])
cfg, plan = load_config("env.id=CartPole-v1", "algo=a2c_paper", f"num_envs={count}"), Plan(kind, count, "")
before = descriptors()
room = before + needs(cfg, plan=plan).descriptors + 2  # two for the servers of multiprocessing, which do not run yet
resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
envs = make_vector_env(cfg.env, count, plan)
print(descriptors() - before)
envs.close()
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux shows its descriptors")
@pytest.mark.parametrize(("kind", "each"), [("workers", preflight.OF_A_WORKER), ("async", preflight.OF_A_PROCESS_EACH)])
def test_the_descriptors_of_a_process_are_as_many_as_measured(kind: str, each: int) -> None:
    def held(count: int) -> int:
        command = [sys.executable, "-c", MEASURE, kind, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr  # the computed number was enough
        return int(done.stdout)

    assert held(7) - held(4) == 3 * each


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("n_step=1e9", "n_step=1,000,000,000 num_envs=4 need 108 GB of memory (rollout 108 GB), and 1.0 GB are free"),
        (
            "num_envs=1e8",
            "num_envs=100,000,000 need 124 GB of memory (rollout 21.6 GB, environments 102 GB), and",
        ),
        ("vectorization=async num_envs=64", "num_envs=64 need 202 file descriptors, and 61 are free (ulimit -n 64)"),
        (
            "vectorization=workers num_envs=64 num_workers=32",
            "num_workers=32 need 166 file descriptors, and 61",
        ),
        ("algo=a3c num_workers=40", "num_workers=40 need 206 file descriptors, and 61 are free"),
        ("algo=a3c num_workers=100000", "num_workers=100,000 num_envs=1 need"),
        ("eval.final_episodes=1e10", "eval.final_episodes=10,000,000,000 need 400 GB of memory"),
        ("env.id=ALE/Pong-v5 env.atari.screen_size=100000", "n_step=8 num_envs=8 env.atari.screen_size=100,000 need"),
        (
            "ranks=2 n_step=1e9",
            "2 ranks with n_step=1,000,000,000 num_envs=2 each need 108 GB of memory (rollout 54.0 GB each), and",
        ),
        ("ranks=2 vectorization=async num_envs=64", "2 ranks with num_envs=32 each need 106 file descriptors, and 61"),
        ("-m seed=1,2 n_step=1e9", "n_step=1,000,000,000 num_envs=4 need"),
    ],
)
def test_what_its_settings_alone_make_too_large_is_one_line(
    overrides: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "limits_here", lambda: Limits(Limit(10**9, "here"), Limit(61, "ulimit -n 64"), None))
    assert main(["train", *overrides.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"config error: {said}")
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_of_more_episodes_than_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "limits_here", lambda: Limits(Limit(10**9, "here"), None, None))
    assert main(["eval", "episodes=1e10"]) == 2
    said = (
        "config error: episodes=10,000,000,000 need 400 GB of memory (evaluation 400 GB), and 1.0 GB are free (here); "
    )
    assert capsys.readouterr().err == f"{said}lower episodes\n"


class Large(gym.Env[Any, Any]):
    """Observations of a megabyte."""

    made = 0

    def __init__(self) -> None:
        Large.made += 1
        self.observation_space = Box(0.0, 1.0, (1 << 18,), np.float32)
        self.action_space = Discrete(2)


@pytest.mark.parametrize("vectorization", ["auto", "sync", "workers", "async"])
def test_large_observations_are_refused_by_the_first_environment(
    vectorization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(gym.registry, "Large-v0", EnvSpec("Large-v0", Large))
    monkeypatch.setattr(preflight, "limits_here", lambda: Limits(Limit(100 << 20, "here"), None, None))
    Large.made = 0
    plain = ["train", "env.id=Large-v0", "algo=a2c_paper", "wandb.mode=disabled"]
    assert main([*plain, f"vectorization={vectorization}"]) == 2
    # 6 x 16 in the rollout, twice 16 beside the environments; 64 wide torsos over 2**18 numbers
    said = "config error: network.hidden_sizes=[64, 64] need"
    assert capsys.readouterr().err.startswith(said)
    assert Large.made == 1
    assert list(tmp_path.rglob("*.jsonl")) == []
    assert main([*plain, "network.hidden_sizes=[1]"]) == 2
    assert capsys.readouterr().err.startswith("config error: n_step=5 num_envs=16 need 1")


def test_a_real_limit_ends_the_command_with_one_line(tmp_path: Path) -> None:
    command = f"ulimit -n 64; exec {sys.executable} -m a2c train vectorization=async num_envs=64"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "num_envs=64 need 202 file descriptors, and " in done.stderr
    assert list(tmp_path.iterdir()) == []
