"""Ids of claims and errata that the code or an experiment names are explained in `paper/`."""

import re
from pathlib import Path

import pytest

from bench.analysis.claims import COUNT, read_rules, validate_places
from bench.experiments import QUESTIONS, find_experiment
from bench.report.rules import render_rules

ROOT = Path(__file__).parents[2]


def explained(name: str) -> set[str]:
    return set(re.findall(r"^\| ([CE]\d\d) \|", (ROOT / "paper" / name).read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_claim_of_an_experiment_is_explained(name: str) -> None:
    assert set(find_experiment(name).claims) <= explained("claims.md")


def test_all_claims_are_there_and_the_page_is_written_from_the_rules() -> None:
    rules = read_rules()
    assert explained("claims.md") == {*rules.claims}
    assert len(rules.claims) == COUNT
    page = (ROOT / "paper" / "claims.md").read_text(encoding="utf-8")
    assert page == render_rules(rules), "write it again: ehrbench claims --rules > paper/claims.md"


def test_rules_and_experiments_name_each_other() -> None:
    validate_places(read_rules(), map(find_experiment, QUESTIONS))


def test_every_id_in_the_framework_is_explained() -> None:
    known = explained("claims.md") | explained("errata.md")
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ehrcore").rglob("*.py"))
    cited = set(re.findall(r"\bE\d\d\b", text)) | set(re.findall(r"claims? (C\d\d)", text))
    assert cited
    assert cited <= known
