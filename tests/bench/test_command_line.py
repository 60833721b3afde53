"""The command `ehrbench` as its users meet it: one line for what they can mend, and whole files or none."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as module
from bench.__main__ import main
from bench.experiments.catalogue import PROFILES, QUESTIONS
from ehrcore import __version__

ROOT = Path(__file__).parents[2]
TINY = """
name = "tiny"
engine = "sim"
[workload]
sensor_patients = 1
sensor_readings = 3
[framework]
topology = [1, 1, 1, 1]
transactions = 4
[table1]
transactions = 15
outstanding = 15
latency_transactions = 40
calibrated_transactions = 1
[identity]
tries = 1
readings = 4
messages = 2
denials = 3
net = false
"""
RECORDS = b"""{"resourceType":"Observation","id":"o1","subject":{"reference":"Patient/p1"}}
{"resourceType":"DiagnosticReport","id":"d1","subject":{"reference":"Patient/p1"}}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with records and a small scenario."""
    monkeypatch.chdir(tmp_path)
    return furnish(tmp_path)


def furnish(folder: Path) -> Path:
    (folder / "records").mkdir()
    (folder / "records" / "a.ndjson").write_bytes(RECORDS)
    (folder / "tiny.toml").write_text(TINY)
    (folder / "file").write_text("mine")
    (folder / "empty").mkdir()
    return folder


def make_run(folder: Path, **changes: Any) -> Path:
    """A run without experiments."""
    (folder / "raw").mkdir(parents=True)
    manifest = {"schema_version": 1, "run_id": folder.name, "status": "complete", "experiments": {}, "files": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))
    return folder


def start(*words: str, cwd: Path, **options: Any) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"} | options
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.Popen(command, cwd=cwd, env=environment, **streams)


def call(*words: str, cwd: Path) -> tuple[int, str, str]:
    process = start(*words, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def exit_code(*words: str) -> int | str | None:
    """The code with which the command ends in this process."""
    try:
        main(words)
    except SystemExit as end:
        return end.code
    return 0


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


# -- what needs no run -------------------------------------------------------------------------------------------


def test_the_list_names_every_experiment_and_profile_with_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("list") == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name, text in (QUESTIONS | PROFILES).items():
        assert f"  {name:<12} {text}\n" in out


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", [(), ("run",), ("report",), ("list",), ("compare",), ("verify",)])
def test_help_is_printed_and_good(capsys: pytest.CaptureFixture[str], command: tuple[str, ...], flag: str) -> None:
    assert exit_code(*command, flag) == 0
    out, err = capsys.readouterr()
    assert out.startswith(" ".join(("Usage: ehrbench", *command)))
    assert err == ""


def test_the_help_of_run_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code("run", "--help")
    out = capsys.readouterr().out
    assert all(option in out for option in ("--profile", "--config", "--records", "--engine", "--strict", "--resume",
                                             "--results"))  # fmt: skip
    assert all(profile in out for profile in PROFILES)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"ehrbench {__version__}\n"


def test_no_command_shows_the_help_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: ehrbench")


def test_help_and_list_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom bench.__main__ import main\nmain(['list'])\n"
        "assert not {'pandas', 'numpy', 'scipy', 'matplotlib', 'rich', 'cryptography'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


# -- what the user can mend --------------------------------------------------------------------------------------

RUN = ("run", "framework", "--profile", "smoke", "--config", "tiny.toml", "--records", "records")
MISTAKES = {
    "unknown command": (("benchmark",), "No such command 'benchmark'"),
    "unknown flag": (("run", "--fast"), "No such option '--fast'"),
    "flag without its value": (("run", "--profile"), "Option '--profile' requires an argument"),
    "value for a plain flag": (("run", "--strict=yes"), "'--strict' does not take a value"),
    "one word too many": (("report", "a", "b"), "unexpected extra argument (b)"),
    "word for list": (("list", "all"), "unexpected extra argument (all)"),
    "unknown experiment": (("run", "table2", "--profile", "smoke"), "experiment: expected one of framework, table1"),
    "unknown experiment after a good one": ((*RUN, "table2"), "found 'table2'"),
    "empty experiment": (("run", "", "--profile", "smoke"), "found ''"),
    "unknown profile": (("run", "--profile", "large"), "profile: expected one of smoke, quick, paper, found 'large'"),
    "missing scenario": (("run", "--config", "none.toml"), "none.toml: expected a scenario file"),
    "folder as scenario": (("run", "--config", "records"), "records: expected a scenario file, found: Is a directory"),
    "records as scenario": (("run", "--config", "records/a.ndjson"), "a.ndjson: expected TOML"),
    "missing records": ((*RUN[:-1], "none", "--results", "new"), "none: expected a folder of records"),
    "file as records": ((*RUN[:-1], "file", "--results", "new"), "file: expected a folder of records"),
    "no records": ((*RUN[:-1], "empty", "--results", "new"), "empty: expected FHIR R4 records"),
    "file as results": ((*RUN, "--results", "file"), "file: expected a folder that can be written, found: "),
    "results below a file": ((*RUN, "--results", "file/new"), "file/new: expected a folder that can be written"),
    "report of nothing": (("report", "none"), "none: expected the directory of a run, found nothing"),
    "report of a file": (("report", "file"), "file: expected the directory of a run, found a file"),
    "report of another folder": (("report", "records"), "manifest.json: expected a file of a run"),
    "report without runs": (("report",), "results: expected a run, found none (make one with: ehrbench run)"),
    "report of the newest of nothing": (("report", "--results", "empty"), "empty: expected a run, found none"),
    "compare with nothing": (("compare", "none", "file"), "none: expected the directory of a run, found nothing"),
    "compare with one run": (("compare", "none"), "expected two runs or more, or one with --variants, found none"),
    "verify without runs": (("verify",), "results: expected a run, found none"),
    "verify against nothing": (("verify", "empty"), "reference: expected the directory of a run, found nothing"),
    "resume of nothing": (("run", "--resume", "none"), "none: expected the directory of a run, found nothing"),
    "resume of a file": (("run", "--resume", "file"), "file: expected the directory of a run, found a file"),
    "resume of another folder": (("run", "--resume", "records"), "manifest.json: expected a file of a run"),
    "resume with an experiment": (
        ("run", "table1", "--resume", "x"),
        "--resume: expected nothing besides, for the run ",
    ),
    "resume with a profile": (("run", "--profile", "quick", "--resume", "x"), "says it, found --profile"),
    "resume with a scenario": (("run", "--resume", "x", "--config", "tiny.toml"), "says it, found --config"),
    "an unknown engine": (("run", "--engine", "real"), "'real' is not one of 'sim', 'net'"),
    "resume with an engine": (("run", "--resume", "x", "--engine", "net"), "says it, found --engine"),
    "resume strictly": (("run", "--resume", "x", "--strict"), "says it, found --strict"),
    "resume elsewhere": (("run", "--resume", "x", "--results", "new"), "says it, found --results"),
    **{
        f"empty path for {' '.join(words)}": ((*words, ""), "expected a path, found ''")
        for words in (
            ("run", "--records"),
            ("run", "--config"),
            ("run", "--results"),
            ("run", "--resume"),
            ("report",),
            ("report", "--results"),
            ("compare", "x"),
            ("compare",),
            ("verify",),
            ("verify", "--against"),
            ("paper",),
            ("paper", "-o"),
            ("export",),
            ("export", "x", "-o"),
            ("appendix", "--reference"),
            ("compare", "--figure"),
        )
    },
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_code_2_and_leaves_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], mistake: str
) -> None:
    words, expected = MISTAKES[mistake]
    before = files_of(place)
    assert exit_code(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("ehrbench: ")
    assert expected in err
    assert files_of(place) == before
    assert (place / "file").read_text() == "mine"


@pytest.mark.parametrize("mistake", ["unknown flag", "unknown profile", "no records", "report of nothing"])
def test_the_same_in_a_process_of_its_own(tmp_path: Path, mistake: str) -> None:
    words, expected = MISTAKES[mistake]
    code, out, err = call(*words, cwd=furnish(tmp_path))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


def test_a_strict_run_refuses_a_malformed_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "records" / "b.json").write_text("{")
    assert exit_code(*RUN, "--strict", "--results", "new") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "b.json" in err
    assert files_of(place / "new") == set()


def test_a_message_of_many_lines_becomes_one(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a\nb").write_text("x")
    assert exit_code("report", "a\nb") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_is_a_traceback(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("bench.scenario.load_scenario", fail)
    with pytest.raises(ZeroDivisionError):
        main(["run"])


def test_an_interrupt_where_nothing_runs_yet_is_said(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.scenario.load_scenario", interrupt)
    assert exit_code("run") == 130
    assert capsys.readouterr().err.strip() == "ehrbench: interrupted"


# -- reports -----------------------------------------------------------------------------------------------------


def test_report_takes_the_newest_run_and_writes_its_pages(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(place / "results" / "20220719T000000Z-old")
    newest = make_run(place / "results" / "20220719T000001Z-new")
    assert exit_code("report") == 0
    out = capsys.readouterr().out
    assert out.startswith("Run 20220719T000001Z-new")
    assert out.endswith(f"Report: {Path('results', newest.name, 'report.html')}\n")
    assert {path.name for path in files_of(place / "results")} == {
        "claims.json",
        "facts.json",
        "ro-crate-metadata.json",
        "manifest.json",
        "report.html",
        "report.md",
    }
    assert not (place / "results" / "20220719T000000Z-old" / "report.html").exists()
    sealed = json.loads((newest / "manifest.json").read_text())["files"]
    assert sealed["report.md"] == hashlib.sha256((newest / "report.md").read_bytes()).hexdigest()


@pytest.mark.parametrize("words", [("list",), ("--help",), ("report", "run")])
def test_a_reader_who_leaves_early_causes_no_traceback(tmp_path: Path, words: tuple[str, ...]) -> None:
    make_run(tmp_path / "run")
    process = start(*words, cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) in {0, 1}
    assert err == ""


def test_the_entry_points_are_these_functions() -> None:
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"ehrbench": "bench.__main__:main", "ehrcore": "ehrcore.__main__:main"}
    assert module.main is main


def test_a_report_is_not_written_into_a_run_that_is_at_work(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.record import RunDirectory

    at_work = RunDirectory.create(place / "results", "smoke", {"experiments": {}})
    before = files_of(place)
    assert exit_code("report") == 2
    assert "expected a run that nobody writes, found another process at work on it" in capsys.readouterr().err
    assert files_of(place) == before
    at_work.release()
    assert exit_code("report") == 0


def test_a_problem_ends_in_a_line_and_code_1(
    place: Path, capsys: pytest.CaptureFixture[str], lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.experiments.find_experiment", lab.find)
    lab.add("framework", lambda *_: [{"kind": "check", "check": "one", "holds": False}], cases=1)
    lab.add("hashes", lambda *_: [{"value": 1}])
    assert exit_code("run", "framework", "hashes", "--profile", "smoke", "--results", "new") == 1
    out, err = capsys.readouterr()
    assert err.splitlines()[-1] == "ehrbench: framework: checks that do not hold: 1, the first: one"
    assert out.rstrip().endswith("report.html"), "the run is there all the same"
    assert exit_code("run", "hashes", "--profile", "smoke", "--results", "new") == 0


# -- whole runs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run of two experiments: its folder, and what it printed."""
    place = furnish(tmp_path_factory.mktemp("whole"))
    words = ("run", "framework", "table1", *RUN[2:], "--results", "out")
    code, out, err = call(*words, cwd=place)
    assert code == 0, err
    (folder,) = (place / "out").iterdir()
    return folder, out, err


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two experiments whose report is soon made."""
    place = furnish(tmp_path_factory.mktemp("small"))
    code, _, err = call("run", "framework", "identity", *RUN[2:], "--results", "out", cwd=place)
    assert code == 0, err
    (folder,) = (place / "out").iterdir()
    return folder


@pytest.mark.slow
def test_a_run_leaves_every_file_that_the_readme_names(whole: tuple[Path, str, str]) -> None:
    folder, out, err = whole
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["status"], manifest["profile"]) == ("complete", "tiny")
    assert list(manifest["experiments"]) == ["framework", "table1"]
    assert manifest["calibrations"]["start"]["costs"]["sha256"]["sign_ns"] > 0
    names = {path.relative_to(folder).as_posix() for path in files_of(folder)}
    assert {"report.html", "report.md", "raw/framework.jsonl", "raw/table1.jsonl", "tables/table1.csv",
            "tables/table1.tex", "figures/table1_throughput.svg", "figures/table1_throughput.png",
            "ledgers/contributor-0.db"} <= names  # fmt: skip
    assert not [name for name in names if "calibration" in name or name.endswith((".partial", "-wal", "-shm"))]
    assert manifest["files"] == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names - {"manifest.json"}
    }
    assert out.rstrip().endswith(f"Report: {Path('out', folder.name, 'report.html')}")
    assert "framework: 1 case ..." in err
    assert "\x1b" not in out + err, "no control codes where nobody watches"


@pytest.mark.slow
def test_every_check_of_a_whole_run_holds_and_no_row_failed(whole: tuple[Path, str, str]) -> None:
    folder, _, _ = whole
    for name in ("framework", "table1"):
        rows = [json.loads(line) for line in (folder / "raw" / f"{name}.jsonl").read_text().splitlines()]
        assert {row["status"] for row in rows} == {"ok"}
        assert all(row["holds"] for row in rows if row.get("kind") == "check")


@pytest.mark.slow
def test_a_ledger_of_the_run_verifies_and_is_not_changed_by_it(whole: tuple[Path, str, str]) -> None:
    folder, _, _ = whole
    ledger = folder / "ledgers" / "contributor-0.db"
    before = ledger.read_bytes()
    command = [sys.executable, "-m", "ehrcore", "ledger", "verify", str(ledger)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "blocks verified from genesis" in done.stdout
    assert ledger.read_bytes() == before


@pytest.mark.slow
def test_a_report_made_again_is_the_same_byte_by_byte(small: Path) -> None:
    before = {path: path.read_bytes() for path in files_of(small)}
    code, out, err = call("report", str(small), cwd=small)
    assert (code, err) == (0, "")
    assert "identity" in out
    assert {path: path.read_bytes() for path in files_of(small)} == before


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the run has ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)  # the run is a process of its own; nothing in it can wake us


def stop_in_the_middle(place: Path, number: signal.Signals, *experiments: str) -> tuple[int, Path, str, str]:
    """Stop a run once some of identity's rows are on disk; its code, folder and output."""
    words = ("run", *(experiments or ("framework", "identity", "hashes")), *RUN[2:], "--results", "out")
    process = start(*words, cwd=place)

    def has_begun() -> bool:
        return any(path.read_bytes().count(b"\n") >= 2 for path in place.glob("out/*/raw/identity.jsonl"))

    wait_for(has_begun, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    (folder,) = (place / "out").iterdir()
    return process.returncode, folder, out, err


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_report_says_so(tmp_path: Path) -> None:
    code, folder, out, err = stop_in_the_middle(furnish(tmp_path), signal.SIGINT)
    assert code == 130
    assert "Traceback" not in err
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert {name: item["status"] for name, item in manifest["experiments"].items()} == {
        "framework": "complete",
        "identity": "interrupted",
        "hashes": "pending",
    }
    assert err.endswith(f"ehrbench: interrupted; go on with: ehrbench run --resume {Path('out', folder.name)}\n")
    assert "was interrupted" in out
    for name in ("report.html", "report.md"):
        assert "was interrupted" in (folder / name).read_text(encoding="utf-8")
    assert (folder / "tables" / "framework_checks.csv").exists()
    assert set(manifest["files"]) == {path.relative_to(folder).as_posix() for path in files_of(folder)} - {
        "manifest.json"
    }


@pytest.mark.slow
def test_a_killed_run_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    code, folder, _, _ = stop_in_the_middle(furnish(tmp_path), signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert json.loads((folder / "manifest.json").read_text())["status"] == "running"
    assert not (folder / "report.html").exists()
    code, out, err = call("report", "--results", "out", cwd=tmp_path)
    assert code == 0
    assert "Traceback" not in err
    assert "has not ended" in out
    assert "has not ended" in (folder / "report.md").read_text(encoding="utf-8")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "running"


# -- going on ----------------------------------------------------------------------------------------------------


def check_whole(folder: Path) -> None:
    """The run is complete, sealed and holds each case once, all ok."""
    from bench.report.load import read_manifest, read_rows, validate_record

    manifest = read_manifest(folder)
    validate_record(folder, manifest)
    assert manifest.is_complete
    for name, cases in (("framework", 1), ("identity", 12)):
        rows = read_rows(folder / "raw" / f"{name}.jsonl", may_be_cut=False).rows
        places = [(row["case"], row["part"]) for row in rows]
        assert len(set(places)) == len(places)
        assert len({case for case, _ in places}) == cases == manifest.experiments[name].cases
        assert {row["status"] for row in rows} == {"ok"}
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_after_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    code, folder, _, _ = stop_in_the_middle(furnish(tmp_path), number, "framework", "identity")
    assert code == (-number if number == signal.SIGKILL else 130)
    before = {name: (folder / "raw" / f"{name}.jsonl").read_bytes() for name in ("framework", "identity")}
    code, out, err = call("run", "--resume", str(folder), cwd=tmp_path)
    assert code == 0, err
    assert f"{folder.name}: going on after " in err
    assert out.rstrip().endswith(f"Report: {folder / 'report.html'}")
    check_whole(folder)
    for name, rows in before.items():
        whole = rows[: rows.rfind(b"\n") + 1]
        assert (folder / "raw" / f"{name}.jsonl").read_bytes().startswith(whole), "what was done is not done again"
    code, _, err = call("run", "--resume", str(folder), cwd=tmp_path)
    assert code == 2
    assert "found a complete one" in err


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_at_random_moments_again_and_again_ends_whole(tmp_path: Path, seed: int) -> None:
    """How far each go comes is chance; what must hold holds for any of them."""
    chance, place = random.Random(seed), furnish(tmp_path)
    process = start("run", "framework", "identity", *RUN[2:], "--results", "out", cwd=place)
    wait_for(lambda: any(place.glob("out/*/manifest.json")), process)
    (folder,) = (place / "out").iterdir()
    for _ in range(6):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=chance.uniform(0.05, 3.0))
        process.kill()
        process.communicate(timeout=60)
        if json.loads((folder / "manifest.json").read_text())["status"] == "complete":
            break
        process = start("run", "--resume", str(folder), cwd=place)
    else:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    call("report", str(folder), cwd=place)  # the last kill may have hit the report
    check_whole(folder)


@pytest.mark.slow
def test_a_run_at_work_is_not_resumed_by_another_process(tmp_path: Path) -> None:
    place = furnish(tmp_path)
    process = start("run", "framework", "identity", *RUN[2:], "--results", "out", cwd=place)
    wait_for(lambda: any(place.glob("out/*/manifest.json")), process)
    (folder,) = (place / "out").iterdir()
    process.send_signal(signal.SIGSTOP)
    code, _, err = call("run", "--resume", str(folder), cwd=place)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=120)
    assert (code, process.returncode) == (2, 0)
    assert "expected a run that nobody writes, found another process at work on it" in err
    check_whole(folder)


@pytest.mark.slow
def test_two_runs_agree_in_what_the_seed_determines(tmp_path: Path, small: Path) -> None:
    place = furnish(tmp_path)
    code, _, err = call("run", "framework", "identity", *RUN[2:], "--results", "out", cwd=place)
    assert code == 0, err
    (folder,) = (place / "out").iterdir()
    code, out, err = call("compare", str(small), str(folder), "--format", "json", cwd=place)
    assert code == 0, err
    exact = [item["outcome"] for item in json.loads(out)["findings"] if item["kind"] == "exact"]
    assert len(exact) > 300
    assert set(exact) == {"same"}
