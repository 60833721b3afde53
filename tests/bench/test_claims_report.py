"""Verdicts in a run's folder, its report and on the command line, from rows of the reference run's table 1."""

import json
from itertools import groupby
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.record import RunDirectory
from bench.report import build_report
from bench.report.load import read_content, read_rows

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of table1 alone, with its report."""
    known = read_content(REFERENCE)
    content = {key: known[key] for key in ("scenario", "seed", "workload", "machine", "versions", "git", "sittings")}
    content["experiments"] = {"table1": {"status": "complete", "cases": 1}}
    made = RunDirectory.create(tmp_path_factory.mktemp("results"), "demo", content)
    rows = read_rows(REFERENCE / "raw" / "table1.jsonl", may_be_cut=False).rows
    for case, group in groupby(rows, key=lambda row: row["case"]):
        made.append("table1", case, [{k: v for k, v in row.items() if k not in {"part", "parts"}} for row in group])
    made.finish("complete")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.report.build._draw_figure", lambda *_: (b"<svg/>", b"", 3.0))
        build_report(made.folder, print)
    made.seal_derived()
    made.release()
    return made.folder


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
    assert claims["C33"]["command"] == "ehrbench run table1"
    assert "claims.json" in read_content(folder)["files"]


def test_the_report_has_a_section_in_both_forms(folder: Path) -> None:
    page, text = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    assert '<section id="claims">' in page
    assert '<b class="verdict contradicted">contradicted</b> the greatest throughput of Table 1 is 16' in page
    assert '<a href="#claims">Claims and verdicts</a>' in page
    assert "## Claims and verdicts" in text
    assert "**contradicted**: the greatest throughput of Table 1 is 16" in text
    assert "Not tested in this run: C01, C02, C03" in text


def test_the_command_prints_every_form(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["claims", str(folder), "--only", "C35", "--verbose"])
    told = " ".join(capsys.readouterr().out.split())
    assert "contradicted: the greatest" in told
    assert "$ ehrbench run table1" in told
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
