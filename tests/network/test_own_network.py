"""A whole network of the user's own: it trains as ours does, by a name or as an object, and nothing keeps its code."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import a2c
from a2c.cli import main
from a2c.envs.look import decided
from a2c.envs.spaces import Spaces
from a2c.errors import CheckpointError, ConfigError
from a2c.learning.learner import Learner
from a2c.machine.processes.foreign_code import foreign, of_others
from a2c.maths.distributions import SquashedGaussian
from a2c.network.making import make_network
from a2c.network.own_module import OwnModule, OwnRecurrentModule
from a2c.network.passes import AutogradPass, MLPPass, pass_over
from a2c.network.protocol import remembers
from a2c.settings.code_names import name_of
from a2c.storage.checkpoint import load_checkpoint
from builders import LIGHT, TORQUE, VECTOR, config, make_model, random_rollout, relative_error
from network_toys import Counting, Hanging, LaterBroken, Pair, pair

NAMED = "network.make=network_toys:pair"


def settings(folder: Path, *overrides: str) -> a2c.Config:
    return a2c.load_config("env.id=CartPole-v1", *LIGHT, "total_steps=200", f"runs_dir={folder}", *overrides)


def last(summary: a2c.Summary) -> dict[str, Any]:
    return load_checkpoint(Path(summary.last_checkpoint))


def digest(payload: dict[str, Any]) -> str:
    """Of weights, optimizer and metrics."""
    parts = hashlib.sha256()
    for name, tensor in [*payload["learner"]["model"].items(), *payload["learner"]["optimizer"].items()]:
        parts.update(name.encode() + tensor.numpy().tobytes())
    return parts.hexdigest()


# ---- it trains as ours does ----


@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "adam"])
def test_identical_to_ours_it_trains_to_the_same_weights_through_autograd(optimizer: str) -> None:
    cfg = config(gae_lambda=0.95, normalize_advantage=True, max_grad_norm=0.5, lr=5e-3, optimizer=optimizer)
    ours = make_model(VECTOR, cfg, torch.float64, spread=0.1)
    own: Any = make_network(config(network={"make": "network_toys:pair"}), VECTOR).to(torch.float64)
    by_layer = [param.detach().clone() for param in (*ours.torso.parameters(), *ours.value_torso.parameters(),
                *ours.policy_head.parameters(), *ours.value_head.parameters())]  # fmt: skip
    for param, value in zip(own.parameters(), by_layer, strict=True):
        param.data.copy_(value)
    learners = [Learner(model, cfg) for model in (ours, own)]
    assert isinstance(pass_over(ours, learners[0].weights, 4, 3), MLPPass)
    assert isinstance(pass_over(own, learners[1].weights, 4, 3), AutogradPass)
    begin = learners[0].weights.detach().clone()
    for update in range(50):
        rollout, _ = random_rollout(ours, steps=4, count=3, seed=update)
        for learner in learners:
            learner.update(rollout, 12 * update)
    trained = [learner.weights.detach() for learner in learners]
    assert relative_error(trained[1], trained[0]) < 1e-6
    assert relative_error(begin, trained[0]) > 1e-3  # they went somewhere


def test_policy_and_value_of_its_own_are_used() -> None:
    class Apart(Pair):
        def policy(self, obs: Tensor) -> Tensor:
            return self.params(self.policy_body(obs))

        def value(self, obs: Tensor) -> Tensor:
            return self.values(self.value_body(obs))

    module, obs = Apart(4, 3), torch.randn(5, 4)
    network = OwnModule(module, VECTOR)
    params, values = network.forward(obs)
    module.forward = None  # type: ignore[method-assign, assignment]
    assert torch.equal(network.policy(obs), params)
    assert torch.equal(network.value(obs), values)
    assert values.shape == (5,)


def test_a_layer_that_is_called_value_is_no_method() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.policy, self.value = nn.Linear(4, 3), nn.Linear(4, 1)

        def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
            return self.policy(obs / 2), self.value(obs / 2)

    network, obs = make_network(config(), VECTOR, lambda spaces: Named()), torch.randn(5, 4)
    params, values = network.forward(obs)
    assert torch.equal(network.policy(obs), params)
    assert torch.equal(network.value(obs), values)


def test_observations_are_standardised_before_it_sees_them_if_the_settings_say_so() -> None:
    network: Any = make_network(config(normalize_obs=True, network={"make": "network_toys:pair"}), VECTOR)
    obs = torch.randn(7, 3, 4) * 5 + 2
    network.normalizer.update(obs)
    mean, deviation = obs.flatten(0, 1).mean(0), obs.flatten(0, 1).std(0, correction=0)
    assert_close(network.forward(obs[0])[0], network.module((obs[0] - mean) / deviation)[0], rtol=1e-4, atol=1e-5)


def test_a_whole_network_of_the_protocol_stays_what_it_is() -> None:
    made: list[Any] = []

    def ours(spaces: a2c.Spaces) -> nn.Module:
        made.append(make_network(config(), spaces))
        return made[0]

    network = make_network(config(), VECTOR, ours)
    assert network is made[0]
    assert isinstance(pass_over(network, Learner(network, config()).weights, 2, 3), MLPPass)


# ---- by a name, and as an object (tests/test_same_run.py compares them) ----


def test_a_name_that_finds_the_object_has_no_brackets() -> None:
    def within(spaces: a2c.Spaces) -> nn.Module:
        return Pair(4, 2)

    assert name_of(pair) == "network_toys:pair"
    assert name_of(Counting) == "network_toys:Counting"
    assert name_of(within).endswith(".<locals>.within")
    assert name_of(lambda spaces: Pair(4, 2)).endswith(".<locals>.<lambda>")
    assert name_of(Pair(4, 2)) == "network_toys:<Pair>"


@pytest.mark.parametrize("way", ["name", "object"])
def test_a_resumed_run_ends_with_the_weights_of_one_that_went_through(tmp_path: Path, way: str) -> None:
    made = pair if way == "name" else lambda spaces: pair(spaces)
    optional = ["normalize_obs=true"]
    whole = a2c.train(settings(tmp_path / "whole", *optional, "total_steps=400"), network=made)
    half = a2c.train(settings(tmp_path / "half", *optional), network=made)
    cfg = a2c.load_config(f"resume={half.folder}", "total_steps=400", f"runs_dir={tmp_path / 'half'}")
    resumed = a2c.train(cfg) if way == "name" else a2c.train(cfg, network=made)
    assert resumed.folder == half.folder
    assert digest(last(resumed)) == digest(last(whole))
    assert resumed.best_eval == whole.best_eval or resumed.env_steps == 400


def test_an_object_without_a_name_is_asked_for_again_in_one_line(tmp_path: Path, capsys: Any) -> None:
    run = a2c.train(settings(tmp_path), network=lambda spaces: pair(spaces))
    shown = capsys.readouterr().out
    assert "network=...)" in shown
    assert "a2c eval" not in shown
    said = r"network.make=\S*<lambda> was given as an object, and no import finds it: give it again, in Python"
    with pytest.raises(ConfigError, match=said) as caught:
        a2c.load_policy(run.folder)
    assert "\n" not in str(caught.value)
    assert main(["eval", f"run={run.folder}", "--trust"]) == 2
    assert main(["train", f"resume={run.folder}", f"runs_dir={tmp_path}", "total_steps=400", "--trust"]) == 2
    policy = a2c.load_policy(run.folder, network=pair)
    assert a2c.evaluate(policy, episodes=2).mean > 0


def test_another_network_than_that_of_the_checkpoint_is_refused(tmp_path: Path) -> None:
    run = a2c.train(settings(tmp_path), network=lambda spaces: pair(spaces))
    with pytest.raises(CheckpointError, match="holds the weights of another network than"):
        a2c.load_policy(run.folder, network=Counting)
    again = a2c.load_config(f"resume={run.folder}", f"runs_dir={tmp_path}", "total_steps=400")
    said = r"its weights are of another network.make; .*network.make='network_toys:pair' \(was '\S*<lambda>'\)"
    with pytest.raises(CheckpointError, match=said):
        a2c.train(again, network=pair)
    ours = a2c.train(settings(tmp_path / "ours"))
    with pytest.raises(ConfigError, match="was trained with our own network; leave out network="):
        a2c.load_policy(ours.folder, network=pair)


def test_the_process_that_evaluates_gets_it_too(tmp_path: Path) -> None:
    apart = a2c.train(settings(tmp_path, "eval.apart=true"), network=lambda spaces: pair(spaces))
    here = a2c.train(settings(tmp_path, "eval.apart=false"), network=lambda spaces: pair(spaces))
    assert apart.eval_mean == here.eval_mean


# ---- A3C ----


def test_a3cs_workers_get_it_and_one_of_them_is_a2c(tmp_path: Path) -> None:
    cfg = settings(tmp_path, "algo=a2c_paper", "num_envs=1", "eval.episodes=0")
    one = replace(cfg, algo="a3c", num_workers=1)
    asynchronous, same = (last(a2c.train(run, network=lambda spaces: pair(spaces))) for run in (one, cfg))
    assert_close(asynchronous["learner"]["model"], same["learner"]["model"], rtol=0, atol=0)


@pytest.mark.long
def test_a3c_trains_with_a_torso_by_its_name(tmp_path: Path) -> None:
    cfg = settings(tmp_path, "algo=a3c", "num_workers=2", "network.torso=network_toys:Ours", "eval.episodes=0")
    cfg = decided(cfg)
    trained = last(a2c.train(cfg))
    begin, end = make_network(cfg, Spaces.from_dict(trained["spec"])).state_dict(), trained["learner"]["model"]
    assert begin.keys() == end.keys()
    assert not torch.equal(begin["torso.module.layers.0.weight"], end["torso.module.layers.0.weight"])


def test_a3c_refuses_batch_statistics_which_its_workers_would_not_share(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="algo=a3c shares weights, and BatchNorm1d has statistics of its own"):
        a2c.train(settings(tmp_path, "algo=a3c", "num_workers=1", "network.torso=network_toys:Lazy"))


# ---- a memory ----


def test_a_module_with_a_memory_acts_as_it_learns(tmp_path: Path) -> None:
    network = make_network(config(network={"make": "network_toys:Counting"}), VECTOR)
    assert isinstance(network, OwnRecurrentModule)
    assert remembers(network)
    obs, began = torch.randn(3, 2, 4), torch.tensor([[True, True], [False, True], [False, False]])
    params, values, after = network.forward(obs, network.initial_memory(2), began)
    memory = network.initial_memory(2)
    for t in range(3):
        memory = memory.masked_fill(began[t].unsqueeze(-1), 0.0)
        assert_close(network.value(obs[t], memory), values[t])
        step, memory = network.policy(obs[t], memory)
        assert_close(step, params[t])
    assert_close(memory, after)
    summary = a2c.train(settings(tmp_path, "network.make=network_toys:Counting"))
    assert summary.eval_mean is not None


# ---- what does not fit ----

MISFITS = {
    "Constant": "its parameters follow from no weights of its own: there is nothing to learn",
    "OneResult": "gave a Tensor; it needs to give tensors: parameters, values",
    "no_module": "gave a str; it needs to be a torch.nn.Module",
    "raises": "raised ValueError in its constructor: no such width; its traceback follows",
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_one_line_and_a_config_error(tmp_path: Path, name: str, capsys: Any) -> None:
    arguments = ["env.id=CartPole-v1", *LIGHT, f"runs_dir={tmp_path}", f"network.make=network_toys:{name}"]
    assert main(["train", *arguments]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(f"config error: network.make=network_toys:{name}")
    assert MISFITS[name] in first
    assert not list(tmp_path.rglob("metrics.jsonl"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("network.torso=network_toys:Ours", "network.torso=network_toys:Ours does not go with network.make="),
        ("network.memory=gru", "network.memory=gru does not go with network.make="),
        ("policy.distribution=gsde", "policy.distribution=gsde does not go with network.make="),
        ("precision=bf16", "precision=bf16 does not go with network.make="),
        ("normalize_value=true", "normalize_value=true does not go with network.make="),
        ("critic_lr=0.1", "critic_lr=0.1 does not go with network.make="),
    ],
)
def test_settings_of_our_own_layers_are_not_dropped_in_silence(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        a2c.load_config("env.id=CartPole-v1", NAMED, override)


def test_its_parameters_follow_the_distribution_of_the_settings() -> None:
    network = make_network(config(policy={"distribution": "squashed"}), TORQUE, lambda spaces: Pair(4, 4))
    assert isinstance(network.distribution, SquashedGaussian)


def test_one_that_fails_in_training_ends_the_run_saved_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"LaterBroken \(pid \d+\) raised RuntimeError in its forward pass: worn out"):
        a2c.train(settings(tmp_path, "network.make=network_toys:LaterBroken"))
    (saved,) = tmp_path.rglob("last.pt")
    assert load_checkpoint(saved)["state"]["env_steps"] > 0
    assert issubclass(LaterBroken, Pair)


def test_a_stop_breaks_into_one_that_hangs(tmp_path: Path) -> None:
    cfg = settings(tmp_path, "network.make=network_toys:Hanging", "eval.episodes=0")
    summary = a2c.train(cfg)
    assert summary.stopped == "SIGTERM"
    assert Path(summary.last_checkpoint).exists()
    assert issubclass(Hanging, Pair)


def test_code_of_others_within_code_of_others_leaves_the_outer_one_open_to_a_stop() -> None:
    ran: list[bool] = []
    of_others(lambda: (of_others(ran.append, foreign.runs), ran.append(foreign.runs)))
    assert ran == [True, True]
    assert not foreign.runs
