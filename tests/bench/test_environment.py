"""What a run ran on: every field is there and plain, and a repository that is not the project's is not taken for it."""

import hashlib
import json
import subprocess
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench.measure import environment
from bench.measure.environment import NoiseWatch, describe_machine, describe_source, describe_versions


def test_the_machine_is_described_in_plain_values() -> None:
    machine = describe_machine()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cpu"]
    assert machine["logical_cores"] >= 1
    assert machine["memory_bytes"] > 1 << 20
    assert machine["cpu_flags"] == sorted(machine["cpu_flags"])


def test_a_machine_without_proc_is_described_as_far_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: Any, **options: Any) -> str:
        raise FileNotFoundError(str(self))

    monkeypatch.setattr(Path, "read_text", refuse)
    machine = describe_machine()
    assert machine["cpu"]
    assert machine["cpu_flags"] == []


def test_both_libraries_that_bring_an_openssl_are_named() -> None:
    versions = describe_versions()
    assert "OpenSSL" in versions["openssl_hashlib"]
    assert "OpenSSL" in versions["openssl_cryptography"]
    names = list(versions["packages"])
    assert {"cryptography", "msgspec", "pandas"} <= set(names)
    assert names == sorted(names, key=str.lower)


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
    assert describe_source() == {"commit": head, "is_dirty": False, "lock_sha256": None}
    (repository / "untracked").write_text("b")
    assert describe_source()["is_dirty"] is False
    (repository / "file").write_text("b")
    assert describe_source()["is_dirty"] is True
    (repository / "locks").mkdir()
    (repository / "locks" / "bench.txt").write_bytes(b"pins")
    assert describe_source()["lock_sha256"] == hashlib.sha256(b"pins").hexdigest()


def test_an_installed_copy_below_somebody_elses_repository_has_no_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "venv").mkdir()
    monkeypatch.setattr(environment, "ROOT", repository / "venv")
    assert describe_source() == {"commit": None, "is_dirty": None, "lock_sha256": None}


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_no_git_is_no_error(repository: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(environment, "ROOT", repository)
    monkeypatch.setattr(subprocess, "run", refuse)
    assert describe_source() == {"commit": None, "is_dirty": None, "lock_sha256": None}


def test_the_noise_of_others_is_the_machines_work_less_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    total = {"user": 10.0, "system": 5.0, "idle": 100.0, "iowait": 1.0, "steal": 2.0, "guest": 3.0}
    ours = {"user": 4.0, "system": 1.0, "children_user": 0.0, "children_system": 0.0}
    monkeypatch.setattr(psutil, "cpu_times", lambda: _times(total))
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(cpu_times=lambda: SimpleNamespace(**ours)))
    watch = NoiseWatch()
    total |= {"user": 16.0, "idle": 108.0, "steal": 4.0, "guest": 5.0, "iowait": 3.0}
    ours |= {"user": 6.0, "children_user": 1.0}
    found = watch.read()
    # 20 s of cores in all: 6 s of users, of which we took 3 s; 8 idle, 2 waiting, 2 stolen, 2 of guests.
    assert found["foreign_cpu_share"] == pytest.approx(3 / 20)
    assert found["steal_share"] == pytest.approx(2 / 20)
    assert len(found["load_average"]) == 3


def _times(values: dict[str, float]) -> Any:
    """A named tuple, as psutil returns one."""
    return namedtuple("Times", values)(**values)  # noqa: PYI024 - fields differ from system to system


def test_a_watch_of_no_time_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = _times({"user": 1.0, "system": 1.0, "idle": 1.0})
    monkeypatch.setattr(psutil, "cpu_times", lambda: frozen)
    found = NoiseWatch().read()
    assert (found["foreign_cpu_share"], found["steal_share"]) == (None, None)
