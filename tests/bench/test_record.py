"""A run on disk: it says what it is from the first moment, its names never collide, its seal covers every file."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench import record
from bench.errors import BenchError
from bench.record import RunDirectory, newest_run, require_writable


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "results", "smoke", {"seed": "a seed"})


# -- status ------------------------------------------------------------------------------------------------------


def test_a_run_is_running_from_the_first_moment(run: RunDirectory) -> None:
    manifest = manifest_of(run.folder)
    assert (manifest["status"], manifest["finished"]) == ("running", None)
    assert (manifest["run_id"], manifest["profile"], manifest["seed"]) == (run.folder.name, "smoke", "a seed")
    assert (manifest["schema_version"], manifest["experiments"], manifest["files"]) == (1, {}, {})
    assert (run.folder / "raw").is_dir()


@pytest.mark.parametrize("status", ["complete", "interrupted", "failed"])
def test_the_end_is_written_with_its_time(run: RunDirectory, status: Any) -> None:
    run.finish(status)
    manifest = manifest_of(run.folder)
    assert manifest["status"] == status
    assert manifest["finished"] >= manifest["started"]


def test_a_crash_while_saving_leaves_the_manifest_that_was(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    before = manifest_of(run.folder)

    def crash(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(BenchError, match="manifest.json: expected a file that can be written, found: No space left"):
        run.finish("complete")
    assert manifest_of(run.folder) == before
    assert {path.name for path in run.folder.iterdir()} == {"raw", "manifest.json"}


def test_what_json_cannot_hold_never_gets_into_a_manifest(run: RunDirectory) -> None:
    before = manifest_of(run.folder)
    run.manifest["noise"] = {"share": float("nan")}
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.save()
    assert manifest_of(run.folder) == before


# -- names -------------------------------------------------------------------------------------------------------


def test_names_say_time_and_profile(run: RunDirectory) -> None:
    stamp, _, profile = run.folder.name.partition("-")
    assert profile == "smoke"
    assert len(stamp) == len("20220719T000000Z")
    assert stamp[8] == "T"


def test_names_never_collide(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: RunDirectory.create(tmp_path, "smoke", {}), range(24)))
    assert len({run.folder for run in runs}) == 24
    assert {manifest_of(run.folder)["run_id"] for run in runs} == {path.name for path in tmp_path.iterdir()}


# -- where a run cannot be kept ----------------------------------------------------------------------------------


def _a_file(folder: Path) -> Path:
    (folder / "file").write_text("mine")
    return folder / "file"


def _below_a_file(folder: Path) -> Path:
    return _a_file(folder) / "results"


def _a_broken_link(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "nowhere" / "at" / "all")
    return folder / "link"


def _name_too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


@pytest.mark.parametrize("make", [_a_file, _below_a_file, _a_broken_link, _name_too_long])
@pytest.mark.parametrize("attempt", [require_writable, lambda path: RunDirectory.create(path, "smoke", {})])
def test_results_that_cannot_be_written_are_one_line_and_leave_nothing(tmp_path: Path, make: Any, attempt: Any) -> None:
    results = make(tmp_path)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(BenchError) as caught:
        attempt(results)
    assert str(caught.value).startswith(f"{results}: expected a folder that can be written, found: ")
    assert "\n" not in str(caught.value)
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BenchError, match="found: Permission denied"):
        require_writable(tmp_path)


def test_looking_whether_results_can_be_written_leaves_an_empty_folder(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_many_runs_may_look_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: require_writable(tmp_path), range(200)))
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_users_is_never_taken_for_a_probe(tmp_path: Path) -> None:
    (tmp_path / ".writable").write_text("mine")
    require_writable(tmp_path)
    assert (tmp_path / ".writable").read_text() == "mine"


# -- rows --------------------------------------------------------------------------------------------------------


def test_each_row_is_in_its_file_when_the_call_returns(run: RunDirectory) -> None:
    rows = [{"case": "a", "status": "ok", "text": "Müller\n\u2028", "number": 0.1}, {"case": "b", "status": "failed"}]
    for count, row in enumerate(rows, start=1):
        run.append("demo", row)
        lines = (run.folder / "raw" / "demo.jsonl").read_text(encoding="utf-8").split("\n")
        assert [json.loads(line) for line in lines[:-1]] == rows[:count]
        assert lines[-1] == ""


def test_a_row_that_cannot_be_kept_is_one_line(run: RunDirectory) -> None:
    (run.folder / "raw" / "demo.jsonl").mkdir()
    with pytest.raises(BenchError, match="demo.jsonl: expected a file that can be written, found: Is a directory"):
        run.append("demo", {"case": "a", "status": "ok"})


# -- seal --------------------------------------------------------------------------------------------------------


def digests_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def test_the_seal_covers_every_file_with_its_digest(run: RunDirectory) -> None:
    run.append("demo", {"case": "a", "status": "ok"})
    for name in ("report.html", "tables/a.csv", "figures/deep/b.svg", "ledgers/c.db", ".hidden"):
        path = run.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    run.seal()
    found = manifest_of(run.folder)["files"]
    assert found == digests_of(run.folder)
    assert len(found) == 6
    assert list(found) == sorted(found)


def test_a_report_made_again_keeps_the_digests_of_what_was_measured(run: RunDirectory) -> None:
    run.append("demo", {"case": "a", "status": "ok"})
    for name in ("report.html", "tables/a.csv", "tables/old.csv"):
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).write_text("first")
    run.seal()
    measured = manifest_of(run.folder)["files"]["raw/demo.jsonl"]
    run.append("demo", {"case": "forged", "status": "ok"})
    (run.folder / "tables" / "a.csv").write_text("second")
    (run.folder / "tables" / "old.csv").unlink()
    RunDirectory.load(run.folder).seal(keep_measured=True)
    found = manifest_of(run.folder)["files"]
    assert found["raw/demo.jsonl"] == measured
    assert found["tables/a.csv"] == hashlib.sha256(b"second").hexdigest()
    assert list(found) == ["raw/demo.jsonl", "report.html", "tables/a.csv"]


def test_a_manifest_without_digests_can_be_sealed(run: RunDirectory) -> None:
    del run.manifest["files"]
    run.save()
    RunDirectory.load(run.folder).seal(keep_measured=True)
    assert manifest_of(run.folder)["files"] == {}


# -- the newest run ----------------------------------------------------------------------------------------------


def make_runs(results: Path, *names: str) -> None:
    for name in names:
        (results / name).mkdir(parents=True)
        (results / name / "manifest.json").write_text("{}")


def test_the_newest_run_is_the_one_that_was_started_last(tmp_path: Path) -> None:
    make_runs(tmp_path, "20220719T101500Z-paper", "20220719T101501Z-smoke", "20211231T235959Z-quick")
    os.utime(tmp_path / "20211231T235959Z-quick" / "manifest.json")
    assert newest_run(tmp_path).name == "20220719T101501Z-smoke"


def test_the_reference_and_renamed_folders_are_not_the_newest(tmp_path: Path) -> None:
    make_runs(tmp_path, "20220719T101500Z-paper", "reference", "the one for the journal", "2023")
    assert newest_run(tmp_path).name == "20220719T101500Z-paper"


def test_a_second_run_of_one_second_is_the_newer(tmp_path: Path) -> None:
    make_runs(tmp_path, "20220719T101500Z-paper", "20220719T101500Z-paper-2")
    assert newest_run(tmp_path).name == "20220719T101500Z-paper-2"


@pytest.mark.parametrize("names", [(), ("reference",)])
def test_no_run_is_one_line_with_the_way_to_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    make_runs(tmp_path, *names)
    (tmp_path / "20220719T101500Z-cut").mkdir()
    with pytest.raises(BenchError, match="expected a run, found none .make one with: ehrbench run"):
        newest_run(tmp_path)


def test_no_folder_at_all_has_no_run(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="found none"):
        newest_run(tmp_path / "missing")


def test_a_run_that_was_made_is_found(run: RunDirectory) -> None:
    assert newest_run(run.folder.parent) == run.folder
    assert manifest_of(run.folder)["schema_version"] == record.SCHEMA_VERSION
