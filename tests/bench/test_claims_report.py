"""Verdicts in a run's folder, its report and on the command line, from rows of the reference run's table 1."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_struct

from bench.__main__ import main
from bench.analysis.claims import read_rules
from bench.errata.table import ERRATA
from bench.report import read_report
from bench.report.abstract import write_abstract
from bench.report.article import describe_article
from bench.report.certainty import describe_certainty
from bench.report.claims import describe_rules, judge_report, markdown_blocks, write_json
from bench.report.facts import gather_facts
from bench.report.load import read_content
from bench.report.model import Report
from bench.report.page_claims import render_claims
from bench.report.summary import format_bytes, format_duration
from bench.report.threats import list_threats


@pytest.fixture(scope="module")
def folder(table1_run: Path) -> Path:
    """A complete run of table1 alone, with its report."""
    return table1_run


def test_the_run_keeps_its_verdicts_with_numbers_and_intervals(folder: Path) -> None:
    kept = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    claims = {item["id"]: item for item in kept["claims"]}
    assert len(claims) == 46
    assert claims["C35"]["verdict"] == "contradicted"
    assert claims["C35"]["finding"] == "the greatest throughput of Table 1 is 16"
    slope = {item["test"]: item for item in claims["C33"]["evidence"]}["slope_17"]
    assert claims["C33"]["verdict"] == "supported under a condition"
    # As `statsmodels` and the analysis of the printed table have it: -1.561, standard error .112.
    assert (slope["low"], slope["value"], slope["high"]) == pytest.approx((-1.805, -1.561, -1.317), abs=0.001)
    assert claims["C01"]["verdict"] == "not tested in this run"
    assert claims["C33"]["command"] == "ehrbench run table1 --profile paper"
    assert "claims.json" in read_content(folder)["files"]


def test_the_report_has_a_section_in_both_forms(folder: Path) -> None:
    page, text = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    assert '<section id="claims">' in page
    assert '<b class="verdict contradicted">contradicted</b> the greatest throughput of Table 1 is 16' in page
    assert '<a href="#claims">Claims and verdicts</a>' in page
    assert "## Claims and verdicts" in text
    assert "**contradicted**: the greatest throughput of Table 1 is 16" in text
    assert "Not tested in this run: C01, C02, C03" in text


def _numbers(text: object) -> set[str]:
    return set(re.findall(r"\d+(?:[.,]\d+)*", str(text)))


def test_every_number_of_the_abstract_is_in_a_file_of_the_run(folder: Path) -> None:
    """But for the year of the paper, the name of SHA-256 and the count of errata."""
    report = read_report(folder)
    text = " ".join(write_abstract(replace(report, verdicts=judge_report(report))))
    claims = json.loads((folder / "claims.json").read_text(encoding="utf-8"))["claims"]
    machine = read_content(folder)["machine"]
    rows = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (folder / "raw").glob("*.jsonl"))
    known = _numbers([[item[key] for key in ("id", "claim", "finding")] for item in claims])
    known |= _numbers([len(claims), *Counter(item["verdict"] for item in claims).values(), f"{rows:,}", 1, 0])
    known |= _numbers([machine["cpu"], machine["usable_cores"], format_bytes(machine["memory_bytes"])])
    known |= _numbers([format_duration(0), 2022, 256, len(ERRATA), sum(item.show is not None for item in ERRATA)])
    assert _numbers(text) <= known
    assert "(C35): the greatest throughput of Table 1 is 16." in text


def test_a_claim_opens_to_all_that_a_reviewer_asks(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    opened = page[page.index('id="claim-C33"') : page.index('id="claim-C34"')]
    for part in (
        "The paper says", "§4.1", "Found", "if row 1 is left out", "How sure", "by a 95 % interval",
        "Rule, fixed when the run began",
        "<b>supported under a condition</b> if <code>slope</code>", 'href="#table-table1_regression"',
        "<code>ehrbench run table1 --profile paper<",
    ):  # fmt: skip
        assert part in opened
    assert page.count('class="claim"') == 46
    assert 'href="#claim-C33" title="The number of ordering nodes' in page, "and all verdicts at a glance lead there"


def test_what_intervals_of_slopes_are_worth_is_a_threat(folder: Path) -> None:
    said = dict(list_threats(read_report(folder)))["Statistical conclusion validity"]
    assert any("no test of a sample" in text for text in said)


def test_how_sure_a_verdict_is_follows_its_evidence(folder: Path) -> None:
    found = {item.id: item for item in judge_report(read_report(folder))}
    assert describe_certainty(found["C01"]).startswith("No verdict")
    assert describe_certainty(found["C46"]).startswith("Nothing that can be run here")
    sure = describe_certainty(found["C35"])
    assert sure == "1 of 1 tests are decided: 1 by values that have no interval (exact, counted, or of one run)."
    assert describe_certainty(found["C35"], {"table1"}).endswith("A control of table1 failed: see its caption.")


def test_the_command_prints_every_form(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["claims", str(folder), "--only", "C35", "--verbose"])
    told = " ".join(capsys.readouterr().out.split())
    assert "contradicted: the greatest" in told
    assert "$ ehrbench run table1 --profile paper" in told
    main(["claims", str(folder), "--json"])
    assert capsys.readouterr().out == (folder / "claims.json").read_text(encoding="utf-8")
    main(["claims", str(folder), "--markdown", "--only", "C35"])
    assert capsys.readouterr().out.count("\n| C3") == 1


def test_verdicts_that_were_edited_end_in_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "claims.json"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace('"contradicted"', '"supported"', 1), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["claims", str(folder), "--only", "C35"])
    path.write_text(before, encoding="utf-8")
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "contradicted: the greatest" in " ".join(told.out.split()), "the computed one is printed"
    assert "claims.json: expected the verdicts that the run's rows give by today's rules, found others" in told.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "C47"], "--only: expected a claim (C01 to C46), found 'C47'"),
        (["--json", "--markdown"], "--markdown: expected nothing besides, found --json"),
        (["--rules"], "--rules: expected nothing besides, found"),
    ],
)
def test_bad_input_is_told_in_one_line(
    folder: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["claims", str(folder), *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def _begun_with(folder: Path, rules: dict[str, str]) -> Report:
    report = read_report(folder)
    return replace(report, manifest=replace_struct(report.manifest, rules=rules), verdicts=judge_report(report))


def test_a_run_records_its_rules_when_it_begins(folder: Path) -> None:
    recorded = read_content(folder)["rules"]
    assert recorded == {name: claim.digest for name, claim in read_rules().claims.items()}
    assert json.loads((folder / "claims.json").read_text(encoding="utf-8"))["rules_changed"] == []
    report = _begun_with(folder, recorded)
    assert describe_rules(report).startswith("The rules are those that were fixed when the run began")
    assert describe_rules(report) in dict(list_threats(report))["Construct validity"]
    assert "by a rule, fixed when the run began, from tables" in write_abstract(report)[0]


def test_rules_that_changed_since_are_named_in_every_form(folder: Path) -> None:
    """A planted change: the rules that the run had recorded for two claims are others."""
    report = _begun_with(folder, {**read_content(folder)["rules"], "C25": "0" * 64, "C34": "0" * 64})
    said = describe_rules(report)
    assert said.startswith("Rules that changed after the run had begun: C25, C34 (")
    page, text, paper = (
        render_claims(report),
        "\n".join(markdown_blocks(report)),
        describe_article(report, gather_facts(report)),
    )
    assert said in page
    assert said in text
    assert said in paper["claims_said"][0]
    assert page.count("Rule, changed since the run began") == 2
    assert said in dict(list_threats(report))["Construct validity"]
    assert "by a rule (2 of them changed after the run had begun) from tables" in write_abstract(report)[0]
    assert json.loads(write_json(report, report.verdicts, read_rules()))["rules_changed"] == ["C25", "C34"]


def test_a_run_without_a_record_of_its_rules_does_not_say_that_they_were_fixed(folder: Path) -> None:
    report = _begun_with(folder, {})
    assert describe_rules(report) == "The run has no record of the rules as they were when it began."
    assert "fixed" not in "".join(markdown_blocks(report)).split("| Claim")[0]
    assert json.loads(write_json(report, report.verdicts, read_rules()))["rules_changed"] is None
