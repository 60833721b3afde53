"""The audit of what the locks name: a vulnerability fails it, and what was not asked about never passes for clean."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PINS = {("a", "1"): "bench.txt", ("b", "2"): "bench.txt", ("b", "3"): "tests.txt"}
CLEAN = [{"name": name, "version": version, "vulns": []} for name, version in PINS]
BAD = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["4"]}]}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_lock_is_read_whole(audit) -> None:
    pins = audit.read_pins(ROOT / "locks")
    for path in (ROOT / "locks").glob("*.txt"):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith((" ", "#"))]
        assert lines
        for line in lines:
            assert tuple(line.split()[0].split("==")) in pins
    rounds = audit.split_rounds(pins)
    assert sorted(pin for each in rounds for pin in each) == sorted(pins)
    assert all(len({name for name, _ in each}) == len(each) for each in rounds)


def test_what_is_clean_passes(audit) -> None:
    assert audit.report(PINS, CLEAN) == (["audited 3 of 3 releases"], False)


def test_a_vulnerability_fails_and_is_named_with_its_lock(audit, monkeypatch) -> None:
    lines, is_bad = audit.report(PINS, [*CLEAN[::2], BAD])
    assert (lines[0], is_bad) == ("b 2 (bench.txt): PYSEC-1: VULNERABLE, mended in 4", True)
    monkeypatch.setitem(audit.ACCEPTED, "PYSEC-1", "its function is not called")
    lines, is_bad = audit.report(PINS, [*CLEAN[::2], BAD])
    assert (lines[0], is_bad) == ("b 2 (bench.txt): PYSEC-1: accepted: its function is not called", False)


@pytest.mark.parametrize(
    "told", [[], [{"name": "b", "version": "2", "skip_reason": "not found"}], [{"name": "b", "skip_reason": "none"}]]
)
def test_what_was_not_asked_about_is_told(audit, told) -> None:
    lines, is_bad = audit.report(PINS, [CLEAN[0], *told])
    assert not is_bad
    assert lines[0].startswith("not audited: b 2, b 3 (such as: ")
    assert lines[1] == "audited 1 of 3 releases, NOT AUDITED the others"


def test_without_an_answer_nothing_is_audited(audit, monkeypatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    told = audit.ask(list(PINS))
    assert audit.report(PINS, told)[0][-1] == "audited 0 of 3 releases, NOT AUDITED the others"
