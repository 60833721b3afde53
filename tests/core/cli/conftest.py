"""What the commands' tests share: the command line in this process and in one of its own, records, free ports."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ehrcore.__main__ import main
from tests.ports import find_ports

ROOT = Path(__file__).parents[3]
#: Generous, for machines that do other things as well; nothing waits this long unless it is broken.
PATIENCE_S = 120


@dataclass(frozen=True)
class Done:
    """What a command has ended with."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Done]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """A command in this process."""

    def call(*words: object) -> Done:
        capfd.readouterr()
        code: Any = 0
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return call


def open_process(*words: object, **options: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "ehrcore", *map(str, words)]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **(streams | {"env": os.environ | {"PYTHONPATH": str(ROOT)}} | options))


def run_process(*words: object, **options: Any) -> Done:
    with open_process(*words, **options) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    return Done(process.returncode, out, err)


@pytest.fixture(scope="session")
def process() -> Run:
    """A command in a process of its own, to its end."""
    return run_process


@pytest.fixture(scope="session")
def background() -> Callable[..., "subprocess.Popen[str]"]:
    """A command in a process of its own, just started."""
    return open_process


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], int]:
    return find_ports


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Found and start networks at free ports; they are stopped in the end, whatever happens."""
    folders: list[Path] = []

    def start(*words: str, count: int = 16) -> Path:
        folders.append(folder := tmp_path / f"net-{len(folders)}")
        done = run_process("network", "up", "--detach", "--folder", folder, "--first-port", find_ports(count), *words)
        assert (done.code, done.err) == (0, "")
        return folder

    yield start
    for folder in folders:
        assert run_process("network", "down", "--folder", folder).code in {0, 1}


def write_records(folder: Path, count: int = 5) -> list[Path]:
    """FHIR resources of three patients, each spelt in its own way."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        patient = {"reference": f"Patient/p{number % 3}"}
        resource: dict[str, Any] = {"resourceType": "Observation", "status": "final", "subject": patient, "n": number}
        if number % 4 == 3:
            resource = {"resourceType": "Claim", "patient": patient, "total": {"value": number + 0.50}}
        paths.append(folder / f"record-{number}.json")
        paths[-1].write_text(json.dumps(resource, indent=number % 3, ensure_ascii=False) + "\r\n" * (number % 2))
    return paths


@pytest.fixture
def records(tmp_path: Path) -> list[Path]:
    """Files of a folder of their own."""
    return write_records(tmp_path / "records")
