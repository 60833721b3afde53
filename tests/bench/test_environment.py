"""The record of what a run ran on: complete where it can be read, None where not, never a name or path of ours."""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from bench.measure import environment
from bench.measure.environment import (
    describe_cryptography,
    describe_machine,
    describe_python,
    describe_source,
    describe_variables,
    describe_versions,
    find_sha_ni,
    measure_clock_step,
)
from bench.report.summary import flatten

X86 = {"sha_ni", "avx2"}


def write(root: Path, **files: str) -> None:
    """Files below ``root``; a double underscore in a name is a folder's slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def test_the_machine_is_described_in_plain_values() -> None:
    machine = describe_machine()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cpu"]
    assert 1 <= machine["usable_cores"] <= machine["logical_cores"]
    assert machine["memory_bytes"] > 1 << 20
    assert machine["cpu_flags"] == sorted(machine["cpu_flags"])
    assert machine["clock_step_ns"] >= 1


def test_a_machine_that_shows_nothing_is_described_as_far_as_it_can_be(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path, {})
    assert machine["cpu"]
    assert machine["cpu_flags"] == []
    assert machine["energy_counters"].startswith("none: ")
    unknown = {"sha_ni", "governor", "turbo", "is_smt_active", "is_virtual", "hypervisor", "vendor", "product"}
    assert {name for name, value in machine.items() if value is None} == {
        *unknown, "container", "cpu_quota", "clock_source"
    }  # fmt: skip


def test_everything_that_a_machine_shows_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    cpu, powercap = "sys__devices__system__cpu__", "sys__class__powercap__intel-rapl:0__"
    write(
        tmp_path,
        **{
            "proc__cpuinfo": "model name\t: A processor\nflags\t\t: fpu sha_ni hypervisor avx2",
            f"{cpu}cpu0__cpufreq__scaling_governor": "performance",
            f"{cpu}cpu1__cpufreq__scaling_governor": "powersave",
            f"{cpu}cpufreq__boost": "1",
            f"{cpu}smt__active": "0",
            "sys__hypervisor__type": "xen",
            "sys__class__dmi__id__sys_vendor": "A maker",
            "sys__class__dmi__id__product_name": "A product",
            "sys__devices__system__clocksource__clocksource0__current_clocksource": "tsc",
            "run__.containerenv": "",
            "proc__self__cgroup": "0::/",
            "sys__fs__cgroup__cpu.max": "150000 100000",
            f"{powercap}name": "package-0",
            f"{powercap}energy_uj": "5",
            f"{powercap}max_energy_range_uj": "1000000",
        },
    )
    machine = describe_machine(tmp_path, {"OPENSSL_ia32cap": ":~0x20000000"})
    expected = {
        "cpu": "A processor", "cpu_flags": ["avx2", "sha_ni"], "sha_ni": "masked", "turbo": "on",
        "governor": "performance, powersave", "is_smt_active": False, "is_virtual": True, "hypervisor": "xen",
        "vendor": "A maker", "product": "A product", "clock_source": "tsc", "container": "podman",
        "cpu_quota": "1.5 cores", "energy_counters": "package-0",
    }  # fmt: skip
    assert {name: machine[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [("intel_pstate__no_turbo", "1", "off"), ("intel_pstate__no_turbo", "0", "on"), ("cpufreq__boost", "0", "off")],
)
def test_turbo_is_told_by_either_driver(file: str, text: str, expected: str, tmp_path: Path) -> None:
    write(tmp_path, **{f"sys__devices__system__cpu__{file}": text})
    assert describe_machine(tmp_path, {})["turbo"] == expected


def test_a_container_is_known_by_its_group(tmp_path: Path) -> None:
    write(tmp_path, proc__1__cgroup="0::/kubepods/besteffort/pod1")
    assert describe_machine(tmp_path, {})["container"] == "kubepods"


def test_a_real_processor_is_no_virtual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    write(tmp_path, proc__cpuinfo="flags : fpu sse2")
    assert describe_machine(tmp_path, {})["is_virtual"] is False


def test_the_clock_has_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([0] * 300 + [7] * 300 + [10] * 400)
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(readings))
    assert measure_clock_step() == 3
    monkeypatch.setattr("time.perf_counter_ns", lambda: 5)
    assert measure_clock_step() >= 1, "a clock that stood still is taken at its word"


@pytest.mark.parametrize(
    ("flags", "value", "expected"),
    [
        (X86, None, "on"),
        ({"avx2"}, None, "absent"),
        ({"avx2"}, ":~0x20000000", "absent"),
        ({"sha2"}, ":~0x20000000", "on"),  # of ARM, which heeds another variable
        (set(), None, None),
        # Tried with the times of SHA-256 in OpenSSL 3.0 and 4.0.
        (X86, ":~0x20000000", "masked"),
        (X86, "~0x0:~0x20000000", "masked"),
        (X86, ":~0x20000000:", "masked"),
        (X86, ":~0x20000000:~0:~0:~0", "masked"),
        (X86, ":~536870912", "masked"),
        (X86, ":~04000000000", "masked"),
        (X86, ":~0x0", "on"),
        (X86, ":0x20000000", "on"),
        (X86, ":0xffffffffffffffff", "on"),
        (X86, ":0x1", "masked"),
        (X86, "", "masked"),
        (X86, "~", "masked"),
        (X86, "~0x0", "masked"),
        (X86, "::", None),  # on in one, masked in the other
        (X86, ":~zz", None),
    ],
)
def test_sha_ni_is_on_masked_or_absent(flags: set[str], value: str | None, expected: str | None) -> None:
    assert find_sha_ni(flags, {} if value is None else {"OPENSSL_ia32cap": value}) == expected


# -- libraries and settings --------------------------------------------------------------------------------------------


def test_each_library_says_whose_cryptography_it_runs() -> None:
    versions = describe_versions()
    assert "OpenSSL" in versions["openssl_hashlib"]
    assert "OpenSSL" in versions["openssl_cryptography"]
    assert versions["openssl_pycryptodome"].startswith("none: own code of pycryptodome ")
    assert versions["ecdsa_integers"] in {"python", "gmpy", "gmpy2"}
    names = list(versions["packages"])
    assert {"cryptography", "msgspec", "pandas"} <= set(names)
    assert names == sorted(names, key=str.lower)
    assert json.loads(json.dumps(versions)) == versions


def test_a_library_that_is_not_there_has_no_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "coincurve":
            raise environment.PackageNotFoundError
        return "9.9"

    monkeypatch.setattr(environment, "version", version)
    found = describe_cryptography()
    assert found["openssl_coincurve"] is None
    assert found["openssl_blake3"] == "none: own code of blake3 9.9"


def test_how_python_was_built_is_told_without_its_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {
        "CONFIG_ARGS": "'--prefix=/home/alice/py' '--enable-optimizations' '--with-lto=full' '--enable-shared'"
        " '--libdir=/home/alice/lib' '--with-openssl=/home/alice/ssl' 'LDFLAGS=-L/home/alice/lib' '--without-pymalloc'"
        " --build=x86_64-alice-linux",
        "PY_CFLAGS": "-DNDEBUG -O2 -march=native -I/home/alice -O3",
    }
    monkeypatch.setattr(sysconfig, "get_config_var", words.get)
    build = describe_python()
    assert build["options"] == ["--enable-optimizations", "--enable-shared", "--with-lto=full", "--without-pymalloc"]
    assert build["compiler_options"] == ["-O2", "-march=native", "-O3"]
    assert "alice" not in json.dumps(build)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: None)
    assert (describe_python()["options"], describe_python()["compiler_options"]) == ([], [])


def test_only_listed_variables_are_recorded_and_values_with_paths_are_not() -> None:
    found = describe_variables({
        "PYTHONHASHSEED": "42", "OPENSSL_ia32cap": ":~0x20000000", "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2", "MALLOC_TRACE": "/home/alice/trace", "LD_PRELOAD": "/home/alice/libjemalloc.so",
        "PYTHONPATH": "/home/alice", "PYTHONOPTIMIZE": "", "AWS_SECRET_ACCESS_KEY": "secret", "HOSTNAME": "alices",
        "PYTHONHASHSEED_TOKEN": "secret", "GITHUB_TOKEN": "secret", "USER": "alice", "OPENSSL_CONF": "/home/alice",
    })  # fmt: skip
    assert found == [
        "LD_PRELOAD=(set)", "MALLOC_ARENA_MAX=2", "MALLOC_TRACE=(set)", "OPENSSL_ia32cap=:~0x20000000",
        "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=42", "PYTHONOPTIMIZE=",
    ]  # fmt: skip


def test_nothing_that_is_recorded_names_where_or_who_we_are() -> None:
    text = json.dumps([describe_machine(), describe_versions(), describe_source()])
    for name in (str(Path.home()), sys.prefix, os.getcwd(), str(environment.ROOT)):  # noqa: PTH109
        assert name == "/" or name not in text


def test_a_report_shows_it_in_words() -> None:
    labels = dict(flatten(describe_versions()))
    assert labels["python build has gil"] in {"yes", "no"}
    assert "variables" in labels
    assert labels["openssl pycryptodome"].startswith("none: own code")
    assert dict(flatten(describe_machine()))["clock step ns"].isdigit()


# -- source ------------------------------------------------------------------------------------------------------------

UNKNOWN = {"commit": None, "archive": None, "is_dirty": None, "lock_sha256": None, "all_locks_sha256": None}


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "-qm", "a")
    return tmp_path


def test_the_source_is_the_commit_and_whether_it_was_changed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ROOT", repository)
    head = _git(repository, "rev-parse", "HEAD")
    assert describe_source() == {**UNKNOWN, "commit": head, "is_dirty": False}
    (repository / "untracked").write_text("b")
    assert describe_source()["is_dirty"] is False
    (repository / "file").write_text("b")
    assert describe_source()["is_dirty"] is True


def test_a_change_of_any_lock_changes_the_digest_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    write(tmp_path, **{"locks__bench.txt": "pins", "locks__speed.txt": "more pins"})
    first = describe_source()
    assert first["lock_sha256"] == hashlib.sha256(b"pins\n").hexdigest()
    write(tmp_path, **{"locks__speed.txt": "other pins"})
    second = describe_source()
    assert second["lock_sha256"] == first["lock_sha256"]
    assert second["all_locks_sha256"] != first["all_locks_sha256"]
    (tmp_path / "locks" / "speed.txt").rename(tmp_path / "locks" / "peers.txt")
    assert describe_source()["all_locks_sha256"] != second["all_locks_sha256"]


def test_an_installed_copy_below_somebody_elses_repository_has_no_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "venv").mkdir()
    monkeypatch.setattr(environment, "ROOT", repository / "venv")
    assert describe_source() == UNKNOWN


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_no_git_is_no_error(repository: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(environment, "ROOT", repository)
    monkeypatch.setattr(subprocess, "run", refuse)
    assert describe_source() == UNKNOWN
