"""From files alone: whole runs, stopped runs, spoiled runs."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.report import build_report, read_report

FILES = {
    "report.md", "report.html", "tables/speeds.csv", "tables/speeds.tex", "tables/means.csv", "tables/means.tex",
    "figures/speeds.svg", "figures/speeds.png", "figures/speeds.pdf", "tables/all.tex", "raw/demo.jsonl",
    "manifest.json", "claims.json", "facts.json", "tables/datapackage.json",
}  # fmt: skip


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _build(run):
    said = []
    return build_report(run.folder, said.append), said


def test_a_whole_run_gives_every_file(fake_run):
    page, said = _build(fake_run)
    assert page == fake_run.folder / "report.html"
    assert set(_files(fake_run.folder)) == FILES
    assert said == []


def test_the_same_run_gives_the_same_bytes(fake_run):
    _build(fake_run)
    first = _files(fake_run.folder)
    _build(fake_run)
    assert _files(fake_run.folder) == first


def test_reading_a_report_writes_nothing(fake_run):
    before = _files(fake_run.folder)
    report = read_report(fake_run.folder)
    assert [built.table.name for built in report.sections[0].tables] == ["speeds", "means"]
    assert _files(fake_run.folder) == before


def test_only_ok_rows_enter_tables_and_the_others_are_listed(fake_run):
    rows = [json.loads(line) for line in fake_run.raw.read_text().splitlines()]
    bad = {"case": "d", "status": "timeout", "reason": "took\ntoo long", "library": "d"}
    fake_run.write_rows([*rows, bad, bad])
    _, said = _build(fake_run)
    section = read_report(fake_run.folder).sections[0]
    assert list(section.tables[1].frame["library"]) == ["<script>alert(1)</script>", "a_lib", "c|d"]
    assert [(f.case, f.status, f.reason, f.count) for f in section.failures] == [("d", "timeout", "took too long", 2)]
    assert said == ["demo: 2 of 5 rows are not ok"]
    assert "took too long" in (fake_run.folder / "report.md").read_text()


def test_a_cut_row_of_an_interrupted_run_is_skipped_and_said(fake_run):
    rows = [json.loads(line) for line in fake_run.raw.read_text().splitlines()]
    fake_run.write_rows(rows, tail='{"case": "d", "sta')
    fake_run.write_manifest(status="interrupted")
    page, said = _build(fake_run)
    assert said == ["demo.jsonl: from line 4 on a case was cut off when the run stopped, and is left out"]
    assert said[0] in page.read_text()
    assert "was interrupted" in page.read_text()


def test_a_table_without_its_rows_is_left_out_of_a_stopped_run(fake_run):
    rows = [json.loads(line) for line in fake_run.raw.read_text().splitlines()]
    fake_run.write_rows([{key: value for key, value in row.items() if key != "extra"} for row in rows])
    fake_run.write_manifest(status="running")
    page, said = _build(fake_run)
    assert len(said) == 1
    assert said[0].startswith("demo: table means is left out, for rows are missing or of an older version (KeyError")
    assert (fake_run.folder / "tables" / "speeds.csv").exists()
    assert not (fake_run.folder / "tables" / "means.csv").exists()
    assert "table means is left out" in page.read_text()
    assert "table means is left out" in (fake_run.folder / "report.md").read_text()


def test_a_figure_without_its_table_is_left_out_of_a_stopped_run(fake_run):
    rows = [json.loads(line) for line in fake_run.raw.read_text().splitlines()]
    fake_run.write_rows([{key: value for key, value in row.items() if key != "speed"} for row in rows])
    fake_run.write_manifest(status="failed")
    _, said = _build(fake_run)
    assert [line.partition(" is left out")[0] for line in said] == ["demo: table speeds", "demo: figure speeds"]
    assert not (fake_run.folder / "figures").exists()


def test_a_table_that_fails_in_a_whole_run_is_a_bug(fake_run):
    rows = [json.loads(line) for line in fake_run.raw.read_text().splitlines()]
    fake_run.write_rows([{key: value for key, value in row.items() if key != "extra"} for row in rows])
    fake_run.seal()
    with pytest.raises(KeyError):
        _build(fake_run)


def test_a_table_that_rows_of_an_older_version_cannot_fill_is_left_out(fake_run):
    rows = [json.loads(line) for line in fake_run.raw.read_text().splitlines()]
    fake_run.write_rows([{key: value for key, value in row.items() if key != "extra"} for row in rows])
    _, said = _build(fake_run)
    assert len(said) == 1
    assert said[0].startswith("demo: table means is left out, for rows are of an older version (KeyError")


def test_cases_that_were_not_begun_are_said(fake_run):
    rows = [json.loads(line) for line in fake_run.raw.read_text().splitlines()]
    late = {"case": "d", "status": "skipped", "kind": "not-begun", "reason": "no time was left"}
    fake_run.write_rows([*rows, late])
    fake_run.write_manifest(experiments={"demo": {"status": "complete", "cases": 4, "not_begun": 1}})
    page, said = _build(fake_run)
    assert said[0] == "demo: 1 cases were not begun, for no time was left in the budget"
    assert said[0] in page.read_text()
    assert "no time was left" in (fake_run.folder / "report.md").read_text()


def test_a_whole_run_of_failed_rows_still_has_a_report(fake_run):
    fake_run.write_rows([{"case": "a", "status": "failed", "reason": "no such library"}])
    page, said = _build(fake_run)
    assert said[0] == "demo: 1 of 1 rows are not ok"
    assert "no such library" in page.read_text()
    assert not (fake_run.folder / "tables").exists()


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_an_experiment_without_rows_is_said(fake_run, status):
    fake_run.raw.unlink()
    fake_run.write_manifest(status=status)
    page, said = _build(fake_run)
    assert said == ["demo: no row was recorded"]
    assert page.exists()


def test_two_tables_of_one_name_are_a_bug(fake_run, demo, monkeypatch):
    twice = replace(demo, tables=(demo.tables[0], demo.tables[0]))
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: twice)
    with pytest.raises(ValueError, match="table speeds: expected a name"):
        _build(fake_run)


def test_drawing_cannot_change_a_table(fake_run, demo, monkeypatch):
    def spoil(tables):
        tables["speeds"]["speed"] = 0.0
        return demo.figures[0].draw(tables)

    spoiled = replace(demo, figures=(replace(demo.figures[0], draw=spoil),))
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: spoiled)
    page, _ = _build(fake_run)
    assert "12300" in page.read_text()


@pytest.mark.parametrize("version", [1, 2])
def test_raw_rows_that_were_changed_after_the_run_are_refused_and_nothing_is_written(fake_run, version):
    if version == 1:
        fake_run.write_manifest(files={"raw/demo.jsonl": hashlib.sha256(fake_run.raw.read_bytes()).hexdigest()})
    else:
        fake_run.seal()
    read_report(fake_run.folder)
    fake_run.raw.write_text(fake_run.raw.read_text().replace("0.25", "0.75"))
    before = _files(fake_run.folder)
    with pytest.raises(
        BenchError, match=r"demo\.jsonl: expected the SHA-256 .*, found another content: it was changed"
    ):
        _build(fake_run)
    assert _files(fake_run.folder) == before


def _no_folder(run):
    return Path(run.folder / "missing"), "missing: expected the directory of a run, found nothing"


def _file_for_folder(run):
    return run.raw, "demo.jsonl: expected the directory of a run, found a file"


def _no_manifest(run):
    (run.folder / "manifest.json").unlink()
    return run.folder, "manifest.json: expected a file of a run, found: No such file"


def _corrupt_manifest(run):
    (run.folder / "manifest.json").write_text('{"schema_version": 1,')
    return run.folder, "manifest.json: expected JSON"


def _binary_manifest(run):
    (run.folder / "manifest.json").write_bytes(b"\xff\xfe\x00")
    return run.folder, "manifest.json: expected JSON"


def _deep_manifest(run):
    (run.folder / "manifest.json").write_text("[" * 200_000)
    return run.folder, "manifest.json: expected JSON"


def _list_manifest(run):
    (run.folder / "manifest.json").write_text("[]")
    return run.folder, "manifest.json: expected a JSON object, found list"


def _newer_manifest(run):
    run.write_manifest(schema_version=3, experiments="another layout")
    return run.folder, "manifest.json: expected schema_version up to 2, found 3"


def _unknown_status(run):
    run.write_manifest(status="done")
    return run.folder, "manifest.json: expected the manifest of a run, found: Invalid enum value 'done'"


def _text_cases(run):
    run.write_manifest(experiments={"demo": {"cases": "three"}})
    return run.folder, "manifest.json: expected the manifest of a run"


def _missing_raw(run):
    run.raw.unlink()
    return run.folder, "demo.jsonl: expected a file of a run, found: No such file"


def _corrupt_middle(run):
    lines = run.raw.read_text().splitlines()
    run.raw.write_text("\n".join([lines[0], lines[1][:-5], lines[2]]) + "\n")
    run.write_manifest(status="interrupted")
    return run.folder, "demo.jsonl:2: expected JSON"


def _cut_in_a_whole_run(run):
    run.raw.write_text(run.raw.read_text()[:-5])
    return run.folder, "demo.jsonl:3: expected JSON"


def _row_without_status(run):
    run.raw.write_text('{"case": "a"}\n{"case": "b", "status": "ok"}\n')
    return run.folder, "demo.jsonl:1: expected a row with a text 'status', found None"


def _file_for_tables(run):
    (run.folder / "tables").write_text("in the way")
    return run.folder, "tables/speeds.csv: expected a file that can be written"


def _file_for_figures(run):
    (run.folder / "figures").write_text("in the way")
    return run.folder, "figures/speeds.svg: expected a file that can be written"


def _folder_for_page(run):
    (run.folder / "report.html").mkdir()
    return run.folder, "report.html: expected a file that can be written"


@pytest.mark.parametrize(
    "spoil",
    [
        _no_folder, _file_for_folder, _no_manifest, _corrupt_manifest, _binary_manifest, _deep_manifest, _list_manifest,
        _newer_manifest, _unknown_status, _text_cases, _missing_raw, _corrupt_middle, _cut_in_a_whole_run,
        _row_without_status, _file_for_tables, _file_for_figures, _folder_for_page,
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_that_names_the_file(fake_run, spoil):
    folder, message = spoil(fake_run)
    with pytest.raises(BenchError) as caught:
        build_report(folder, lambda _: None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unwritable_figures_are_an_error_of_an_interrupted_run_too(fake_run):
    fake_run.write_manifest(status="interrupted")
    _file_for_figures(fake_run)
    with pytest.raises(BenchError, match="figures/speeds.svg"):
        _build(fake_run)
