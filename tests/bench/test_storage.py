"""Experiment `storage`: chains that verify, sizes that are those of the files, fits that find what is planted."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from bench.analysis.regression import fit_linear
from bench.engines import find_engine
from bench.engines import storage as engine
from bench.engines.base import Context
from bench.experiments import find_experiment
from bench.experiments.base import Case
from bench.experiments.storage_rates import PAPER_DAY_BYTES, build_days
from bench.experiments.storage_tables import build_growth
from bench.scenario import load_scenario
from bench.storage.chains import INTERVAL_NS, Maker
from bench.storage.files import encode_final, measure_files, write_administrator, write_keeper
from bench.workload import build_workload, vital_signs
from ehrcore.codec import encode
from ehrcore.drive.net import journal
from ehrcore.errors import LedgerError
from ehrcore.ledger import SqliteLedger
from ehrcore.merkle import verify_inclusion
from ehrcore.proof import build_proof, verify_proof

RECORDS = vital_signs(2, 3, 1).records


def maker(fill: int = 2) -> Maker:
    return Maker((2, 2, 4, 3), fill, RECORDS, "tests")


def context(tmp_path) -> Context:
    return Context(load_scenario("smoke"), build_workload(RECORDS, "tests"), tmp_path)


# -- chains and files --------------------------------------------------------------------------------------------------


def test_what_is_made_is_a_chain_that_verifies_to_the_last_signature(tmp_path) -> None:
    made = maker()
    persists = list(made.make(4))
    sizes = write_keeper(tmp_path / "keeper", made, persists)
    path = tmp_path / "keeper" / "ledger.sqlite"
    with SqliteLedger.open(path) as ledger:
        state = ledger.verify()
    assert (state.height, state.digest) == (4, persists[-1].state)
    assert sizes["ledger"]["main"] == path.stat().st_size > sum(len(encode(item.block)) for item in persists)
    assert sizes["ledger, running"]["wal"] > 0 == sizes["ledger"]["wal"]
    assert persists[-1].block.header.timestamp == 4 * INTERVAL_NS


def test_a_planted_forgery_in_a_made_chain_is_found(tmp_path) -> None:
    """Chains are made outside the framework's roles; it is its own `verify` that says they are whole."""
    made = maker()
    made.scribe._cryptos["agent-0"] = made.scribe._cryptos["agent-1"]
    made_up = list(made.make(2))
    write_keeper(tmp_path / "keeper", made, made_up)
    with SqliteLedger.open(tmp_path / "keeper" / "ledger.sqlite") as ledger, pytest.raises(LedgerError, match="state"):
        ledger.verify()


def test_the_same_label_makes_the_same_chain() -> None:
    assert [item.state for item in maker().make(3)] == [item.state for item in maker().make(3)]


def test_the_parts_of_a_block_are_all_of_its_entry() -> None:
    (persist,) = maker(3).make(1)
    rows = engine.split_block(persist)
    assert sum(row["size_bytes"] for row in rows) == len(engine._entry(persist))
    assert min(row["size_bytes"] for row in rows) > 0


