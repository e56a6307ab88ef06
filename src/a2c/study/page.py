"""The report of a study: what its template shows, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from a2c.run.showing.figures import duration
from a2c.run.showing.html_page import inlined, render
from a2c.study.claim import Claim, Number, Verdict
from a2c.study.record import Record
from a2c.study.typeset import formula, inline, number, paragraphs

Trait = TypeVar("Trait")

TEMPLATE = Path(__file__).with_name("report.html")
LEAD = """\
The article behind this project follows actor-critic methods from AC through A3C to A2C and says what parallel actors,
n-step returns and the entropy bonus bring. Here each of its claims is measured and judged. The criterion stands beside
the result, and it could have given any verdict. Set-ups and criteria were chosen on seeds below 1000; the study runs on
others unless told otherwise."""


class Badge(NamedTuple):
    """A verdict as it is shown; its sign says it to those who see no colour."""

    style: str
    text: str


BADGES = {
    Verdict.SUPPORTED: Badge("yes", "✓ supported"),
    Verdict.CONDITIONAL: Badge("partly", "◐ only under conditions"),
    Verdict.NOT_SUPPORTED: Badge("no", "✗ not supported"),
    None: Badge("none", "– not measured"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A claim in the report; None where it has not been measured or drawn."""

    claim: Claim
    record: Record | None
    figure: bytes | None  # PNG

    @property
    def verdict(self) -> Verdict | None:
        return None if self.record is None else self.record.judgement.verdict


def page(entries: Sequence[Entry]) -> str:
    """The whole report as HTML: the claims in this order, measured or not."""
    counts = [(sum(entry.verdict is verdict for entry in entries), badge) for verdict, badge in BADGES.items()]
    records = [entry.record for entry in entries if entry.record is not None]
    return render(
        TEMPLATE,
        lead=paragraphs(LEAD),
        tally=[(count, badge) for count, badge in counts if count],
        claims=[_claim(entry) for entry in entries],
        **_origin(records, len(entries)),
    )


def _claim(entry: Entry) -> dict[str, Any]:
    claim = entry.claim
    return {
        "key": claim.key,
        "title": inline(claim.title),
        "verdict": BADGES[entry.verdict],
        "says": paragraphs(claim.says),
        "formula": formula(claim.formula),
        "method": paragraphs(claim.method),
        "command": _command([claim.key]),
        "result": None if entry.record is None else _result(entry, entry.record),
        "code": [_place_of_code(line) for line in claim.code],
    }


def _place_of_code(line: str) -> dict[str, Any]:
    """A file and the names in it; a line without a colon is a sentence."""
    file, colon, names = line.partition(":")
    return {"place": file, "names": names.strip()} if colon else {"place": inline(line), "names": None}


def _result(entry: Entry, record: Record) -> dict[str, Any]:
    judgement, settings = record.judgement, record.settings
    size = f"{settings['seeds']} seeds from {settings['seed']}, scale {settings['scale']:g}"
    told = "; ".join(f"{found.name} {number(found.value)}{_within(found)}" for found in judgement.numbers)
    return {
        "figure": None if entry.figure is None else inlined(entry.figure),
        "told": f"{entry.claim.title}: {judgement.verdict.value}. {told}",
        "numbers": [(inline(found.name), number(found.value), _within(found)) for found in judgement.numbers],
        "why": paragraphs(judgement.why),
        "origin": f"Measured on {record.finished[:10]} with {size}, in {duration(record.seconds)}.",
    }


def _within(found: Number) -> str:
    return "" if found.low is None or found.high is None else f" [{number(found.low)}, {number(found.high)}]"


def _origin(records: Sequence[Record], claims: int) -> dict[str, Any]:
    """How to measure it again, and the machines that did; ``claims`` is how many there are in all."""
    if not records:
        return {"commands": []}
    commands = [
        _command(keys if len(keys) < claims else [], settings)
        for settings, keys in _grouped(records, lambda record: record.settings)
    ]
    machines = [
        _machine(machine, ", ".join(keys) if len(keys) < len(records) else "")
        for machine, keys in _grouped(records, lambda record: record.machine)
    ]
    days = sorted({record.finished[:10] for record in records})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    seconds = duration(sum(record.seconds for record in records))
    return {"commands": commands, "machines": machines, "measured": f"Measured on {when}, in {seconds}."}


def _grouped(records: Sequence[Record], trait: Callable[[Record], Trait]) -> list[tuple[Trait, list[str]]]:
    """Every value of a trait, hashable or not, with the keys of the records that share it, in order."""
    groups: list[tuple[Trait, list[str]]] = []
    for record in records:
        keys = next((keys for value, keys in groups if value == trait(record)), None)
        if keys is None:
            groups.append((trait(record), [record.key]))
        else:
            keys.append(record.key)
    return groups


def _command(keys: Sequence[str], settings: dict[str, Any] | None = None) -> str:
    """What to type to measure these claims; without keys, all claims."""
    named = [f"claims=[{','.join(keys)}]"] if keys else []
    given = [f"{name}={value:g}" if name == "scale" else f"{name}={value}" for name, value in (settings or {}).items()]
    return " ".join(["make study", *named, *given])


def _machine(machine: dict[str, Any], keys: str) -> dict[str, str]:
    return {
        "claims": keys,
        "processor": f"{machine['cpu']}, {machine['cores']} cores",
        "GPU": machine["gpu"] or "none",
        "system": machine["system"],
        "versions": ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
    }
