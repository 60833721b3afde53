"""Drift: everything that is derived is made again elsewhere, and whatever differs is named."""

import json
import os
import shutil
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.record import RunDirectory
from bench.report import build_report
from bench.report.build import round_numbers
from bench.report.drift import find_drift
from bench.report.load import read_content, read_rows

ROOT = Path(__file__).parents[2]


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _seal(folder):
    held = RunDirectory.load(folder)
    held.seal_derived()
    held.release()


@pytest.fixture
def kept(fake_run):
    """A complete run with everything that can be derived."""
    fake_run.seal()
    (fake_run.folder / "report.pdf").touch()
    build_report(fake_run.folder, lambda _: None)
    _seal(fake_run.folder)
    return fake_run.folder


def test_a_run_as_its_report_was_written_has_not_drifted_and_is_not_touched(kept, capsys):
    before = _files(kept)
    main(["report", str(kept), "--check"])
    assert capsys.readouterr().out.endswith("derived files are what the rows give, byte for byte\n")
    assert _files(kept) == before
    assert {"report.pdf", "figures/speeds.pdf", "tables/all.tex", "facts.json"} <= {*before}


def test_every_derived_file_that_is_deleted_is_missed_and_comes_back_the_same(kept):
    before = _files(kept)
    derived = [name for name in before if name.startswith(("tables/", "figures/", "report.", "claims", "facts"))]
    for name in derived:
        if name != "report.pdf":  # made on request alone, so nobody misses it
            (kept / name).unlink()
    lines, _ = find_drift(kept)
    assert lines == [f"{name}: missing" for name in sorted(derived) if name != "report.pdf"]
    (kept / "report.pdf").unlink()
    (kept / "report.pdf").touch()
    build_report(kept, lambda _: None)
    _seal(kept)
    assert _files(kept) == before


def _plant(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def test_one_changed_digit_is_named_with_its_place(kept, capsys):
    _plant(kept / "tables" / "speeds.csv", b"12345.678", b"12345.679")
    with pytest.raises(SystemExit) as end:
        main(["report", str(kept), "--check"])
    assert end.value.code == 1
    out, err = capsys.readouterr()
    assert out == (
        "tables/speeds.csv: differs in line 2: expected 'a_lib,True,12345.678,', found 'a_lib,True,12345.679,'\n"
    )
    assert err == f"ehrbench: {kept} has drifted: ehrbench report {kept} writes it anew\n"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("figures/speeds.svg", b"width=", b"width ="),
        ("figures/speeds.png", b"IDAT", b"IDAU"),
        ("figures/speeds.pdf", b"/Type /Catalog", b"/Type /Catalog "),
        ("report.pdf", b"%PDF", b"%PDF "),
        ("report.html", b"12300", b"12301"),
        ("report.md", b"12300", b"12301"),
        ("claims.json", b'"not testable here"', b'"supported"'),
        ("facts.json", b'"46"', b'"47"'),
        ("tables/speeds.tex", b"12300", b"12301"),
        ("tables/all.tex", b"speeds", b"speedy"),
    ],
)
def test_a_planted_change_is_named_by_its_file(kept, name, old, new):
    _plant(kept / name, old, new)
    lines, _ = find_drift(kept)
    assert [line.partition(": ")[0] for line in lines] == [name]
    assert lines[0].startswith(f"{name}: differs")


def test_files_that_nothing_makes_and_digests_of_others_are_named(kept):
    (kept / "tables" / "old.csv").write_text("a\n1\n")
    (kept / "notes.txt").write_text("mine")
    _plant(kept / "manifest.json", b'"tables/means.csv": "', b'"tables/means.csv": "0')
    lines, _ = find_drift(kept)
    assert lines == [
        "tables/old.csv: too much, nothing of the run makes it",
        "manifest.json: has another digest of tables/means.csv",
        "notes.txt: too much, the run did not record it",
    ]


def test_tables_keep_twelve_digits_of_numbers_and_their_types():
    import pandas as pd

    frame = pd.DataFrame({
        "float": [1 / 3, float("nan")], "int": [2**60, 1], "bool": [True, False], "text": ["0.1234567890123456", ""],
        "mixed": pd.Series([0.1 + 0.2, None], dtype=object), "list": [[1 / 3, 2], ["a"]],
    })  # fmt: skip
    found = round_numbers(frame)
    assert list(found.dtypes) == list(frame.dtypes)
    assert found["float"].iloc[0] == 0.333333333333
    assert found["int"].iloc[0] == 2**60
    assert found["text"].iloc[0] == "0.1234567890123456"
    assert found["mixed"].tolist() == [0.3, None]
    assert found["list"].iloc[0] == [0.333333333333, 2]
    assert frame["float"].iloc[0] == 1 / 3


@pytest.mark.slow
def test_another_process_folder_hash_seed_time_zone_and_locale_give_the_same_bytes(tmp_path):
    """Of real experiments: those of the reference run's Table 1."""
    folder = _keep_table1(tmp_path / "one")
    other = tmp_path / "other" / "a folder"
    shutil.copytree(folder, other)
    worlds = {
        folder: {"PYTHONHASHSEED": "1", "TZ": "Asia/Kolkata", "LC_ALL": "C"},
        other: {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
    }
    for place, changes in worlds.items():
        (place / "report.pdf").touch()
        words = [sys.executable, "-m", "bench", "report", str(place)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | changes
        subprocess.run(words, env=environment, cwd=place, capture_output=True, check=True, timeout=120)
    assert _files(folder) == _files(other)


def _keep_table1(results):
    known = read_content(ROOT / "results" / "reference")
    content = {key: known[key] for key in ("scenario", "seed", "workload", "machine", "versions", "git", "sittings")}
    content["experiments"] = {"table1": {"status": "complete", "cases": 1}}
    made = RunDirectory.create(results, "demo", json.loads(json.dumps(content)))
    rows = read_rows(ROOT / "results" / "reference" / "raw" / "table1.jsonl", may_be_cut=False).rows
    for case, group in groupby(rows, key=lambda row: row["case"]):
        made.append("table1", case, [{k: v for k, v in row.items() if k not in {"part", "parts"}} for row in group])
    made.finish("complete")
    made.release()
    return made.folder
