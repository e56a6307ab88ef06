"""Evaluation in a process of its own: the scores of an evaluation in place, and every way to fail has its message."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import nn

from a2c.envs.single.make_env import make_env
from a2c.envs.spaces import Spaces, spaces_of
from a2c.errors import A2CError, ConfigError, EnvironmentFailure
from a2c.network.flat_weights import flatten_parameters
from a2c.network.making import make_network
from a2c.network.own_module import OwnModule
from a2c.network.protocol import Network
from a2c.playing import evaluator_process
from a2c.playing.evaluation import EvalResult, Evaluator
from a2c.playing.evaluator_process import EvaluatorProcess
from a2c.playing.policy import Policy
from a2c.settings.config import Config
from a2c.storage.checkpoint import frozen
from builders import config
from evaluation_toys import CLOSED, GO, REACHED, wait_for

SEEDS = [*range(20, 33)]  # 13 episodes for ten environments
TOY = "evaluation_toys:Sides-v0"

Begin = Callable[..., EvaluatorProcess]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a process; none outlives its test, also when the test fails."""
    started: list[EvaluatorProcess] = []

    def start(cfg: Config, factory: Callable[[], Network] | None = None, episodes: int = 20) -> EvaluatorProcess:
        make = factory or partial(make_network, cfg, spaces_in(cfg))
        started.append(EvaluatorProcess(cfg, make, episodes, torch.get_num_threads()))
        return started[-1]

    yield start
    for process in started:
        process.close(terminate=True)


def spaces_in(cfg: Config) -> Spaces:
    env = make_env(cfg.env)
    env.close()
    return spaces_of(env.observation_space, env.action_space)


def never() -> bool:
    return False


def scores(process: EvaluatorProcess, network: Network, seeds: list[int]) -> EvalResult | None:
    assert process.wait_until_ready(never)
    process.begin(frozen(network.state_dict()), seeds)
    return process.result(never)


def in_place(cfg: Config, network: Network, seeds: list[int]) -> EvalResult | None:
    evaluator = Evaluator(cfg.env, 20, 10_000)
    try:
        return evaluator.run(Policy(network, cfg), seeds)
    finally:
        evaluator.close()


