"""Bombs: all of them are held back, each bound that is missing shows, and what was taken out is back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.attacks import bombs
from bench.attacks.bombs import CLAUSES, attack_books, attack_clauses, build_contract_bombs
from bench.engines.base import Context
from bench.engines.bombs import run_bombs
from bench.experiments import find_experiment
from bench.experiments.attacks import is_as_expected
from bench.experiments.base import Case
from bench.report.tables import check_columns
from bench.scenario import load_scenario
from bench.workload import vital_signs
from ehrcore import agreements, clauses, consent
from ehrcore.block import Transaction
from ehrcore.codec import decode
from ehrcore.drive.net import host
from ehrcore.errors import CodecError


def wrong(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["attack"], row["variant"]) for row in rows if not is_as_expected(row)}


def test_all_bombs_end_as_theory_says_and_every_bound_is_back(tmp_path: Path) -> None:
    import pandas as pd

    before = clauses.measure, agreements.validate_clauses, consent.MOST_CONSENTS, host.AUTHOR_LIMIT
    context = Context(load_scenario("smoke"), vital_signs(1, 1, 0), tmp_path)
    rows = run_bombs(context, Case("bombs", "bombs"))
    assert rows[-1]["holds"], rows[-1]
    assert (clauses.measure, agreements.validate_clauses, consent.MOST_CONSENTS, host.AUTHOR_LIMIT) == before
    found = {(row["variant"], row["protection"]): row["where"] for row in rows if row["kind"] == "attack"}
    assert found["one patient's consents", "all protections"] == "ledger keeper: too-many-consents"
    assert found["one member, at one agent", "all protections"] == "agent: busy (429)"
    table = next(table for table in find_experiment("abuse").tables if table.name == "abuse_bombs")
    frame = table.build(pd.DataFrame(rows))
    check_columns(table, frame)
    assert table.strongest is not None
    assert {row["succeeded"] for row in table.strongest(frame)} == {0}


@pytest.mark.parametrize("name", CLAUSES)
def test_no_contract_bomb_is_read(name: str) -> None:
    with pytest.raises(CodecError):
        decode(build_contract_bombs()[name], Transaction)


def test_a_bound_that_is_missing_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clauses, "measure", lambda *_: 0)
    monkeypatch.setattr(agreements, "validate_clauses", lambda *_: None)
    monkeypatch.setattr(consent, "MOST_CONSENTS", 1 << 60)
    monkeypatch.setattr(consent, "MOST_IN_FORCE", 1 << 60)
    assert ("contract bomb", "too many levels") in wrong(attack_clauses())
    assert wrong(attack_books()) == {("consent bomb", "one patient's consents")}


def test_fuel_that_is_not_counted_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bombs, "decide", lambda *_: SimpleNamespace(steps=1_000_000))
    assert len(wrong(attack_clauses())) == len(CLAUSES) + 1
