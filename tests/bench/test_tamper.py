"""Experiment `tamper`: attacks end as theory says, and a check that is taken out of the product is missed at once."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from bench.attacks import trees
from bench.attacks.chain import TOPOLOGY
from bench.attacks.equal import alter, attack_throughput
from bench.attacks.files import check_all, check_hashes, check_restart, read_chain, run_check
from bench.attacks.ledgers import (
    ECDSA,
    FINAL,
    HASHES,
    LAYERS,
    Target,
    attack_ledger,
    change_fields,
    change_transactions,
    edit_verdicts,
    flip_bytes,
    prepare,
)
from bench.attacks.mutations import change, flip, list_fields, name_field, replace
from bench.attacks.replicas import KEEPERS, attack_replicas, gather
from bench.attacks.stores import attack_store
from bench.experiments import tamper
from bench.experiments.attacks import KIND, check_attacks, is_as_expected
from bench.experiments.base import Row
from bench.workload.sensor import vital_signs
from ehrcore import state as product
from ehrcore.identity import Reason
from ehrcore.params import ConsensusRule

RECORDS = vital_signs(3, 20, 1).records


def make_target(folder: Path, layer: int, suite: str = "sha256") -> Target:
    return prepare("tests", suite, "p256", LAYERS[layer], RECORDS, folder)


def rows_of(target: Target) -> list[Row]:
    return [tally.row() for tally in target.tallies.values()]


def broken(rows: list[Row]) -> set[str]:
    """Attacks that did not end as theory says."""
    return {row["attack"] for row in rows if row["kind"] == KIND and not is_as_expected(row)}


# -- tools -------------------------------------------------------------------------------------------------------------


def test_every_field_is_listed_and_can_be_changed_by_itself(tmp_path: Path) -> None:
    entry = make_target(tmp_path, 2).chain.entries[1]
    fields = dict(list_fields(entry))
    names = {name_field(path) for path in fields}
    assert {"block.header.nonce", "certificate.votes.signature", "reasons", "state"} <= names
    assert "block.transactions.transaction.body.payload.certificate.body.role" in names
    for path, value in fields.items():
        changed = dict(list_fields(replace(entry, path, change(value))))
        assert [name for name in fields if fields[name] != changed.get(name)] == [path]


@pytest.mark.parametrize("value", [b"", b"\0", b"abc", 0, 7, "", "visitor-0", "visitor-1", "x", Reason.ACCEPTED])
def test_a_change_is_another_value_of_the_same_type(value: Any) -> None:
    assert change(value) != value
    assert type(change(value)) is type(value)


def test_a_flip_changes_one_byte() -> None:
    assert flip(b"abc", 1, 1) == b"acc"


def test_an_honest_ledger_holds_under_every_check(tmp_path: Path) -> None:
    for layer in range(len(LAYERS)):
        target = make_target(tmp_path, layer)
        for check in (check_hashes, check_all, check_restart):
            assert run_check(check, target.original) is None
        assert read_chain(target.original) == target.chain
        assert not any(reason for entry in target.chain.entries for reason in entry.reasons)


# -- one ledger --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [pytest.param(0, marks=pytest.mark.long), pytest.param(1, marks=pytest.mark.long), 2])
def test_attacks_on_a_ledger_end_as_theory_says(tmp_path: Path, layer: int) -> None:
    rows = attack_ledger(make_target(tmp_path, layer, "md5"), 2, is_every=False)
    assert broken(rows) == set()
    assert check_attacks(rows)[-1]["holds"]
    succeeded = {row["attack"] for row in rows if row["kind"] == KIND and row["succeeded"]}
    forged, dropped = "forge a record, recompute hashes", "drop a transaction, recompute hashes"
    assert (forged in succeeded) is (LAYERS[layer].name == HASHES)
    assert (dropped in succeeded) is (LAYERS[layer].name in {HASHES, ECDSA})


@pytest.mark.slow
def test_no_byte_and_no_field_of_a_certified_ledger_can_be_changed(tmp_path: Path) -> None:
    target = make_target(tmp_path, 2)
    flip_bytes(target, 120)
    change_fields(target, is_every=True)
    rows = rows_of(target)
    assert broken(rows) == set()
    assert not any(row["succeeded"] for row in rows)
    flipped = next(row for row in rows if row["attack"] == "flip bits of a stored block")
    assert flipped["detected"] == flipped["tries"] == 120


def test_the_seed_alone_determines_what_is_tried_and_found(tmp_path: Path) -> None:
    def run(name: str) -> list[Row]:
        (tmp_path / name).mkdir()
        target = make_target(tmp_path / name, 0)
        flip_bytes(target, 5)
        return [{**row, "detect_us": None} for row in rows_of(target)]

    assert run("first") == run("second")


def skip(*_: object, **__: object) -> None:
    """A check that was taken out."""


def test_a_planted_weakness_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without certificates, finality protects no more than signatures do."""
    target = make_target(tmp_path, 2)
    monkeypatch.setattr(product, "verify_certificate", skip)
    change_transactions(target)
    found = broken(rows_of(target))
    assert "drop a transaction, recompute hashes" in found
    *_, check = check_attacks(rows_of(target))
    assert not check["holds"]
    assert FINAL in check["check"]


