"""`bench.load`: what a run's files say, with its types, and nothing that was edited."""

import doctest
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bench
from bench import loading
from bench.errors import BenchError
from bench.experiments.base import Experiment
from bench.record import RunDirectory
from bench.report import read_report
from bench.report.schema import write_package

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(demo_run: Path) -> Path:
    return demo_run


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def values_of(frame: pd.DataFrame) -> list[list[Any]]:
    return [[None if pd.isna(cell) or cell == "" else cell for cell in frame[name].tolist()] for name in frame]


def test_tables_are_those_that_were_built(built: Path, demo: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: demo)
    run = bench.load(built)
    frames = {item.table.name: item.frame for section in read_report(built).sections for item in section.tables}
    assert list(run.tables) == list(frames)
    for name, frame in run.tables.items():
        assert list(frame) == list(frames[name])
        assert values_of(frame) == values_of(frames[name])
    assert run.tables["speeds"]["is_native"].dtype == bool
    assert run.tables["speeds"]["speed"].dtype == "float64"


def test_a_frame_says_what_it_holds(built: Path) -> None:
    attrs = bench.load(built).tables["speeds"].attrs
    assert attrs["units"] == {"speed": "MB/s"}
    assert attrs["titles"]["note"] == "Note & remark"
    assert attrs["caption"] == "Speed by library, 100 % measured_here."


def test_what_a_user_does_to_a_frame_stays_with_it(built: Path) -> None:
    tables = bench.load(built).tables
    frame = tables["speeds"]
    frame["speed"] = 0
    assert tables["speeds"]["speed"].iloc[0] == 12345.678


def test_raw_rows_are_all_there(built: Path) -> None:
    run = bench.load(built)
    frame = run.raw("demo")
    assert len(frame) == 3
    assert frame["case"].tolist() == ["a", "b", "c"]
    assert run.rows("demo")[1]["note"] == "50% of $x_1 & #2"


def test_facts_of_the_run(built: Path) -> None:
    run = bench.load(built)
    assert (run.status, run.profile, run.experiments) == ("complete", "smoke", ("demo",))
    assert run.machine["cpu"] == "A <fast> CPU"
    assert run.versions["python"] == "3.11.7"
    assert run.git["commit"] == "c0ffee"
    assert run.manifest["record_sha256"] == run.record_sha256
    assert "complete, demo)" in repr(run)


def test_claims_and_their_evidence(built: Path) -> None:
    run = bench.load(built)
    content = json.loads((built / "claims.json").read_text(encoding="utf-8"))["claims"]
    assert run.claims["verdict"].tolist() == [one["verdict"] for one in content]
    assert len(run.evidence) == sum(len(one["evidence"]) for one in content)
    assert set(run.evidence["id"]) <= set(run.claims["id"])


def test_the_dictionary_is_of_the_tables_that_are_named(built: Path) -> None:
    run = bench.load(built)
    assert set(run.dictionary()["table"]) == {"speeds", "means"}
    speed = run.dictionary("speeds").set_index("column").loc["speed"]
    assert (speed["unit"], speed["type"], speed["title"]) == ("MB/s", "float64", "Speed")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("tables/speeds.csv", lambda run: run.tables["speeds"]),
        ("raw/demo.jsonl", lambda run: run.raw("demo")),
        ("claims.json", lambda run: run.claims),
        ("tables/datapackage.json", lambda run: run.tables),
    ],
)
def test_what_was_edited_is_refused_when_it_is_read(folder: Path, name: str, read: Any) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b"0.25", b"9.25") + (b" " if name.endswith("json") else b""))
    run = bench.load(folder)
    with pytest.raises(BenchError, match=rf"{name}: expected the SHA-256 .* found another content: it was changed"):
        read(run)
    read(bench.load(folder, check=False))


def test_an_edited_manifest_is_refused_at_once(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace("fast", "slow"), encoding="utf-8")
    with pytest.raises(BenchError, match=r"manifest.json: expected what its record_sha256 was taken of"):
        bench.load(folder)
    assert bench.load(folder, check=False).machine["cpu"] == "A <slow> CPU"


