"""The report: one HTML file that needs nothing else, neither a network nor a script."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from a2c.run.showing.figures import duration
from a2c.study.claim import Claim, Number, Verdict
from a2c.study.record import Record
from a2c.study.typeset import escape, formula, inline, number, paragraphs

Trait = TypeVar("Trait")

BADGES = {  # the sign says it to those who see no colour
    Verdict.SUPPORTED: ("yes", "✓ supported"),
    Verdict.CONDITIONAL: ("partly", "◐ only under conditions"),
    Verdict.NOT_SUPPORTED: ("no", "✗ not supported"),
    None: ("none", "– not measured"),
}
LEAD = """\
The article behind this project follows actor-critic methods from AC through A3C to A2C and says what parallel actors,
n-step returns and the entropy bonus bring. Here each of its claims is measured and judged. The criterion stands beside
the result, and it could have given any verdict. Set-ups and criteria were chosen on seeds below 1000; the study runs on
others unless told otherwise."""


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
    claims = "\n".join(_claim(place, entry) for place, entry in enumerate(entries, 1))
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>The claims of A2C, measured</title>
<link rel="icon" href="data:,">
<style>
{Path(__file__).with_name("page.css").read_text(encoding="utf-8").strip()}
</style>
</head>
<body>
<main>
<header>
<h1>The claims of A2C, measured</h1>
{paragraphs(LEAD)}
<p class="tally">{_tally(entries)}</p>
</header>
{_summary(entries)}
{claims}
{_origin([entry.record for entry in entries if entry.record is not None], len(entries))}
</main>
</body>
</html>
"""


def _badge(verdict: Verdict | None) -> str:
    name, text = BADGES[verdict]
    return f'<span class="badge {name}">{text}</span>'


def _tally(entries: Sequence[Entry]) -> str:
    counts = [(sum(entry.verdict is verdict for entry in entries), verdict) for verdict in BADGES]
    return " ".join(
        f'<span class="badge {BADGES[verdict][0]}"><b>{count}</b> {BADGES[verdict][1][2:]}</span>'
        for count, verdict in counts
        if count
    )


def _summary(entries: Sequence[Entry]) -> str:
    rows = "\n".join(
        f'<tr><td class="place">{place}</td>'
        f'<td><a href="#{escape(entry.claim.key)}">{inline(entry.claim.title)}</a></td>'
        f"<td>{_badge(entry.verdict)}</td></tr>"
        for place, entry in enumerate(entries, 1)
    )
    return f"""\
<table class="summary">
<thead><tr><th></th><th>claim</th><th>verdict</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _claim(place: int, entry: Entry) -> str:
    claim, record = entry.claim, entry.record
    code = "\n".join(f"<li>{_place_of_code(line)}</li>" for line in claim.code)
    return f"""\
<section id="{escape(claim.key)}">
<h2><span class="place">{place}</span> {inline(claim.title)}</h2>
<p>{_badge(entry.verdict)}</p>
<h3>What the article says</h3>
<blockquote>
{paragraphs(claim.says)}
</blockquote>
<div class="formula">
{formula(claim.formula)}
</div>
<h3>How it was measured</h3>
{paragraphs(claim.method)}
{_result(entry) if record else '<p class="note">Not measured yet: <code>' + _command([claim.key]) + "</code></p>"}
<h3>Where the code is</h3>
<ul class="code">
{code}
</ul>
</section>"""


def _place_of_code(line: str) -> str:
    file, colon, names = line.partition(":")
    return f"<code>{escape(file)}</code>{colon} <code>{escape(names.strip())}</code>" if colon else inline(line)


def _result(entry: Entry) -> str:
    record = entry.record
    assert record is not None
    judgement, settings = record.judgement, record.settings
    size = f"{settings['seeds']} seeds from {settings['seed']}, scale {settings['scale']:g}"
    return f"""\
<h3>What came out</h3>
{_figure(entry)}
{_numbers(judgement.numbers)}
<div class="verdict {BADGES[entry.verdict][0]}">
<p>{_badge(entry.verdict)}</p>
{paragraphs(judgement.why)}
</div>
<p class="note">Measured on {escape(record.finished[:10])} with {size}, in {duration(record.seconds)}.</p>"""


def _figure(entry: Entry) -> str:
    if entry.figure is None or entry.record is None:
        return ""
    told = "; ".join(f"{found.name} {number(found.value)}{_within(found)}" for found in entry.record.judgement.numbers)
    alt = f"{entry.claim.title}: {entry.record.judgement.verdict.value}. {told}"
    source = base64.b64encode(entry.figure).decode("ascii")
    return f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{source}"></figure>'


def _within(found: Number) -> str:
    return "" if found.low is None or found.high is None else f" [{number(found.low)}, {number(found.high)}]"


def _numbers(numbers: Sequence[Number]) -> str:
    rows = "\n".join(
        f"<tr><td>{inline(found.name)}</td><td>{number(found.value)}</td><td>{_within(found) or 'exact'}</td></tr>"
        for found in numbers
    )
    return f"""\
<table class="numbers">
<thead><tr><th>number</th><th>value</th><th>95 % interval</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _origin(records: Sequence[Record], claims: int) -> str:
    """How to measure it again, and the machines that did; ``claims`` is how many there are in all."""
    if not records:
        return ""
    commands = "\n".join(
        f"<pre><code>{_command(keys if len(keys) < claims else [], settings)}</code></pre>"
        for settings, keys in _grouped(records, lambda record: record.settings)
    )
    machines = "\n".join(
        _machine(machine, ", ".join(keys) if len(keys) < len(records) else "")
        for machine, keys in _grouped(records, lambda record: record.machine)
    )
    days = sorted({record.finished[:10] for record in records})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    seconds = duration(sum(record.seconds for record in records))
    return f"""\
<section id="origin">
<h2>Measure it again</h2>
{commands}
<p>Measured on {escape(when)}, in {seconds}. Beside this page lie a JSON file and a PNG for every claim; with
<code>measure=false</code> the study judges and draws them again.</p>
{machines}
</section>"""


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
    return escape(" ".join(["make study", *named, *given]))


def _machine(machine: dict[str, Any], keys: str) -> str:
    facts = {
        "claims": keys,
        "processor": f"{machine['cpu']}, {machine['cores']} cores",
        "GPU": machine["gpu"] or "none",
        "system": machine["system"],
        "versions": ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
    }
    rows = "\n".join(f"<dt>{name}</dt><dd>{escape(str(fact))}</dd>" for name, fact in facts.items() if fact)
    return f"<dl>\n{rows}\n</dl>"
