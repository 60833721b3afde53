"""Facts: the numbers that texts cite by name, each computed from a table of the run and kept with its source.

`paper/facts.toml` names them; a run's `facts.json` holds what its tables make of them, what its verdicts rest on
(``C33.slope_17``), and what its manifest says (``run.profile``).  A text that cites what a run lacks is not built.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import msgspec

from bench.analysis.claims import VERDICTS, Filter, RuleTest, Text
from bench.analysis.evidence import Evidence, Rows, run_test, select_rows
from bench.analysis.verdicts import find_digits, show
from bench.errata.table import ERRATA
from bench.files import find_packaged
from bench.report.claims import find_rows
from bench.report.model import Report
from bench.report.tables import format_value

#: The derived file of a run that holds its facts.
FILE: Final = "facts.json"


class FactRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which number of a run a fact is; ``what`` says it in words, with its unit.

    ``where``, ``over`` and ``per`` are those of `RuleTest`; ``rows`` says how several rows are taken.  ``form`` is a
    format such as ``.2f``; three digits without one.
    """

    what: Text
    table: Text
    column: Text
    where: Filter = {}
    over: Filter = {}
    per: str = ""
    rows: Literal["one", "sum", "min", "max", "count"] = "one"
    form: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A number as texts print it, what it is, and where it is from; ``low`` and ``high`` bound it, if anything does."""

    text: str
    what: str
    source: str
    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts by name, and why those that the run cannot fill are missing."""

    found: Mapping[str, Fact]
    missing: Mapping[str, str]


def read_fact_rules() -> dict[str, FactRule]:
    """The rules that ship with the suite, by name: ``experiment.fact``."""
    content = tomllib.loads(find_paper("facts.toml").decode())
    parts = msgspec.convert(content, dict[str, dict[str, FactRule]])
    return {f"{part}.{name}": rule for part, rules in parts.items() for name, rule in rules.items()}


def find_paper(name: str) -> bytes:
    """A file of the folder ``paper``."""
    return find_packaged(f"paper/{name}", f"paper/{name}").read_bytes()


def gather_facts(report: Report) -> Facts:
    """The facts of a report with its verdicts."""
    find = find_rows(report)
    found, missing = {**_describe_run(report), **_count_verdicts(report)}, {}
    for verdict in report.verdicts:
        found |= {f"{verdict.id}.{item.test}": _cite(item) for item in verdict.evidence if item.outcome != "missing"}
    for name, rule in read_fact_rules().items():
        fact = _compute(rule, find)
        if isinstance(fact, Fact):
            found[name] = fact
        else:
            missing[name] = fact
    return Facts(found, missing)


def write_facts(report: Report, facts: Facts) -> str:
    """The content of ``facts.json``; equal runs give equal text."""
    content = {
        "run_id": report.manifest.run_id,
        "record_sha256": report.manifest.record_sha256,
        "facts": as_json(facts),
        "missing": facts.missing,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def as_json(facts: Facts) -> dict[str, dict[str, str]]:
    """Each fact as an object without empty texts."""
    return {name: {key: text for key, text in asdict(fact).items() if text} for name, fact in facts.found.items()}


def _compute(rule: FactRule, find: Callable[[str], Rows | None]) -> Fact | str:
    """The fact, or why there is none."""
    rows = find(rule.table)
    if rule.rows == "count" and rows and {rule.column, *rule.where} <= {*rows[0]}:
        value: float | str | None = len(select_rows(rows, rule.where))
    else:
        how: Any = "one" if rule.rows == "count" else rule.rows
        # Every cell differs from this text, so that the test only looks the number up.
        test = RuleTest(what=rule.what, holds="!= \0", table=rule.table, column=rule.column, where=rule.where,
                        over=rule.over, per=rule.per, rows=how)  # fmt: skip
        item = run_test("", test, find)
        if item.outcome == "missing":
            return item.reason
        value = item.value
    text = format_value(value, rule.form).replace("%", " %") if rule.form else show(value)
    chosen = "; ".join(f"{column} = {wanted}" for column, wanted in rule.where.items())
    return Fact(text, rule.what, f"tables/{rule.table}.csv: {rule.column}{f' where {chosen}' if chosen else ''}")


def _cite(item: Evidence) -> Fact:
    source = f"tables/{item.table}.csv: {item.column}" if item.table else "printed figures of the paper"
    digits = find_digits(item)
    low, high = ("" if bound is None else show(bound, digits) for bound in (item.low, item.high))
    return Fact(show(item.value, digits), item.what, source, low, high)


def _describe_run(report: Report) -> dict[str, Fact]:
    manifest = report.manifest
    texts = {
        "run.id": (manifest.run_id, "name of the run"),
        "run.profile": (manifest.profile, "profile of the run"),
        "run.seed": (str(manifest.seed), "seed of the run"),
        "run.commit": (manifest.git.get("commit") or "", "commit of the code that ran"),
        "run.record": (manifest.record_sha256 or "", "SHA-256 of what was recorded"),
        "run.experiments": (show(len(report.sections)), "experiments of the run"),
        "run.rows": (show(sum(section.rows for section in report.sections)), "recorded rows"),
        "run.cpu": (manifest.machine.get("cpu") or "", "processor"),
    }
    found = {name: Fact(text, what, "manifest.json") for name, (text, what) in texts.items() if text}
    shown = sum(erratum.show is not None for erratum in ERRATA)
    source = "bench/errata/table.py"
    found["errata.total"] = Fact(show(len(ERRATA)), "errata of the paper", source)
    found["errata.shown"] = Fact(show(shown), "errata that running code shows", source)
    return found


def _count_verdicts(report: Report) -> dict[str, Fact]:
    if not report.verdicts:
        return {}
    counts = Counter(item.verdict for item in report.verdicts)
    total = {"claims.total": Fact(show(counts.total()), "claims of the paper", "claims.json")}
    return total | {
        f"claims.{verdict}": Fact(show(counts[verdict]), f"claims with the verdict '{verdict}'", "claims.json")
        for verdict in VERDICTS
    }
