"""A run on disk: it says what it is from the first moment, its names never collide, its seal covers every file."""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench import record
from bench.errors import BenchError
from bench.record import RunDirectory, compute_record_digest, newest_run, require_writable

ROOT = Path(__file__).parents[2]


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
    assert (manifest["schema_version"], manifest["record_sha256"], manifest["files"]) == (2, None, {})
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


def test_the_rows_of_a_case_are_numbered_and_in_their_file_when_the_call_returns(run: RunDirectory) -> None:
    cases = {"a": [{"text": "Müller\n\u2028\udc80", "number": 0.1}, {"status": "void"}], "b": [{"status": "failed"}]}
    expected: list[dict[str, Any]] = []
    for case, rows in cases.items():
        kept = run.append("demo", case, rows)
        for part, row in enumerate(rows, start=1):
            expected.append({"case": case, "status": "ok", "part": part, "parts": len(rows)} | row)
        data = (run.folder / "raw" / "demo.jsonl").read_bytes()
        assert data.isascii(), "every byte is a character, wherever a crash cuts"
        assert data.endswith(b"\n")
        assert [json.loads(line) for line in data.splitlines()] == expected
        assert kept == expected[-len(rows) :]


def test_the_rows_of_a_case_are_one_write_and_durable(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = run.folder / "raw" / "demo.jsonl", []
    sync = os.fsync

    def look(descriptor: int) -> None:
        seen.append(path.read_bytes().count(b"\n"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    run.append("demo", "a", [{"value": number} for number in range(9)])
    run.append("demo", "b", [{}])
    assert seen[:3] == [9, 9, 10], "the file, for a new one its folder, the file: never with a part of a case in it"


def test_rows_that_cannot_be_kept_are_one_line(run: RunDirectory) -> None:
    (run.folder / "raw" / "demo.jsonl").mkdir()
    with pytest.raises(BenchError, match="demo.jsonl: expected a file that can be written, found: Is a directory"):
        run.append("demo", "a", [{}])


@pytest.mark.parametrize("rows", [[], [{"status": "good"}], [{"value": float("nan")}]])
def test_rows_that_no_reader_could_take_are_a_bug(run: RunDirectory, rows: Any) -> None:
    with pytest.raises(ValueError, match=r"expected rows with a status|not JSON compliant"):
        run.append("demo", "a", rows)
    assert not (run.folder / "raw" / "demo.jsonl").exists()


# -- one writer --------------------------------------------------------------------------------------------------


def test_nobody_else_writes_a_run_until_it_is_released(run: RunDirectory) -> None:
    with pytest.raises(BenchError, match="expected a run that nobody writes, found another process at work on it"):
        RunDirectory.load(run.folder)
    run.release()
    RunDirectory.load(run.folder)


def test_a_run_is_released_with_its_process_however_that_ends(tmp_path: Path) -> None:
    code = "import os, pathlib; from bench.record import RunDirectory as R; r = R.create(pathlib.Path('.'), 'x', {})"
    kill = "; os.kill(os.getpid(), 9)"
    environment = os.environ | {"PYTHONPATH": str(Path(record.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code + kill], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == -9
    (folder,) = tmp_path.iterdir()
    assert RunDirectory.load(folder).manifest["status"] == "running"


def test_a_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(record.fcntl, "flock", refuse)
    RunDirectory.create(tmp_path, "smoke", {}).finish("complete")


# -- seal --------------------------------------------------------------------------------------------------------


def digests_of(folder: Path, *parts: str) -> dict[str, str]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(paths.items())
        if name != "manifest.json" and name.startswith(parts or "")
    }


def fill(run: RunDirectory) -> None:
    run.append("demo", "a", [{"value": 1}])
    for name in ("report.html", "tables/a.csv", "tables/old.csv", "figures/deep/b.svg", "ledgers/c.db", ".hidden"):
        path = run.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_the_end_seals_what_was_measured_and_a_report_the_rest(run: RunDirectory) -> None:
    fill(run)
    run.finish("complete")
    found = manifest_of(run.folder)["files"]
    assert found == digests_of(run.folder, "raw/", "ledgers/", ".hidden")
    assert list(found) == sorted(found)
    run.seal_derived()
    found = manifest_of(run.folder)["files"]
    assert found == digests_of(run.folder)
    assert list(found) == sorted(found)


def test_status_and_seal_are_one_write(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    run.append("demo", "a", [{"value": 1}])
    written = []
    monkeypatch.setattr(record, "write_atomic", lambda _, text: written.append(json.loads(text)))
    run.finish("complete")
    assert [(item["status"], bool(item["record_sha256"]), len(item["files"])) for item in written] == [
        ("complete", True, 1)
    ]


def test_a_report_made_again_keeps_the_digests_of_what_was_measured(run: RunDirectory) -> None:
    fill(run)
    run.finish("complete")
    run.seal_derived()
    before = manifest_of(run.folder)
    run.append("demo", "forged", [{}])
    (run.folder / "tables" / "a.csv").write_text("second")
    (run.folder / "tables" / "old.csv").unlink()
    run.seal_derived()
    after = manifest_of(run.folder)
    assert after["files"]["raw/demo.jsonl"] == before["files"]["raw/demo.jsonl"]
    assert after["files"]["tables/a.csv"] == hashlib.sha256(b"second").hexdigest()
    assert "tables/old.csv" not in after["files"]
    assert after["record_sha256"] == before["record_sha256"] == compute_record_digest(after)


def test_a_run_is_cited_by_a_digest_that_anybody_can_compute(run: RunDirectory) -> None:
    """The recipe of results/README.md."""
    fill(run)
    run.finish("complete")
    run.seal_derived()
    recipe = re.search(r"```python\n(.*?)```", (ROOT / "results" / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert recipe is not None
    done = subprocess.run([sys.executable, "-c", recipe[1]], cwd=run.folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == manifest_of(run.folder)["record_sha256"]


def test_a_reader_finds_the_same_digest_whatever_a_run_recorded(run: RunDirectory) -> None:
    odd = {10: "ten", 9: [(1.0, -0.0, 1e300)], "path": "M\u00fcller/\udcff", "nested": {2: None, 10: True}}
    run.manifest["workload"] = odd
    run.finish("complete")
    assert compute_record_digest(manifest_of(run.folder)) == run.manifest["record_sha256"]


@pytest.mark.parametrize("key", ["machine", "status", "seed", "files", "a new key"])
def test_the_digest_covers_every_key_of_the_manifest(run: RunDirectory, key: str) -> None:
    fill(run)
    run.finish("complete")
    value = run.manifest["files"] | {"raw/more.jsonl": "00"} if key == "files" else "another"
    assert compute_record_digest(run.manifest | {key: value}) != run.manifest["record_sha256"]


def test_a_run_that_goes_on_is_not_sealed(run: RunDirectory) -> None:
    fill(run)
    run.finish("interrupted")
    run.reopen()
    manifest = manifest_of(run.folder)
    assert [manifest[key] for key in ("status", "finished", "record_sha256", "files")] == ["running", None, None, {}]


def test_artefacts_are_what_engines_keep(run: RunDirectory) -> None:
    fill(run)
    assert run.list_artefacts() == [".hidden", "ledgers/c.db"]


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
