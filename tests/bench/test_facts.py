"""Facts: named, computed from tables, with a source; and every place that cites one cites what is there."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench import experiments
from bench.report import facts, read_report
from bench.report.claims import judge_report
from bench.report.facts import FactRule, Facts, gather_facts, read_fact_rules, write_facts

ROOT = Path(__file__).parents[2]
CITED = re.compile(r"<!-- fact ([\w.]+) -->")
#: Names and standards that have a number in them.
NAMES = re.compile(r"SHA-1|SHA-256|MD5|P-256")


def test_every_rule_names_a_declared_table_with_its_columns_and_experiment():
    declared = {
        table.name: (experiment.id, table)
        for experiment in map(experiments.find_experiment, experiments.QUESTIONS)
        for table in experiment.tables
    }
    for name, rule in read_fact_rules().items():
        owner, table = declared[rule.table]
        assert name.startswith(f"{owner}."), name
        assert {rule.column, *rule.where, *rule.over, *filter(None, [rule.per])} <= {*table.columns}, name


def test_a_run_keeps_its_facts_with_their_sources(fake_run, monkeypatch):
    rules = {
        "demo.rows": FactRule(what="rows", table="speeds", column="library", rows="count"),
        "demo.native": FactRule(what="n", table="speeds", column="library", where={"is_native": True}, rows="count"),
        "demo.speed": FactRule(what="speed", table="speeds", column="speed", where={"library": "a_lib"}),
        "demo.exact": FactRule(what="speed", table="speeds", column="speed", where={"library": "a*"}, form=",.1f"),
        "demo.most": FactRule(what="most", table="means", column="extra", rows="max"),
        "demo.share": FactRule(what="share", table="means", column="extra", where={"library": "c|d"}, form=".0%"),
        "demo.nothing": FactRule(what="nothing", table="speeds", column="speed", where={"library": "<*"}),
        "demo.absent": FactRule(what="absent", table="latency", column="open_p99_ms"),
        "demo.two": FactRule(what="two", table="means", column="extra"),
        "demo.column": FactRule(what="column", table="means", column="size", rows="count"),
    }
    monkeypatch.setattr(facts, "read_fact_rules", lambda: rules)
    report = read_report(fake_run.folder)
    report = replace(report, verdicts=judge_report(report))
    kept = json.loads(write_facts(report, gather_facts(report)))
    texts = {name: fact["text"] for name, fact in kept["facts"].items() if name.startswith("demo.")}
    assert texts == {"demo.rows": "3", "demo.native": "2", "demo.speed": "12,346", "demo.exact": "12,345.7",
                     "demo.most": "3", "demo.share": "300 %"}  # fmt: skip
    assert kept["missing"] == {
        "demo.nothing": "table speeds has no value in speed",
        "demo.absent": "table latency is not in this run",
        "demo.two": "table means has 3 rows with anything, not one",
        "demo.column": "table means has no column size",
    }
    assert kept["facts"]["demo.native"]["source"] == "tables/speeds.csv: library where is_native = True"
    assert (kept["facts"]["run.profile"]["text"], kept["facts"]["claims.total"]["text"]) == ("smoke", "46")
    printed = [fact for name, fact in kept["facts"].items() if name.startswith("C29.")]
    assert {fact["source"] for fact in printed} == {"printed figures of the paper"}


def test_facts_need_no_verdicts(fake_run):
    found = gather_facts(read_report(fake_run.folder))
    assert isinstance(found, Facts)
    assert "claims.total" not in found.found


def _words():
    """The prose of the sources in print: lines that begin a paragraph or stand in one, without code."""
    results = (ROOT / "paper" / "results.typ").read_text(encoding="utf-8")
    article = (ROOT / "paper" / "report.typ").read_text(encoding="utf-8")
    yield "results.typ", results.partition("#let words = (")[2].partition("\n)\n")[0]
    yield "report.typ", "\n".join(re.findall(r"^[A-Za-z].*$", article, re.MULTILINE))


@pytest.mark.parametrize(("name", "text"), [*_words()])
def test_no_number_is_typed_into_prose(name, text):
    code = re.compile(r'#fact\("[\w.]+"\)|@\w+|`[^`]*`|"[^"]*"|^\s+\w+: \(\) =>', re.MULTILINE)
    left = NAMES.sub("", code.sub("", text))
    assert len(left) > 1000
    assert re.findall(r"\S*\d\S*", left) == [], name


def test_a_planted_number_in_prose_is_found():
    with pytest.raises(AssertionError):
        test_no_number_is_typed_into_prose("planted", "It takes 3.1 times as long. " * 100)


def test_prose_cites_facts_of_its_own_experiment_alone():
    source = (ROOT / "paper" / "results.typ").read_text(encoding="utf-8")
    words = source.partition("#let words = (")[2].partition("\n)\n")[0]
    parts = re.split(r"^  (\w+): \(\) => \[", words, flags=re.MULTILINE)[1:]
    cited = {name: re.findall(r'#fact\("([\w.]+)"\)', text) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    assert len(cited) >= 15
    rules = read_fact_rules()
    for experiment, names in cited.items():
        assert names, experiment
        assert all(name in rules and name.startswith(f"{experiment}.") for name in names), experiment
    unused = {*rules} - {name for names in cited.values() for name in names}
    assert not unused - quoted(), "a fact that nobody cites"


def test_tables_in_print_are_declared():
    source = (ROOT / "paper" / "results.typ").read_text(encoding="utf-8")
    chosen = source.partition("#let shown = (")[2].partition("\n)\n")[0]
    every = {experiments.find_experiment(name).id: experiments.find_experiment(name) for name in experiments.QUESTIONS}
    tables = {table.name for experiment in every.values() for table in experiment.tables if table.highlights}
    named = re.findall(r"(\w+): (?:passed[,)]|\((?::\)|limit|where: |\.\.passed))", chosen)
    assert len(named) > 40
    assert [name for name in named if name not in tables] == []


# -- pages of the project that quote the kept run ----------------------------------------------------------------


def pages():
    return [path for path in (*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md"))
            if path.name != "CONTRIBUTING.md"]  # fmt: skip


def quoted():
    return {name for path in pages() for name in CITED.findall(path.read_text(encoding="utf-8"))}


def find_misquotes(text, kept):
    """What stands right before each citation and is not what the kept run says."""
    wrong = []
    for match in CITED.finditer(text):
        before = text[: match.start()].rstrip("*_` \n")
        if match[1] not in kept or not re.search(rf"(?<![\w.,]){re.escape(kept[match[1]]['text'])}$", before):
            wrong.append(f"{match[1]}: {before[-20:]}")
    return wrong


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_numbers_that_pages_quote_are_those_of_the_kept_run(path):
    text = path.read_text(encoding="utf-8")
    if CITED.search(text):
        kept = json.loads((ROOT / "results" / "reference" / "facts.json").read_text(encoding="utf-8"))["facts"]
        assert find_misquotes(text, kept) == []


def test_a_wrong_quote_is_found():
    kept = {"a.b": {"text": "1.5"}}
    assert find_misquotes("It takes **1.5**<!-- fact a.b --> s, 1.5 <!-- fact a.b --> s.", kept) == []
    assert find_misquotes("11.5<!-- fact a.b -->", kept) == ["a.b: 11.5"]
    assert find_misquotes("1.4<!-- fact a.b -->", kept) == ["a.b: 1.4"]
    assert find_misquotes("1.5<!-- fact a.c -->", kept) == ["a.c: 1.5"]
