"""Every form of a parameter that W&B's schema knows is drawn from as W&B's own package does, or is refused as there.

``wandb_forms.json`` holds what that package says of each form, and 50 quantiles of what it draws (``wandb_forms.py``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from a2c.errors import ConfigError
from a2c.settings.overrides import parse
from a2c.sweeps.parameter import Parameter, Shape, as_typed, ends, listed
from a2c.sweeps.parameter_forms import parameters_of

optuna = pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.sweeps.search import _suggest  # noqa: E402

FORMS = json.loads(Path(__file__).with_name("wandb_forms.json").read_text())
DRAWN = [item for item in FORMS if "values" in item]
REFUSED = [item for item in FORMS if item["refused"]]
DRAWS = 1000
NUMBERS = {"min", "max", "q", "mu", "sigma", "a", "b", "distribution"}  # the keys of ranges


def parameter(form: Any) -> Parameter:
    return dict(parameters_of({"x": form}))["x"]


class Evenly:
    """A trial that gives each share of the probability once, where Optuna's draws at random."""

    def __init__(self, share: float) -> None:
        self.share = share

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low * (high / low) ** self.share if log else low + self.share * (high - low)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return low + int(self.share * (high - low + 1))

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        return choices[int(self.share * len(choices))]


def _name(item: Any) -> str:
    return json.dumps(item["form"])


@pytest.mark.parametrize("item", DRAWN, ids=_name)
def test_a_form_gives_what_wandb_draws_from_it(item: Any):
    one = parameter(item["form"])
    texts = Counter(as_typed(one, _suggest(Evenly((place + 0.5) / DRAWS), "x", one)) for place in range(DRAWS))
    read = float if set(item["form"]) <= NUMBERS else lambda text: parse(f"x={text}")[1].value()
    ours = [(read(text), count / DRAWS) for text, count in texts.items()]
    # Each of W&B's quantiles stands for 1/50, the tails that are left out for 1/1000 each, a last digit for less.
    room = 0.02 + 0.002
    for value in item["values"]:
        if read is float:
            slack = 1e-3 * abs(value)
            wandb = sum(other <= value for other in item["values"]) / 50
            assert sum(share for other, share in ours if other <= value + slack) >= wandb - room
            assert sum(share for other, share in ours if other < value - slack) <= wandb + room
        else:
            assert abs(sum(share for other, share in ours if other == value) - item["values"].count(value) / 50) <= room


def test_optuna_draws_evenly():
    # 1.63 / sqrt(1000) = 0.052: the distance of Kolmogorov and Smirnov that one sample in 100 exceeds.
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    sampler, trial = study.sampler, study.ask()
    for one in (
        Parameter(low=-1.0, high=3.0),
        Parameter(low=1e-5, high=1.0, log=True),
        Parameter(low=3, high=9, whole=True),
    ):
        found = []
        for _ in range(1000):
            drawing = _Drawing(lambda kind: sampler.sample_independent(study, trial, "x", kind))
            found.append(float(as_typed(one, _suggest(drawing, "x", one))))
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            expected = float(as_typed(one, _suggest(Evenly(share), "x", one)))
            assert sum(value <= expected * (1 + 1e-3) for value in found) / 1000 >= share - 0.052
            assert sum(value < expected * (1 - 1e-3) for value in found) / 1000 <= share + 0.052