def trained(cfg: Config, seed: int) -> Network:
    """As a learner has it: weights in one vector, statistics of observations that are not those of the start."""
    network = make_network(cfg, spaces_in(cfg))
    flat, draw = flatten_parameters(network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        flat += 0.3 * torch.randn(flat.shape, generator=draw)
    if network.normalizer is not None:
        network.normalizer.update(3 * torch.randn(5, 4, *network.spaces.obs_shape, generator=draw))
    return network


WORLDS: dict[str, dict[str, Any]] = {
    "discrete": {"env": {"id": "CartPole-v1"}, "normalize_obs": True},
    "continuous": {"env": {"id": "Pendulum-v1"}, "normalize_obs": True},
    "images": {"env": {"id": "pictures:Side-v0"}},
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_scores_are_those_of_an_evaluation_in_place(begin: Begin, world: str, threads: int) -> None:
    cfg = config(**WORLDS[world])
    torch.set_num_threads(threads)
    try:
        process = begin(cfg)
        for seed in range(2):  # the process is used again, with other weights
            network = trained(cfg, seed)
            assert scores(process, network, SEEDS) == in_place(cfg, network, SEEDS)
    finally:
        torch.set_num_threads(1)


def toy(tmp_path: Path, fault: str = "", episodes: int = 1, **env: Any) -> Config:
    """The toy with a fault in the first of so many episodes."""
    kwargs = {"fault": fault, "seeds": SEEDS[:episodes], "folder": str(tmp_path)}
    return config(env={"id": TOY, "kwargs": kwargs, **env})


def begun(begin: Begin, cfg: Config, episodes: int = 1) -> EvaluatorProcess:
    process = begin(cfg, episodes=episodes)
    assert process.wait_until_ready(never)
    process.begin(frozen(trained(cfg, 0).state_dict()), SEEDS[:episodes])
    return process


def test_it_plays_the_weights_of_its_beginning_whatever_becomes_of_them(begin: Begin, tmp_path: Path) -> None:
    cfg = toy(tmp_path, "wait")
    network = trained(cfg, 0)
    expected = in_place(toy(tmp_path), network, SEEDS)
    process = begin(cfg)
    assert process.wait_until_ready(never)
    process.begin(frozen(network.state_dict()), SEEDS)
    wait_for(tmp_path / REACHED)
    assert process.result(None) is None  # nobody waits
    assert process.busy
    with torch.no_grad():
        for param in network.parameters():
            param.fill_(float("nan"))
    (tmp_path / GO).touch()
    assert process.result(never) == expected
    assert not process.busy


def test_a_stop_ends_the_wait_and_closing_ends_the_evaluation(begin: Begin, tmp_path: Path) -> None:
    process = begun(begin, toy(tmp_path, "wait"))
    wait_for(tmp_path / REACHED)
    assert process.result(lambda: True) is None
    (tmp_path / CLOSED).unlink(missing_ok=True)  # of the one that told its spaces
    (tmp_path / GO).touch()
    process.close()
    assert process.closed
    assert (tmp_path / CLOSED).exists()  # so that a simulator's processes end with it


def test_an_environment_that_does_not_hear_is_ended_with_its_process(begin: Begin, tmp_path: Path) -> None:
    process = begun(begin, toy(tmp_path, "hang"))
    process.close()
    assert process.closed


def test_a_killed_process_is_named_with_the_environment_that_ran(begin: Begin, tmp_path: Path) -> None:
    process = begun(begin, toy(tmp_path, "wait"))
    wait_for(tmp_path / REACHED)
    os.kill(process.pid, signal.SIGKILL)
    said = (
        rf"environment error: the process of the evaluation \(pid {process.pid}\) was killed by SIGKILL "
        r"\(out of memory\?\) while it ran environment 0"
    )
    with pytest.raises(EnvironmentFailure, match=said):
        process.result(never)
    assert process.closed


def test_a_process_that_died_between_evaluations_is_named(begin: Begin, tmp_path: Path) -> None:
    cfg = toy(tmp_path)
    process = begin(cfg)
    assert process.wait_until_ready(never)
    os.kill(process.pid, signal.SIGKILL)
    process._pool.workers[0].process.join()
    with pytest.raises(EnvironmentFailure, match=rf"pid {process.pid}\) was killed by SIGKILL \(out of memory\?\)$"):
        process.wait_until_ready(never)  # before anything is made of its answer


def looked_at(
    begin: Begin, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> tuple[EvaluatorProcess, list[float]]:
    """A process within a call of an environment, of which one may last 5 s; and the clock, to be set by hand."""
    now = [1000.0]
    monkeypatch.setattr(evaluator_process.time, "monotonic", lambda: now[0])
    process = begun(begin, toy(folder, fault, step_timeout=5.0))
    wait_for(folder / REACHED)
    return process, now


def test_what_an_environment_raises_after_a_while_is_not_taken_for_a_hang(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, now = looked_at(begin, tmp_path, monkeypatch, "late")
    assert process.result(None) is None  # seen within the call
    (tmp_path / GO).touch()
    select.select([process._pool.workers[0].socket], [], [])  # it has answered
    now[0] += 60.0
    with pytest.raises(EnvironmentFailure, match="raised ZeroDivisionError in step 3"):
        process.result(None)


@pytest.mark.parametrize(("fault", "kind"), [("raise", "ZeroDivisionError"), ("exit", "SystemExit")])
def test_what_an_environment_raises_reads_as_in_place(begin: Begin, tmp_path: Path, fault: str, kind: str) -> None:
    cfg = toy(tmp_path, fault)
    with pytest.raises(EnvironmentFailure) as here:
        in_place(cfg, trained(cfg, 0), SEEDS)
    process = begun(begin, cfg)
    with pytest.raises(
        EnvironmentFailure, match=rf"environment 0 of the evaluation .* raised {kind} in step 3"
    ) as apart:
        process.result(never)
    assert without_pids(apart.value) == without_pids(here.value)
    (traceback,) = apart.value.__notes__
    assert "evaluation_toys.py" in traceback
    assert process.closed


def without_pids(error: A2CError) -> str:
    return re.sub(r"pid \d+", "pid", str(error))


def test_settings_that_do_not_fit_read_as_in_place(begin: Begin) -> None:
    cfg = config(env={"id": TOY, "kwargs": {"wings": 2}})
    with pytest.raises(ConfigError) as here:
        make_env(cfg.env)
    process = begin(cfg, factory=partial(make_network, cfg, Spaces((2,), "float32", 2, discrete=True)))
    with pytest.raises(ConfigError) as apart:
        process.wait_until_ready(never)
    assert str(apart.value) == str(here.value)


def test_an_environment_that_hangs_is_named(begin: Begin, tmp_path: Path) -> None:
    process = begun(begin, toy(tmp_path, "hang", step_timeout=0.2))
    with pytest.raises(EnvironmentFailure, match=r"environment 0 of the evaluation did not answer in 0.2 s \(pid \d+"):
        process.result(never)
    assert process.closed


def test_only_a_single_call_that_lasts_too_long_is_a_hang(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, now = looked_at(begin, tmp_path, monkeypatch, "wait")
    for _ in range(3):  # looked at seldom, but it gets on: each look sees another call
        now[0] += 60.0
        process._beats[0] += 1
        assert process.result(None) is None
    now[0] += 4.9
    assert process.result(None) is None
    now[0] += 0.2
    with pytest.raises(EnvironmentFailure, match="did not answer in 5 s"):
        process.result(None)


class Own(nn.Module):
    """A user's own network."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3, bias=False)
        self.dropout = nn.Dropout(0.5)

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        both = self.layer(self.dropout(obs))
        return both[:, :2], both[:, 2]


def test_a_network_of_the_users_own_comes_by_value_and_is_evaluated_without_dropout(begin: Begin) -> None:
    cfg = config(env={"id": "CartPole-v1"})
    spaces = spaces_in(cfg)
    namespace: dict[str, Any] = {"nn": nn, "OwnModule": OwnModule, "spaces": spaces, "__name__": "__main__"}
    source = Path(__file__).read_text()
    program = source[source.index("class Own(") : source.index("\n\ndef test_a_network_of")]
    exec(f"from __future__ import annotations\n{program}", namespace)  # noqa: S102  # as if a script had defined it
    network = OwnModule(namespace["Own"](), spaces)
    own = namespace["Own"]
    process = begin(cfg, factory=lambda: OwnModule(own(), spaces))
    found = scores(process, network, SEEDS)
    network.train(False)
    assert found == in_place(cfg, network, SEEDS)


def test_environments_registered_here_are_known_there(begin: Begin) -> None:
    from evaluation_toys import Sides

    gym.register("Local-v0", entry_point=lambda **kwargs: Sides(**kwargs))
    try:
        cfg = config(env={"id": "Local-v0"})
        network = trained(cfg, 0)
        assert scores(begin(cfg), network, SEEDS) == in_place(cfg, network, SEEDS)
    finally:
        del gym.registry["Local-v0"]


def test_the_process_knows_neither_wandb_nor_the_screen() -> None:
    statement = "import a2c.build, a2c.playing.evaluator_player, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True)
    assert not {"wandb", "rich", "hydra", "matplotlib"} & set(done.stdout.split())


def test_what_the_forkserver_preloads_is_light() -> None:
    statement = "import a2c.playing.evaluator_worker, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True)
    assert not {"torch", "wandb", "rich", "hydra"} & set(done.stdout.split())
