"""The report in print: what it says, that it is the same bytes everywhere, and that a missing fact stops it."""

import locale
import os
import re
import time
from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import pypdf
import pytest

import bench
from bench.__main__ import main
from bench.analysis.claims import VERDICTS
from bench.errors import BenchError
from bench.report import pdf, read_report
from bench.report.claims import judge_report
from bench.report.pdf import render_pdf


def _read(folder):
    report = read_report(folder, has_figures=True)
    return replace(report, verdicts=judge_report(report))


def _text(data):
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(data)).pages)


def test_it_holds_every_claim_with_its_verdict_every_erratum_and_every_table_of_the_run(reported_run):
    report = _read(reported_run)
    data = render_pdf(report)
    text = " ".join(_text(data).split())
    claims = text.partition("Each claim: what the paper says")[2].partition("Errata of the paper")[0]
    places = [claims.index(f"{item.id} ") for item in report.verdicts]
    assert places == sorted(places)
    for item, (start, end) in zip(report.verdicts, pairwise([*places, len(claims)]), strict=True):
        assert item.verdict in re.sub(r"- ", "", claims[start:end]), item.id
    assert {item.verdict for item in report.verdicts} <= {*VERDICTS}
    expected = ("E01", "E48", "Does it hold?", "Threats to validity", "12300", "tables/speeds.csv", "References",
                "Frontiers in Public Health", "Apache License", "<script>alert", "A <fast> CPU")  # fmt: skip
    assert [words for words in expected if words not in text] == []
    document = pypdf.PdfReader(BytesIO(data))
    assert document.metadata.title.startswith("Does it hold?")
    assert report.manifest.finished == document.metadata.creation_date.isoformat()


def test_it_is_the_same_bytes_in_another_folder_time_zone_locale_and_mask(reported_run, tmp_path, monkeypatch):
    expected = render_pdf(_read(reported_run))
    moved = reported_run.rename(tmp_path / "elsewhere")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    time.tzset()
    mask, before = os.umask(0o077), locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "C")
        assert render_pdf(_read(moved)) == expected
    finally:
        os.umask(mask)
        locale.setlocale(locale.LC_ALL, before)
        monkeypatch.undo()
        time.tzset()


def test_the_command_writes_it_into_the_run_and_seals_it_or_only_where_it_is_told(reported_run, tmp_path, capsys):
    (reported_run / "report.pdf").write_bytes(b"old")
    before = {path: path.read_bytes() for path in reported_run.rglob("*") if path.is_file()}
    main(["paper", str(reported_run), "-o", str(tmp_path / "one.pdf")])
    assert {path: path.read_bytes() for path in reported_run.rglob("*") if path.is_file()} == before
    table = reported_run / "tables" / "speeds.csv"
    table.write_bytes(table.read_bytes().replace(b"12345.678", b"12345.679"))
    main(["paper", str(reported_run)])
    assert (reported_run / "report.pdf").read_bytes() == (tmp_path / "one.pdf").read_bytes()
    assert '"report.pdf"' in (reported_run / "manifest.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out.splitlines()[-1] == f"Paper: {reported_run / 'report.pdf'}"
    with pytest.raises(BenchError, match=r"speeds.csv: expected the SHA-256 .* it was changed"):
        bench.load(reported_run).tables["speeds"]  # what was edited still shows


def test_a_text_that_cites_a_missing_fact_is_one_line(reported_run, monkeypatch):
    source = pdf.find_paper

    def plant(name):
        return source(name) + b'\n#fact("demo.speed")\n' if name == "report.typ" else source(name)

    monkeypatch.setattr(pdf, "find_paper", plant)
    with pytest.raises(BenchError) as caught:
        render_pdf(_read(reported_run))
    assert str(caught.value) == (
        "report.pdf: fact demo.speed: expected a fact of this run, found none (no fact of that name)"
    )


def test_a_bug_in_the_sources_is_no_users_error(reported_run, monkeypatch):
    import typst

    source = pdf.find_paper
    monkeypatch.setattr(pdf, "find_paper", lambda name: source(name) + (b"\n#nonsense\n" if "report" in name else b""))
    with pytest.raises(typst.TypstError, match="unknown variable: nonsense"):
        render_pdf(_read(reported_run))


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_figure_that_was_changed_or_is_missing_is_refused(reported_run, capsys, suffix):
    figure = reported_run / "figures" / f"speeds.{suffix}"
    figure.write_bytes(figure.read_bytes() + b"\n")
    with pytest.raises(SystemExit):
        main(["paper", str(reported_run)])
    assert f"speeds.{suffix}: expected what the report has written, found another" in capsys.readouterr().err
    figure.unlink()
    with pytest.raises(SystemExit):
        main(["paper", str(reported_run)])
    assert f"speeds.{suffix}: expected a file of a run, found: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none",), "none: expected the directory of a run, found nothing"),
        (("--results", "."), ".: expected a run, found none (make one with: ehrbench run)"),
    ],
)
def test_a_run_that_is_not_there_is_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["paper", *words])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"ehrbench: {message}\n"