def test_an_administrators_file_stops_growing_with_its_queue(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT_BLOCKS", 64)
    (persist,) = maker(1).make(1)
    content = encode_final(persist)
    finals = [(height, content) for height in range(1, 257)]
    sizes = write_administrator(tmp_path / "bounded.db", bytes(32), finals, 32)
    assert sizes[32] < sizes[64]
    assert sizes[256] <= sizes[128] + 8_192
    monkeypatch.setattr(journal, "KEPT_BLOCKS", 1 << 30)
    endless = write_administrator(tmp_path / "endless.db", bytes(32), finals, 32)
    assert endless[256] > 2 * sizes[256], "a queue without a bound shows"


def test_a_file_that_is_not_there_has_no_size(tmp_path) -> None:
    assert measure_files(tmp_path / "none") == {"main": 0, "wal": 0, "shm": 0}


def test_proofs_from_made_chains_hold() -> None:
    made = maker(5)
    (persist,) = made.make(1)
    receipt, words = made.receipt(persist, 3)
    proof = build_proof(made.genesis, receipt, words)
    assert verify_proof(proof, made.network.chain).index == 3
    entry, root = receipt.entries[0], persist.block.header.merkle_root
    verify_inclusion(made.network.authority_crypto.suite, root, 5, 3, entry.leaf, entry.path)


def test_a_ledger_that_does_not_verify_has_no_memory_to_measure(tmp_path) -> None:
    path = tmp_path / "broken.sqlite"
    path.write_bytes(b"no ledger")
    with pytest.raises(ChildProcessError, match="found code"):
        engine.measure_memory(path)


def test_the_memory_of_a_process_is_its_own_and_not_that_of_who_measures(tmp_path) -> None:
    made = maker(5)
    write_keeper(tmp_path / "keeper", made, list(made.make(1)))
    held = bytearray(256 << 20)
    held[::4_096] = b"x" * len(held[::4_096])
    assert 5 << 20 < engine.measure_memory(tmp_path / "keeper" / "ledger.sqlite") < 200 << 20


# -- fits and rates ----------------------------------------------------------------------------------------------------


def test_a_planted_plane_is_found_within_its_interval() -> None:
    chance = np.random.Generator(np.random.PCG64(7))
    rows = [[float(blocks), float(blocks * fill)] for blocks in (10, 40, 90) for fill in (1, 5, 15)]
    values = [1_000 + 300 * a + 700 * b + 50 * chance.standard_normal() for a, b in rows]
    (fixed, block, tx), r2 = fit_linear(rows, values)
    assert block.low < 300 < block.high
    assert tx.low < 700 < tx.high
    assert fixed.low < 1_000 < fixed.high
    assert r2 > 0.999


def test_intervals_of_a_fit_hold_as_often_as_they_say() -> None:
    chance, held = np.random.Generator(np.random.PCG64(11)), 0
    for _ in range(400):
        (_, slope), _ = fit_linear([[x] for x in range(8)], [5 + 2 * x + chance.standard_normal() for x in range(8)])
        held += slope.low <= 2 <= slope.high
    assert 0.92 <= held / 400 <= 0.98


def test_a_fit_refuses_columns_that_say_the_same_and_has_no_interval_without_spare_points() -> None:
    with pytest.raises(ValueError, match="columns that differ"):
        fit_linear([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], [1.0, 2.0, 3.0])
    (fixed, slope), r2 = fit_linear([[1.0], [3.0]], [2.0, 8.0])
    assert (round(fixed.value, 9), round(slope.value, 9), round(r2, 9)) == (-1.0, 3.0, 1.0)
    assert math.isnan(slope.low)


def files(bytes_per_tx: float, bytes_per_block: float) -> pd.DataFrame:
    """Files of a keeper that grow just so; the index takes nothing."""
    return pd.DataFrame([
        {"kind": "file", "role": "keeper", "file": file, "blocks": blocks, "transactions": blocks * fill,
         "size_bytes": share * (bytes_per_tx * blocks * fill + bytes_per_block * blocks)}
        for file, share in (("ledger", 2.0), ("index", 0.0), ("content alone", 1.0))
        for blocks in (10, 20, 40) for fill in (1, 15)
    ])  # fmt: skip


def test_days_are_what_growth_times_the_load_makes() -> None:
    growth = build_growth(files(600, 500))
    days = build_days(growth, list(find_experiment("storage").tables[2].columns)).set_index("rate")
    limit = days.iloc[0]
    assert limit["content_mb"] == PAPER_DAY_BYTES / 1e6 == 7.3728
    assert math.isclose(limit["disk_mb"], 2 * 7.3728, rel_tol=1e-6), "a file of twice its content"
    second = days.loc["1 a second"]
    assert math.isclose(second["content_mb"], (86_400 * 600 + 86_400 / 15 * 500) / 1e6, rel_tol=1e-6)
    assert days["disk_mb"].is_monotonic_increasing is False, "the paper's limit is no limit"
    assert math.isclose(days.loc["240 full blocks", "blocks_per_day"], 240)


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_growth_leaves_nothing_behind_and_checks_the_ledger(tmp_path) -> None:
    rows = engine.run_growth(context(tmp_path), Case("growth-4", "", {"fill": 4}))
    (check,) = [row for row in rows if row["kind"] == "check"]
    assert check["holds"] is True
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_tables_figures_and_answer_come_from_raw_rows(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "KEPT_BLOCKS", 64)
    monkeypatch.setattr(journal, "KEPT_BLOCKS", 64)
    experiment, given = find_experiment("storage"), context(tmp_path)
    rows = [
        {"case": case.label, "status": "ok", **row}
        for case in experiment.cases(given.scenario)
        for row in find_engine(case.engine)(given, case)
    ]
    assert not {"part", "parts", "case", "status"} & {
        name for row in rows for name in row if name not in {"case", "status"}
    }
    raw = pd.DataFrame(json.loads(json.dumps(rows, allow_nan=False)))
    tables = {table.name: table.build(raw) for table in experiment.tables}
    for table in experiment.tables:
        assert list(tables[table.name].columns) == list(table.columns), table.name
        assert len(tables[table.name]), table.name
        if table.keys:
            assert not tables[table.name].duplicated(list(table.keys)).any(), table.name
    pruned = tables["storage_pruned"].iloc[-1]
    assert pruned["pruned_bytes"] < pruned["whole_bytes"]
    assert tables["storage_pruned"]["peak_mb"].gt(0).all(), "a length without it would leave C44 without a verdict"
    assert (tables["storage_proofs"]["path_digests"] == [0, 3]).all()
    assert (tables["storage_administrators"]["tip_bytes"] == 32).all()
    for figure in experiment.figures:
        assert figure.draw(tables).axes
    assert {line[:3] for line in experiment.answer(tables)} == {"C21", "C39", "C40", "C44", "C45"}
