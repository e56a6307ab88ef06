"""Several trainings by one command: which jobs ``-m`` means, and which of them failed."""

from __future__ import annotations

from collections.abc import Sequence

from a2c.errors import ConfigError
from a2c.settings.notices import tell
from a2c.settings.overrides import parse
from a2c.settings.redaction import redact_argument


def jobs_to_check(overrides: Sequence[str]) -> list[list[str]]:
    """Jobs of a multirun that show every value of every sweep at least once."""
    parsed = [parse(text)[1] for text in overrides]
    choices = []
    for text, item in zip(overrides, parsed, strict=True):
        if not item.is_sweep_override():
            choices.append([text])
        elif item.is_discrete_sweep():
            choices.append([f"{item.get_key_element()}={value}" for value in item.sweep_string_iterator()])
        elif not another_sweeper(overrides):
            raise ConfigError(f"{text}: -m trains with lists, like 1,2,3, and with range(...)")
    first = [options[0] for options in choices]
    others = [[*first[:i], value, *first[i + 1 :]] for i, options in enumerate(choices) for value in options[1:]]
    return [first, *others]


def another_sweeper(overrides: Sequence[str]) -> bool:
    return any(parse(text)[1].key_or_group == "hydra/sweeper" for text in overrides)


def name_the_failed(jobs: Sequence[Sequence[str]], codes: Sequence[int]) -> None:
    """After several jobs, one line that says which failed, by what only they were told."""
    failed = []
    for number, (job, code) in enumerate(zip(jobs, codes, strict=False), 1):
        own = [redact_argument(text) for text in job if not all(text in other for other in jobs)]
        failed += [f"{' '.join([f'run {number}', *own])} (exit code {code})"] if code else []
    if len(jobs) > 1 and failed:
        tell(f"{len(failed)} of {len(jobs)} runs failed: {', '.join(failed)}")