@pytest.mark.parametrize("name", ["tables/speeds.csv", "raw/demo.jsonl"])
def test_a_file_that_is_gone_is_one_line(folder: Path, name: str) -> None:
    (folder / name).unlink()
    run = bench.load(folder)
    with pytest.raises(BenchError, match=rf"{name}: expected a file of a run, found: No such file"):
        run.tables["speeds"] if name.startswith("tables") else run.raw("demo")


def test_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    for place, expected in (
        (tmp_path / "none", "found nothing"),
        (tmp_path, "manifest.json: expected a file of a run"),
    ):
        with pytest.raises(BenchError, match=expected) as error:
            bench.load(place)
        assert "\n" not in str(error.value)


def test_a_wrong_name_is_told_with_the_nearest(built: Path) -> None:
    run = bench.load(built)
    with pytest.raises(BenchError, match=r"^table: expected one such as speeds, found 'sped'$"):
        run.tables["sped"]
    with pytest.raises(KeyError):
        run.tables["sped"]
    assert run.tables.get("sped") is None
    assert "speeds" in run.tables
    with pytest.raises(BenchError, match=r"^experiment: expected one of demo, found 'x'$"):
        run.raw("x")
    with pytest.raises(BenchError, match=r"^table: expected one of "):
        run.dictionary("qqq")


def test_runs_without_a_description_are_read_by_their_cells(
    folder: Path, demo: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of older versions: units are those of today's tables."""
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: demo)
    (folder / "tables" / "datapackage.json").unlink()
    frame = bench.load(folder).tables["speeds"]
    assert frame["is_native"].dtype == bool
    assert frame.attrs["units"] == {"speed": "MB/s"}


def test_a_run_without_a_report_has_rows_and_no_table(
    folder: Path, demo: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: demo)
    shutil.rmtree(folder / "tables")
    (folder / "claims.json").unlink()
    run = bench.load(folder)
    assert len(run.tables) == 0
    assert len(run.raw("demo")) == 3
    with pytest.raises(BenchError, match=r"claims.json: expected verdicts, found none \(ehrbench report"):
        _ = run.claims


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"claims": [1]}'])
def test_verdicts_that_are_none_are_one_line(folder: Path, text: str) -> None:
    (folder / "claims.json").write_text(text)
    with pytest.raises(BenchError, match=r"claims.json: expected a file of verdicts, found: "):
        _ = bench.load(folder, check=False).evidence


def test_several_runs_have_a_column_that_names_them(folder: Path, built: Path) -> None:
    runs = bench.load_all([folder, built])
    frame = runs.tables["speeds"]
    assert next(iter(frame)) == "run"
    assert frame["run"].tolist() == ["copy"] * 3 + [built.name] * 3
    assert frame.attrs["units"] == {"speed": "MB/s"}
    assert frame["is_native"].dtype == bool
    assert len(runs.raw("demo")) == 6
    assert len(runs.claims) == 2 * len(bench.load(built).claims)
    assert bench.load_all({"one": folder}).tables["means"]["run"].unique().tolist() == ["one"]


def test_runs_of_one_name_need_others(built: Path) -> None:
    for folders in ([built, built], [], {}):
        with pytest.raises(BenchError, match=r"^runs: expected folders of different names, or a mapping"):
            bench.load_all(folders)
    with pytest.raises(BenchError, match=r"^runs: expected several folders, found one text"):
        bench.load_all(str(built))


def test_runs_that_mean_another_unit_are_not_mixed(folder: Path, built: Path) -> None:
    """Milliseconds below nanoseconds would be a wrong table that looks right."""
    path = folder / "tables" / "datapackage.json"
    path.write_text(path.read_text(encoding="utf-8").replace("MB/s", "GB/s"), encoding="utf-8")
    held = RunDirectory.load(folder)
    held.seal_derived()
    held.release()
    runs = bench.load_all([built, folder])
    with pytest.raises(BenchError, match=r"^speed: expected the unit 'MB/s' in all runs, found 'GB/s' in copy$"):
        runs.tables["speeds"]


def test_the_same_report_gives_the_same_description(
    folder: Path, demo: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: demo)
    assert write_package(read_report(folder)) == bench.load(folder).read_file("tables/datapackage.json")


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, bench\nassert not {'pandas', 'numpy', 'msgspec', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_the_examples_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(loading)
    assert (found.failed, found.attempted > 5) == (0, True)
