"""pytest-benchmark as a front end to the same cases: its flags and its JSON work, and it is warmed up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.errors import BenchError
from bench.micro.base import Family, Operation
from bench.micro.front_end import list_cases, read_sizes

MICRO = Path(bench.__file__).parent / "micro"


def run_pytest(*words, **variables):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "EHRBENCH_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(MICRO), *words]
    return subprocess.run(
        command,
        env={**kept, **variables},
        cwd=MICRO.parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_sizes_come_from_the_environment_each_once(monkeypatch):
    monkeypatch.setenv("EHRBENCH_SIZES", "7,64,7")
    assert read_sizes("EHRBENCH_SIZES", (1,)) == (7, 64)
    monkeypatch.setenv("EHRBENCH_SIZES", "")
    assert read_sizes("EHRBENCH_SIZES", (1, 2)) == (1, 2)


@pytest.mark.parametrize("value", ["-1", "0", "64,many", str(1 << 40), "1.5"])
def test_an_unusable_size_is_refused_by_name(monkeypatch, value):
    monkeypatch.setenv("EHRBENCH_SIZES", value)
    with pytest.raises(BenchError, match=f"^EHRBENCH_SIZES: expected numbers from 1 to .*, found '{value}'$"):
        read_sizes("EHRBENCH_SIZES", (1,))


def test_what_cannot_run_here_is_a_skipped_case_with_its_reason():
    operation = Operation(lambda: ((len, b""), lambda found: found == 0), {})
    family = Family("planted-1", {}, {"here": operation}, {"a/b c": "the package 'a' is not installed"})
    here, missing = list_cases([family])
    assert (here.id, list(here.marks)) == ("planted-1-here", [])
    assert missing.id == "planted-1-a-b-c"
    assert missing.marks[0].kwargs == {"reason": "the package 'a' is not installed"}


@pytest.mark.slow
def test_flags_names_and_json_of_pytest_benchmark_work(tmp_path):
    report = tmp_path / "report.json"
    chosen = "hashlib-3 or p256-load or libraries-root-5"
    words = ("-k", chosen, "--benchmark-max-time=0.001", f"--benchmark-json={report}")
    done = run_pytest(*words, EHRBENCH_SIZES="3", EHRBENCH_LEAVES="5")
    assert done.returncode == 0, done.stdout
    found = {entry["name"]: entry for entry in json.loads(report.read_bytes())["benchmarks"]}
    assert {"test_hash[hashlib-3-md5]", "test_signature[p256-load-p256-ecdsa]"} <= set(found)
    assert "test_merkle[libraries-root-5-ehrcore]" in found
    entry = found["test_hash[hashlib-3-md5]"]
    assert entry["group"] == "hashlib-3"
    assert {"suite": "md5", "library": "hashlib", "size_bytes": 3}.items() <= entry["extra_info"].items()
    # The workaround for a calibration on a cold first call, and the flag that overrules a setting of ours.
    assert entry["options"]["warmup"] == 1_000
    assert entry["options"]["max_time"] == pytest.approx(0.001)


@pytest.mark.slow
def test_every_case_runs_once_without_measuring():
    done = run_pytest("--benchmark-disable")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert " failed" not in done.stdout


@pytest.mark.slow
def test_a_wrong_result_fails_the_benchmark(tmp_path):
    spoilt = tmp_path / "test_spoilt.py"
    spoilt.write_text(
        "from bench.micro.base import Family, Operation\n"
        "from bench.micro.front_end import measure\n"
        "def test_spoilt(benchmark):\n"
        "    operation = Operation(lambda: ((len, b'abc'), lambda found: found == 4), {})\n"
        "    measure(benchmark, Family('planted', {}, {'wrong': operation}), 'wrong')\n",
        encoding="utf-8",
    )
    done = run_pytest(str(spoilt), "-k", "spoilt", "--benchmark-disable")
    assert done.returncode == 1
    assert "1 failed" in done.stdout