def test_unverified_authors_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_target(tmp_path, 1)
    monkeypatch.setattr(product, "check_transaction", lambda *_: Reason.ACCEPTED)
    monkeypatch.setattr(product, "check_endorsed", lambda *_: Reason.ACCEPTED)
    change_transactions(target)
    assert "forge a record, recompute hashes" in broken(rows_of(target))


def test_an_unchecked_merkle_root_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_target(tmp_path, 0)
    build = target.scribe.crypto.merkle_tree
    monkeypatch.setattr(product.ChainState, "_build_tree", lambda *given: build(given[-1]))
    change_transactions(target)
    assert "swap two transactions in place" in broken(rows_of(target))


def test_a_verifier_that_trusts_kept_verdicts_is_caught(tmp_path: Path) -> None:
    target = make_target(tmp_path, 2)
    target.layer = dataclasses.replace(target.layer, check=check_restart)
    edit_verdicts(target)
    assert broken(rows_of(target)) == {"edit a verdict, recompute digests"}


# -- replicas, stores, trees -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return attack_replicas("tests", "sha256", "p256", RECORDS, tmp_path_factory.mktemp("replicas"))


def test_a_suffix_passes_exactly_with_a_quorum_of_keys(replicas: list[Row]) -> None:
    assert broken(replicas) == set()
    names = [f"{FINAL}, {count} of {TOPOLOGY.administrators} keys stolen: ledger verify" for count in range(5)]
    succeeded = [sum(row["succeeded"] for row in replicas if row["protection"] == name) for name in names]
    assert succeeded == [0, 0, 0, KEEPERS, KEEPERS]
    weighted = {row["protection"]: row["succeeded"] for row in replicas if row["protection"].endswith("stolen: audit")}
    assert [found for name, found in weighted.items() if " stake " in name] == [1, 0]


def test_a_pinned_tip_finds_what_a_file_cannot_show(replicas: list[Row]) -> None:
    pinned = [row for row in replicas if row["protection"].endswith("--tip")]
    assert pinned
    assert all(row["detected"] == row["tries"] for row in pinned)
    alone = next(row for row in replicas if row["attack"] == "roll back 1 of 3 ledgers")
    assert alone["succeeded"] == 1


def test_a_malicious_store_beats_the_path_alone(tmp_path: Path) -> None:
    keepers = gather("tests", "md5", "p256", ConsensusRule.PROOF_OF_STAKE, RECORDS, tmp_path)
    rows = attack_store(keepers, "tests")
    assert broken(rows) == set()
    by_path = {row["attack"]: row["succeeded"] for row in rows if "path" in row["protection"]}
    assert by_path.pop("serve nothing") == 0
    assert all(by_path.values())


def test_weaker_trees_are_beaten_and_those_of_rfc_6962_are_not(tmp_path: Path) -> None:
    rows = trees.attack_trees("tests", "sha256", "p256", RECORDS, tmp_path)
    assert broken(rows) == set()
    assert not any(row["succeeded"] for row in rows if row["protection"].startswith("RFC 6962"))


def test_a_tree_that_lost_its_prefixes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = trees.drop_prefixes(trees.find_suite("sha256"))
    monkeypatch.setattr(trees, "find_suite", lambda _: bare)
    rows = trees.confuse_nodes("tests", "sha256", "p256", RECORDS)
    assert "RFC 6962 prefixes, size not bound" in {row["protection"] for row in rows if not is_as_expected(row)}


def test_equal_throughput_shows_nothing(tmp_path: Path) -> None:
    rows = attack_throughput("tests", "sha256", "p256", RECORDS, tmp_path)
    honest, altered = (row for row in rows if row["kind"] == "throughput")
    assert honest["tx_per_s"] == altered["tx_per_s"]
    assert honest["tip"] != altered["tip"]
    assert honest["verifies"]
    assert altered["verifies"]
    assert broken(rows) == set()


def test_an_altered_record_is_as_long_and_another() -> None:
    for record in RECORDS:
        other = alter(record)
        assert len(other.body) == len(record.body)
        assert other.body != record.body
        msgspec.json.decode(other.body)


# -- the experiment ----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_tables_figures_and_answers_come_from_the_rows(tmp_path: Path, replicas: list[Row]) -> None:
    rows = [{"group": "ledger", **row} for row in attack_ledger(make_target(tmp_path, 2), 2, is_every=False)]
    rows += [{"group": "replicas", **row} for row in replicas]
    rows += [{"group": "throughput", **row} for row in attack_throughput("tests", "sha256", "p256", RECORDS, tmp_path)]
    raw = pd.DataFrame(rows)
    tables = {table.name: table.build(raw) for table in tamper.EXPERIMENT.tables}
    for table in tamper.EXPERIMENT.tables:
        assert list(tables[table.name].columns) == list(table.columns)
    fields = tables["tamper_fields"].set_index("field")
    assert fields.loc["header.timestamp", "final"] == "certificate"
    assert fields.loc["header.timestamp", "in_place"] == "kept hash"
    for figure in tamper.EXPERIMENT.figures:
        assert figure.draw(tables).axes
    assert any(line.startswith("C32") and "the same" in line for line in tamper.answer(tables))
