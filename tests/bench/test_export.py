"""`ehrbench export`: what goes out is what the run holds, whole, described, and the same bytes each time."""

import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

import bench
from bench.__main__ import main
from bench.errors import BenchError
from bench.loading import Run
from bench.report.bibtex import read_citation, write_bibtex
from bench.report.export import export_tables


@pytest.fixture
def run(demo_run: Path) -> Run:
    return bench.load(demo_run)


def names_of(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


# -- tables ------------------------------------------------------------------------------------------------------


def test_csv_is_the_runs_own_with_a_dictionary(run: Run, tmp_path: Path) -> None:
    assert names_of(export_tables(run, "csv", [], tmp_path / "out")) == ["speeds.csv", "means.csv", "dictionary.csv"]
    for name in ("speeds", "means"):
        assert (tmp_path / "out" / f"{name}.csv").read_bytes() == run.read_file(f"tables/{name}.csv")
    found = pd.read_csv(tmp_path / "out" / "dictionary.csv")
    assert found["column"].tolist() == ["library", "is_native", "speed", "note", "library", "extra"]
    assert found.set_index("column").loc["speed", "unit"] == "MB/s"


def test_parquet_is_what_csv_holds_with_its_types(run: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export_tables(run, "parquet", ["speeds"], tmp_path / "out")
    path = tmp_path / "out" / "speeds.parquet"
    found, built = pd.read_parquet(path), run.tables["speeds"]
    pd.testing.assert_frame_equal(found, built)
    assert found.attrs["units"] == {"speed": "MB/s"}
    schema = parquet.read_schema(path)
    assert schema.metadata[b"caption"] == b"Speed by library, 100 % measured_here."
    assert schema.metadata[b"record_sha256"].decode() == run.record_sha256
    about = schema.field("speed").metadata
    assert (about[b"unit"], about[b"title"]) == (b"MB/s", b"Speed")


def test_latex_is_the_runs_own(run: Run, tmp_path: Path) -> None:
    paths = export_tables(run, "latex", ["means", "speeds"], tmp_path / "all.tex")
    assert names_of(paths) == ["all.tex", "all.dictionary.tex"]
    own = [run.read_file(f"tables/{name}.tex") for name in ("means", "speeds")]
    assert paths[0].read_bytes() == b"\n".join(own)
    assert r"\label{tab:dictionary}" in paths[1].read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_long_form_has_every_cell_once(run: Run, tmp_path: Path, form: str) -> None:
    pytest.importorskip("pyarrow")
    (path, _) = export_tables(run, form, [], tmp_path / f"long.{form}", is_long=True)
    found = pd.read_csv(path, na_filter=False) if form == "csv" else pd.read_parquet(path).astype(object).fillna("")
    # No column of this table names a row, so all of them are cells.
    speeds = found[found["table"] == "speeds"]
    assert len(found) == 3 * 4 + 3 * 2
    first = speeds[speeds["row"] == 1].set_index("column")
    assert (float(first.loc["speed", "number"]), first.loc["speed", "unit"]) == (12345.678, "MB/s")
    assert (first.loc["library", "text"], float(first.loc["is_native", "number"])) == ("a_lib", 1.0)
    second = speeds[speeds["row"] == 2].set_index("column")
    assert (second.loc["speed", "number"], second.loc["speed", "text"]) == ("", ""), "missing, and not 0"


def test_rows_of_the_long_form_are_named(two_runs: Any, tmp_path: Path) -> None:
    (path, _) = export_tables(
        bench.load(two_runs.write_tables("a")), "csv", ["ratios"], tmp_path / "x.csv", is_long=True
    )
    found = pd.read_csv(path)
    assert "library=slow, size_bytes=64" in set(found["name"])
    assert "library=A/A control, size_bytes=64, is_control=True" in set(found["name"])
    slow = found[found["name"].eq("library=slow, size_bytes=64")].set_index("column")
    assert (slow.loc["ratio", "number"], slow.loc["verdict", "text"]) == (2.0, "slower")


@pytest.mark.parametrize("form", ["csv", "parquet", "latex"])
def test_the_same_run_gives_the_same_bytes(run: Run, tmp_path: Path, form: str) -> None:
    pytest.importorskip("pyarrow")
    one, other = (export_tables(run, form, [], tmp_path / name) for name in ("one", "other"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


@pytest.mark.parametrize(
    ("form", "names", "target", "is_long", "expected"),
    [
        ("csv", ["sped"], "out", False, "table: expected one such as speeds, found 'sped'"),
        ("csv", [], "out.parquet", False, "-o: expected a folder or a file that ends in .csv, found "),
        ("csv", [], "out.csv", False, "-o: expected a folder, one table or --long, found "),
        ("latex", [], "out", True, "--long: expected csv or parquet, found latex"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    run: Run, tmp_path: Path, form: str, names: list[str], target: str, is_long: bool, expected: str
) -> None:
    with pytest.raises(BenchError) as error:
        export_tables(run, form, names, tmp_path / target, is_long=is_long)
    assert str(error.value).startswith(expected)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_written_into(run: Run) -> None:
    with pytest.raises(BenchError, match=r"^-o: expected a place outside of the run"):
        export_tables(run, "csv", [], run.folder / "tables" / "more")


def test_an_edited_table_is_not_handed_on(demo_run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(demo_run, tmp_path / "copy"))
    path = folder / "tables" / "means.csv"
    path.write_bytes(path.read_bytes().replace(b"1.0", b"0.1"))
    for form in ("csv", "parquet"):
        with pytest.raises(BenchError, match=r"means.csv: expected the SHA-256"):
            export_tables(bench.load(folder), form, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_pyarrow_the_line_says_how_to_install_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.delattr(pyarrow, "parquet", raising=False)
    with pytest.raises(BenchError, match=r"^parquet: expected pyarrow, found none \(install it with: pip install"):
        export_tables(run, "parquet", [], tmp_path / "out")


# -- how to cite a run -------------------------------------------------------------------------------------------


def parse_bibtex(text: str) -> dict[str, dict[str, str]]:
    """Entries by key; a strict reader of BibTeX's grammar: balanced braces, one value per field, nothing between."""
    entries: dict[str, dict[str, str]] = {}
    rest = text
    while rest.strip():
        head = re.match(r"\s*@([a-z]+)\{([A-Za-z0-9._:-]+),\s*", rest)
        assert head, f"no entry begins here: {rest[:40]!r}"
        key, rest = head[2], rest[head.end() :]
        assert key not in entries
        fields = {"type": head[1]}
        while not rest.startswith("}"):
            name = re.match(r"([a-z_0-9]+) = \{", rest)
            assert name, f"no field of {key} begins here: {rest[:40]!r}"
            end, depth = name.end(), 1
            while depth:
                depth += {"{": 1, "}": -1}.get(rest[end], 0)  # behind a backslash, too
                end += 1
            assert name[1] not in fields
            fields[name[1]] = rest[name.end() : end - 1]
            comma = re.match(r",\s*", rest[end:])
            assert comma
            rest = rest[end + comma.end() :]
        entries[key], rest = fields, rest[1:]
    return entries


def test_the_entries_cite_run_software_and_paper(run: Run) -> None:
    entries = parse_bibtex(write_bibtex(run))
    own = entries[f"ehrbench-run-{str(run.record_sha256)[:12]}"]
    assert (own["type"], own["record_sha256"], own["commit"]) == ("misc", run.record_sha256, "c0ffee")
    assert (own["year"], own["month"], own["date"]) == ("2022", "7", "2022-07-19")
    assert run.id in own["title"]
    assert entries["ehrbench"]["title"] == f"{{{read_citation().title}}}"
    paper = entries["amanat2022"]
    assert (paper["type"], paper["doi"], paper["year"]) == ("article", "10.3389/fpubh.2022.938707", "2022")
    assert paper["author"].startswith("Amanat, Amna and Rizwan, Muhammad and ")


def test_what_latex_would_take_for_its_own_is_escaped(run: Run) -> None:
    manifest = {**run.manifest, "machine": {"cpu": "50% {of} a_CPU & more } #1"}, "status": "interrupted",
                "git": {"commit": "c0ffee", "is_dirty": True}}  # fmt: skip
    entries = parse_bibtex(write_bibtex(Run(run.folder, manifest)))
    note = next(iter(entries.values()))["note"]
    assert r"50\% \textbraceleft{}of\textbraceright{} a\_CPU \& more \textbraceright{} \#1" in note
    assert "with changes since" in note
    assert "the run is interrupted" in note


def test_a_person_without_a_given_name_and_a_group_are_authors(tmp_path: Path) -> None:
    path = tmp_path / "CITATION.cff"
    path.write_text("title: T\nauthors:\n  - name: The X & Y\n  - family-names: Z\n", encoding="utf-8")
    work = read_citation(path)
    assert [str(person) for person in work.authors] == [r"{The X \& Y}", "Z"]
    path.write_text("title: [", encoding="utf-8")
    with pytest.raises(BenchError, match=r"^CITATION.cff: expected what this software is cited by, found: "):
        read_citation(path)


# -- the command -------------------------------------------------------------------------------------------------


def call(*words: object) -> int:
    try:
        main(["export", *map(str, words)])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_names_what_it_wrote(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(run.folder, "means", "-o", tmp_path / "means.csv") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(tmp_path / "means.csv"), str(tmp_path / "means.dictionary.csv")]
    assert err == ""


def test_the_current_folder_is_one_to_write_to(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(run.folder, "means", "-o", ".") == 0
    assert (tmp_path / "means.csv").exists()


def test_the_command_prints_bibtex_or_writes_it(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(run.folder, "--format", "bibtex") == 0
    printed = capsys.readouterr().out
    assert call(run.folder, "--format", "bibtex", "-o", tmp_path / "x.bib") == 0
    assert (tmp_path / "x.bib").read_text(encoding="utf-8") == printed
    assert len(parse_bibtex(printed)) == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "-o: expected a folder or a file to write csv to, found none"),
        (("--format", "bibtex", "means"), "--format bibtex: expected no table, found means"),
        (("--format", "xlsx"), "'xlsx' is not one of 'csv', 'parquet', 'latex', 'bibtex'"),
        (("men", "-o", "out"), "table: expected one such as means, found 'men'"),
    ],
)
def test_bad_words_are_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    assert call(run.folder, *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1


def test_long_frames_survive_json(run: Run, tmp_path: Path) -> None:
    """Nothing of the long form is an object of pandas' own."""
    (path, _) = export_tables(run, "csv", [], tmp_path / "x.csv", is_long=True)
    records = pd.read_csv(io.BytesIO(path.read_bytes())).astype(object).to_dict("records")
    assert json.loads(msgspec.json.encode(records))
