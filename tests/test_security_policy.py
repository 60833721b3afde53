"""`SECURITY.md` names tests and experiments that are there, and every claim about security that the paper makes."""

import ast
import re
from pathlib import Path

import pytest

from bench.experiments import QUESTIONS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", TEXT)))
NAMED = sorted(set(re.findall(r"experiments? `(\w+)`", TEXT)) | set(re.findall(r"experiments `\w+`, `(\w+)`", TEXT)))
#: Claims of the paper that security can be held against.
CLAIMS = {*range(4, 12), *range(14, 18), 19, 20, 21, 22, 23, 24, 26, 27, 38, 40, 42, 43, 45} - {10}


@pytest.mark.parametrize("test", TESTS)
def test_every_test_that_is_named_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    functions = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
                 if isinstance(node, ast.FunctionDef)}  # fmt: skip
    assert any(each.startswith("test_") for each in functions)
    assert not name or name in functions


@pytest.mark.parametrize("name", NAMED)
def test_every_experiment_that_is_named_is_there(name: str) -> None:
    assert name in QUESTIONS


def test_every_attack_experiment_is_named() -> None:
    assert {"tamper", "collisions", "identity", "privacy", "abuse", "storage", "faults"} <= set(NAMED)


def test_every_claim_about_security_has_its_row() -> None:
    found: set[int] = set()
    for first, last in re.findall(r"C(\d\d)(?:–C(\d\d))?", TEXT):
        found |= set(range(int(first), int(last or first) + 1))
    assert found >= CLAIMS, sorted(CLAIMS - found)


@pytest.mark.parametrize(
    "risk", ["metadata", "traffic analysis", "without tls", "clocks", "collude", "backups", "strangers", "weak"]
)
def test_what_remains_is_said(risk: str) -> None:
    _, _, rest = TEXT.partition("## What remains")
    assert risk in rest.lower()