class _Drawing:
    """What Optuna's trial asks of its sampler, a thousand times for one trial."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self._draw = draw

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self._draw(optuna.distributions.FloatDistribution(low, high, log))

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return self._draw(optuna.distributions.IntDistribution(low, high))


@pytest.mark.parametrize("item", REFUSED, ids=_name)
def test_what_wandb_refuses_is_one_line(item: Any):
    with pytest.raises(ConfigError, match=r"^config error: parameters\.x") as caught:
        parameter(item["form"])
    assert "\n" not in str(caught.value)


def test_every_distribution_of_the_schema_is_there():
    named = {item["form"]["distribution"] for item in DRAWN if "distribution" in item["form"]}
    assert named == {
        "constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform", "q_uniform", "log_uniform",
        "log_uniform_values", "q_log_uniform", "q_log_uniform_values", "inv_log_uniform", "inv_log_uniform_values",
        "normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta",
    }  # fmt: skip


def test_settings_of_a_group_stand_below_it():
    nested = {
        "network": {"parameters": {"hidden_sizes": {"values": [[8], [16]]}, "memory_size": {"min": 8, "max": 16}}}
    }
    assert dict(parameters_of({"lr": {"value": 1e-3}, **nested})) == {
        "lr": Parameter(("0.001",)),
        "network.hidden_sizes": Parameter(("[8]", "[16]")),
        "network.memory_size": Parameter(low=8, high=16, whole=True),
    }


def test_a_number_that_yaml_takes_for_text_is_a_number():
    assert parameter({"min": "1e-4", "max": "1e-2", "distribution": "log_uniform_values"}) == Parameter(
        low=1e-4, high=1e-2, log=True
    )
    assert parameter({"values": ["1e-3", "1.e-4", "adam", "1"]}).choices == ("1e-3", "'1.e-4'", "adam", "'1'")


def test_a_step_stays_within_the_range():
    # Of 5 to 20 the multiples of 8 are 8 and 16; W&B would round 5 to 8 and 20 to 16 as well, but 3 to 0.
    eights = parameter({"min": 3, "max": 20, "q": 8, "distribution": "q_uniform"})
    assert [as_typed(eights, value) for value in (3, 11.9, 12.1, 20)] == ["8", "8", "16", "16"]
    tenths = parameter({"min": 0, "max": 1, "q": 0.1, "distribution": "q_uniform"})
    assert [as_typed(tenths, value) for value in (0.26, 0.34, 1)] == ["0.3", "0.3", "1"]  # not 0.30000000000000004
    large = parameter({"min": 10_000, "max": 90_000, "q": 500, "distribution": "q_uniform"})
    assert as_typed(large, 12_345) == "12500"  # four digits would make it 1.25e+04, which is no whole number


def test_digits_leave_neither_the_range_nor_its_detail():
    assert as_typed(Parameter(low=1e-5, high=1.0, log=True), 0.00012345678) == "0.0001235"
    assert as_typed(Parameter(low=0.0, high=1.0), 0.123456) == "0.1235"
    assert as_typed(Parameter(low=0.99991, high=0.99999), 0.999912351) == "0.9999124"  # not 0.9999, below the least
    assert as_typed(Parameter(low=1000.0, high=1001.0), 1000.4321) == "1000.432"
    assert as_typed(Parameter(low=1 / 3, high=2 / 3), 1 / 3) == repr(1 / 3)


def test_a_normal_leaves_out_its_tails_and_says_where_they_begin():
    # A thousandth on either side: 3.090 deviations.
    one = parameter({"mu": 10, "sigma": 2, "distribution": "normal"})
    assert one.shape == Shape("normal", 10, 2)
    assert ends(one) == ("3.82", "16.18")
    assert ends(parameter({"a": 2, "b": 5, "distribution": "beta"})) == ("0", "1")


def test_ends_of_a_range_are_its_own():
    assert ends(parameter({"min": 3, "max": 9})) == ("3", "9")
    assert ends(parameter({"values": ["a", "b"]})) == ("a", "b")
    assert ends(parameter({"min": 3, "max": 20, "q": 8, "distribution": "q_uniform"})) == ("8", "16")


def test_a_choice_without_probability_is_never_drawn():
    one = parameter({"values": ["a", "b", "c"], "probabilities": [0, 1, 0]})
    assert [as_typed(one, share) for share in (0.0, 0.5, 1.0)] == ["b", "b", "b"]


def test_a_grid_lists_ranges_that_have_so_many_values():
    assert listed("x", parameter({"min": 3, "max": 6})).choices == ("3", "4", "5", "6")
    quarters = parameter({"min": 0, "max": 1, "q": 0.25, "distribution": "q_uniform"})
    assert listed("x", quarters).choices == ("0", "0.25", "0.5", "0.75", "1")
    for form, said in [
        ({"min": 0.0, "max": 1.0}, "x is a range"),
        ({"min": 1, "max": 8, "distribution": "q_log_uniform_values"}, "x is a range"),
        ({"distribution": "q_normal"}, "x is a range"),
        ({"values": [1, 2], "probabilities": [0.5, 0.5]}, "x has probabilities"),
        ({"min": 1, "max": 1_000_000}, "x has 1,000,000 values"),
    ]:
        with pytest.raises(ConfigError, match=said):
            listed("x", parameter(form))


def test_exponents_are_told_in_values(capsys: pytest.CaptureFixture[str]):
    parameter({"min": -9.5, "max": -2.5, "distribution": "log_uniform"})
    # e^-9.5 = 0.0000749, e^-2.5 = 0.0821
    assert capsys.readouterr().err == (
        "parameters.x: log_uniform takes exponents of e, here from 7.485e-05 to 0.08208; "
        "log_uniform_values takes values\n"
    )


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"sigma": 0, "distribution": "normal"}, "sigma=0 must be more than 0"),
        ({"a": 0, "distribution": "beta"}, "a and b must be more than 0"),
        ({"mu": 1e9, "distribution": "log_normal"}, "no numbers to draw from"),
        ({"min": 1, "max": 1e9, "distribution": "log_uniform"}, "no number"),
        ({"min": 1e3, "max": 1e9, "distribution": "inv_log_uniform"}, "is 0"),
        ({"min": 1, "max": 3, "q": 10, "distribution": "q_uniform"}, "no multiple of q=10"),
        ({"min": float("nan"), "max": 1}, "x.min=nan must be a number"),
        ({"distribution": ["normal"]}, "must be one of constant"),
        ({"values": [{"a b": object()}]}, "cannot be written as an override"),
    ],
)
def test_what_only_we_refuse_is_one_line_too(form: Any, said: str):
    with pytest.raises(ConfigError) as caught:
        parameter(form)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
