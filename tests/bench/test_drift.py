"""Drift: everything that is derived is made again elsewhere, and whatever differs is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.record import is_derived
from bench.report.build import round_numbers
from bench.report.drift import find_drift

ROOT = Path(__file__).parents[2]


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_as_its_report_was_written_has_not_drifted_and_is_not_touched(reported_run, capsys):
    before = _files(reported_run)
    main(["report", str(reported_run), "--check"])
    assert capsys.readouterr().out.endswith("derived files are what the rows give, byte for byte\n")
    assert _files(reported_run) == before
    assert {"report.pdf", "figures/speeds.pdf", "tables/all.tex", "facts.json", "ro-crate-metadata.json"} <= {*before}


def test_every_derived_file_that_is_deleted_is_missed_and_comes_back_the_same(reported_run):
    before = _files(reported_run)
    derived = [name for name in before if is_derived(name)]
    for name in derived:
        (reported_run / name).unlink()
    lines, _ = find_drift(reported_run)
    assert lines == [f"{name}: missing" for name in sorted(derived)]
    main(["report", str(reported_run)])
    assert _files(reported_run) == before


def _plant(path, old, new):
    data = path.read_bytes()
    assert old in data, path
    path.write_bytes(data.replace(old, new, 1))


PLANTED = {
    "claims.json": (b'"not testable here"', b'"supported"'),
    "facts.json": (b'"46"', b'"47"'),
    "figures/speeds.pdf": (b"/Type /Catalog", b"/Type /Catalog "),
    "figures/speeds.png": (b"IDAT", b"IDAU"),
    "figures/speeds.svg": (b"width=", b"width ="),
    "report.html": (b"12300", b"12301"),
    "report.md": (b"12300", b"12301"),
    "report.pdf": (b"%PDF", b"%PDF "),
    "ro-crate-metadata.json": (b"RO-Crate", b"RO-crate"),
    "tables/all.tex": (b"speeds", b"speedy"),
    "tables/speeds.csv": (b"12345.678", b"12345.679"),
    "tables/speeds.tex": (b"12300", b"12301"),
}


def test_a_planted_change_of_any_file_is_named_and_so_is_what_nothing_makes(reported_run, capsys):
    for name, (old, new) in PLANTED.items():
        _plant(reported_run / name, old, new)
    _plant(reported_run / "manifest.json", b'"tables/means.csv": "', b'"tables/means.csv": "0')
    (reported_run / "tables" / "old.csv").write_text("a\n1\n")
    (reported_run / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as end:
        main(["report", str(reported_run), "--check"])
    assert end.value.code == 1
    out, err = capsys.readouterr()
    named = [line.partition(":")[0] for line in out.splitlines()]
    assert named == [*sorted([*PLANTED, "manifest.json", "tables/old.csv"]), "notes.txt"]
    lines = dict(zip(named, out.splitlines(), strict=True))
    assert lines["tables/speeds.csv"] == (
        "tables/speeds.csv: differs in line 2: expected 'a_lib,True,12345.678,', found 'a_lib,True,12345.679,'"
    )
    assert lines["manifest.json"].startswith("manifest.json: differs in line ")
    assert "means.csv" in lines["manifest.json"]
    assert lines["tables/old.csv"].endswith(": too much, nothing of the run makes it")
    assert lines["notes.txt"].endswith(": too much, the run did not record it")
    assert all(": differs" in lines[name] for name in PLANTED)
    anew = f"ehrbench report {reported_run} writes it anew, but for what is too much: that is to be deleted"
    assert err == f"ehrbench: {reported_run} has drifted: {anew}\n"


def test_tables_keep_nine_digits_of_fractions_and_all_of_whole_numbers():
    import pandas as pd

    frame = pd.DataFrame({
        "float": [1 / 3, float("nan")], "whole": [1234567890123.0, float("inf")], "int": [2**60, 1],
        "bool": [True, False], "text": ["0.1234567890123456", ""],
        "mixed": pd.Series([0.1 + 0.2, None], dtype=object), "list": [[1 / 3, 2], ["a"]],
    })  # fmt: skip
    found = round_numbers(frame)
    assert list(found.dtypes) == list(frame.dtypes)
    assert found["float"].iloc[0] == 0.333333333
    assert found["whole"].iloc[0] == 1234567890123.0
    assert found["int"].iloc[0] == 2**60
    assert found["text"].iloc[0] == "0.1234567890123456"
    assert found["mixed"].tolist() == [0.3, None]
    assert found["list"].iloc[0] == [0.333333333, 2]
    assert frame["float"].iloc[0] == 1 / 3


WORLDS = (
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Kolkata", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "C.UTF-8"},
)
DEMO = """
import runpy, sys
from bench import __main__, experiments
demo = runpy.run_path(sys.argv[1])["DEMO"]
experiments.find_experiment = lambda _: demo
__main__.main(sys.argv[2:])
"""


def _report_in_two_worlds(run, tmp_path, *command):
    """The files of copies of ``run`` in two folders whose reports two processes have written."""
    places = [tmp_path / "one", tmp_path / "another" / "folder"]
    for place, changes in zip(places, WORLDS, strict=True):
        shutil.copytree(run, place)
        (place / "report.pdf").touch()
        words = [sys.executable, *command, "report", str(place)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | changes
        subprocess.run(words, env=environment, cwd=place, capture_output=True, check=True, timeout=300)
    return [*map(_files, places)]


@pytest.mark.slow
def test_another_process_folder_hash_seed_time_zone_and_locale_give_the_same_bytes(fake_run, tmp_path):
    fake_run.seal()
    one, other = _report_in_two_worlds(
        fake_run.folder, tmp_path, "-c", DEMO, str(Path(__file__).with_name("conftest.py"))
    )
    assert one == other
    assert {"report.pdf", "figures/speeds.pdf", "ro-crate-metadata.json"} <= {*one}


@pytest.mark.long
def test_so_they_do_of_an_experiment_of_the_suite(table1_run, tmp_path):
    one, other = _report_in_two_worlds(table1_run, tmp_path, "-m", "bench")
    assert one == other
    assert {"report.pdf", "figures/table1_throughput.pdf"} <= {*one}
