"""The page of a sweep: whole in one file, with every picture, and nothing taken for markup."""

from __future__ import annotations

import csv
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("optuna")  # the extra a2c[sweep]

from optuna.trial import TrialState

from a2c.errors import ConfigError
from a2c.sweeps.confirmed import confirmed_in
from a2c.sweeps.search import typed
from a2c.sweeps.sweep_file import Parameter, Sweep
from a2c.sweeps.sweep_picture import Scored, ends_of, shortened
from a2c.sweeps.sweep_report import summary_of, write_best, write_report
from a2c.sweeps.trials_csv import write_trials
from made_sweeps import SETTINGS, made_study, made_sweep, made_trial

VOID = ("meta", "link", "img", "br", "hr")


class Reader(HTMLParser):
    """Notes every tag and attribute, and complains of tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = Path("runs/sweeps/made")
    made.mkdir(parents=True)
    return made


def searched(sweep: Sweep, count: int = 24):
    """A study with trials of every kind; the one with number 1 failed, 2 ended early."""
    rng, trials = random.Random(3), []
    for number in range(count):
        values = {}
        for name, parameter in sweep.parameters.items():
            low, high = parameter.low, parameter.high
            drawn = rng.choice(parameter.choices) if parameter.choices else low + (high - low) * rng.random()
            values[name] = int(drawn) if parameter.whole else drawn
        if number == 2:
            trials.append(
                made_trial(sweep, values, None, state=TrialState.PRUNED, intermediate_values={1: 5.0, 2: 6.0})
            )
        else:
            trials.append(made_trial(sweep, values, None if number == 1 else 100 + number + rng.random()))
    return made_study(sweep, trials)


def page(sweep: Sweep, folder: Path, count: int = 24) -> str:
    study = searched(sweep, count)
    return Path(write_report(study, sweep, folder, write_best(study, sweep, folder))).read_text(encoding="utf-8")


def test_it_is_one_well_formed_file_that_asks_for_nothing_else(folder: Path):
    text = page(made_sweep(), folder)
    tags = Reader(text).tags
    for tag, attributes in tags:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form", "img")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "data", "action"):
            assert re.match(r"data:|#", attributes.get(name) or "#"), attributes
    assert "http" not in text
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for tag, attributes in tags if tag == "use"}
    assert links
    assert links <= {f"#{name}" for name in ids}


def test_every_picture_and_command_is_in_it(folder: Path):
    text = page(made_sweep(), folder)
    pictures = [attributes["aria-label"] for tag, attributes in Reader(text).tags if tag == "svg"]
    assert pictures[:2] == [
        "scores over trials, with the best so far", "trials as lines through their settings to their scores",
    ]  # fmt: skip
    assert pictures[2:-1] == [f"scores over {name}" for name in SETTINGS]
    assert pictures[-1].startswith("importance: ")
    assert "a2c train env=cartpole gif=false lr=" in text
    assert "a2c train --config-dir runs/sweeps/made env=best" in text
    assert "a2c compare runs/sweeps/made" in text
    assert "wandb sync" not in text  # nothing is there
    assert text.count("<tr>") == 25
    (folder / "wandb").mkdir()
    assert "wandb sync --yes runs/sweeps/made/wandb" in page(made_sweep(), folder)


def test_a_pointer_over_a_trial_shows_what_it_is(folder: Path):
    hints = "".join(Reader(page(made_sweep(), folder)).texts)
    assert len(re.findall(r"trial 23: 123\.\d\nlr=\S+ num_envs=\d+ lr_schedule=\w+ gamma=\S+", hints)) == 2


def test_text_of_the_file_is_no_markup_and_no_formula(folder: Path):
    evil = Parameter(("'<script>&$x$", "</svg>$", "_"))
    text = page(made_sweep({"name": evil, "lr": SETTINGS["lr"]}), folder)
    reader = Reader(text)
    assert "script" not in {tag for tag, _ in reader.tags}
    assert "'<script>&$x$" in "\n".join(reader.texts)
    assert "</svg>$" in "\n".join(reader.texts)


def test_a_sweep_with_few_trials_or_without_a_score_has_a_page_too(folder: Path):
    assert "needs 20 trials" in page(made_sweep(), folder, 5)
    alone = page(made_sweep(), folder, 1)
    assert "<svg" in alone
    assert "Trials as lines" not in alone
    sweep = made_sweep()
    failed = made_study(sweep, [made_trial(sweep, {"lr": 0.01}, None)])
    assert write_best(failed, sweep, folder) is None
    text = Path(write_report(failed, sweep, folder)).read_text()
    assert "<svg" not in text
    assert "failed" in text
    assert Path(write_report(made_study(sweep, []), sweep, folder)).is_file()


def test_equal_scores_and_settings_of_one_value_are_drawn(folder: Path):
    sweep = made_sweep({"lr": SETTINGS["lr"], "gamma": Parameter(("0.9",))}, maximize=False)
    study = made_study(sweep, [made_trial(sweep, {"lr": 0.01, "gamma": "0.9"}, 7.0)] * 3)
    pictures = [
        attributes["aria-label"]
        for tag, attributes in Reader(Path(write_report(study, sweep, folder)).read_text()).tags
        if tag == "svg"
    ]
    assert len(pictures) == 3
    assert "scores over gamma" not in pictures


def test_what_was_confirmed_stands_beside_the_search(folder: Path):
    groups = [
        {"trial": 23, "scores": [1.0, 2.0, 3.0, 4.0, 90.0]},
        {"trial": None, "scores": [None, 5.0]},
    ]
    (folder / "confirmed.json").write_text(json.dumps({"groups": groups}))
    text = page(made_sweep(), folder)
    cells = re.findall(r"<td>(.*?)</td>", text)[:12]
    assert cells[:2] == ["trial 23 in the search", "–"]
    assert cells[4:7] == ["trial 23, on fresh seeds", "5 of 5", "3"]  # of five, one is cut at either end
    assert re.fullmatch(r"\[1\S*, \d+\S*\]", cells[7])
    assert cells[8:] == ["without the sweep's values, on fresh seeds", "1 of 2", "5", "-"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"groups": [{}]}', '{"groups": [{"trial": 1, "scores": ["x"]}]}', "[" * 9000]
)
def test_a_damaged_confirmation_is_one_line(folder: Path, text: str):
    (folder / "confirmed.json").write_text(text)
    with pytest.raises(ConfigError, match=r"confirmed\.json is damaged"):
        confirmed_in(folder)


def test_the_summary_says_what_decided_and_how_to_use_it(folder: Path):
    sweep = made_sweep()
    study = searched(sweep)
    lines = summary_of(study, sweep, write_best(study, sweep, folder))
    assert lines[-3].startswith("importance: ")
    assert lines[-2] == "a2c train --config-dir runs/sweeps/made env=best"
    assert lines[-1].startswith("a2c train env=cartpole gif=false lr=")
    preset = (folder / "env" / "best.yaml").read_text()
    assert "# The sweep made found it: trial 23, eval/mean_reward 123." in preset
    assert re.search(r"^lr_schedule: \w+  # of constant, linear; importance \d+%$", preset, re.MULTILINE)


def test_secrets_of_the_command_are_not_shown(folder: Path):
    sweep = made_sweep({"lr": SETTINGS["lr"]})
    sweep = Sweep(**{name: getattr(sweep, name) for name in sweep.__dataclass_fields__} | {
        "overrides": ("env=cartpole", "env.kwargs.api_key=do-not-tell")
    })  # fmt: skip
    assert "do-not-tell" not in page(sweep, folder)
    assert "do-not-tell" not in "\n".join(summary_of(searched(sweep), sweep))


def test_the_axis_of_a_range_without_ends_is_that_of_its_values():
    assert ends_of(Parameter(low=1.0, high=2.0), [1.5]) == (1.0, 2.0)
    assert ends_of(Parameter(), [3.0, -1.0]) == (-1.0, 3.0)
    assert ends_of(Parameter(), [3.0, 3.0]) == (2.5, 3.5)
    assert shortened("abcdef", 4) == "abc…"
    assert Scored(1, {}, 1.0, done=True).done


def test_trials_are_kept_as_csv_those_without_a_score_too(folder: Path):
    sweep = made_sweep()
    running = made_trial(sweep, {"lr": 0.01}, None, state=TrialState.RUNNING)
    study = made_study(sweep, [*searched(sweep, 4).get_trials(), running])
    head, *lines = csv.reader(write_trials(study, sweep, folder).read_text().splitlines())
    assert head == ["trial", "state", "eval/mean_reward", *SETTINGS]
    assert [line[:2] for line in lines] == [["0", "done"], ["1", "failed"], ["2", "ended early"], ["3", "done"]]
    assert [line[2] == "" for line in lines] == [False, True, True, False]
    assert float(lines[3][2]) == study.best_value
    assert lines[3][3:] == list(typed(study.best_trial).values())
