"""What cites and deposits this software says one thing: pyproject, CITATION.cff, codemeta.json and .zenodo.json."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.report.crate import PAPER
from ehrcore import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CODEMETA = json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))
ZENODO = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
#: What each of them says of the same thing, in the order of their names above.
SAME: dict[str, tuple[Any, ...]] = {
    "version": (__version__, CITATION["version"], CODEMETA["version"], ZENODO["version"]),
    "licence": (
        PROJECT["license"], CITATION["license"], CODEMETA["license"].rpartition("/")[2], ZENODO["license"],
    ),
    "description": (PROJECT["description"], CITATION["abstract"], CODEMETA["description"], ZENODO["description"]),
    "keywords": (PROJECT["keywords"], CITATION["keywords"], CODEMETA["keywords"], ZENODO["keywords"]),
    "authors": tuple(
        [item["name"] for item in people]
        for people in (PROJECT["authors"], CITATION["authors"], CODEMETA["author"], ZENODO["creators"])
    ),
    "title": (CITATION["title"], CODEMETA["name"], ZENODO["title"]),
    "paper": (
        PROJECT["urls"]["Paper"], f"https://doi.org/{CITATION['references'][0]['doi']}", PAPER,
        CODEMETA["referencePublication"]["@id"], f"https://doi.org/{ZENODO['related_identifiers'][0]['identifier']}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_all_say_the_same(what: str) -> None:
    first, *others = SAME[what]
    assert first
    assert others == [first] * len(others)


def test_there_is_a_licence_and_no_identifier_that_nobody_has_given() -> None:
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").lstrip().startswith("Apache License")
    own = [CITATION.get("doi"), CITATION.get("identifiers"), CODEMETA.get("identifier"), ZENODO.get("doi")]
    assert own == [None] * 4
    page = (ROOT / "ARTIFACT-APPENDIX.md").read_text(encoding="utf-8")
    assert not re.search(r"10\.5281|zenodo\.org/record", page)
    assert "no DOI yet" in page
