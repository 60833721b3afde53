"""The smoke profile as a user runs it, whole: what it must leave behind."""

import csv
import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.experiments import find_experiment
from bench.scenario import load_scenario


@pytest.mark.long
def test_the_smoke_profile_leaves_a_complete_run(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bench", "run", "--profile", "smoke", "--results", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    assert done.stdout.rstrip().endswith(str(folder / "report.html"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "complete"
    for name in load_scenario("smoke").experiments:
        assert manifest["experiments"][name]["status"] == "complete"
        experiment = find_experiment(name)
        for table in experiment.tables:
            assert (folder / "tables" / f"{table.name}.csv").stat().st_size > 0
            assert (folder / "tables" / f"{table.name}.tex").stat().st_size > 0
        for figure in experiment.figures:
            assert (folder / "figures" / f"{figure.name}.svg").stat().st_size > 0
            assert (folder / "figures" / f"{figure.name}.png").stat().st_size > 0
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del files["manifest.json"]
    assert manifest["files"] == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    check_table1(folder)
    check_framework(folder)
    check_networks(folder)


def check_table1(folder: Path) -> None:
    with (folder / "tables" / "table1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(1, 19))
    measured = (
        "tx_per_s", "shared_tx_per_s", "calibrated_tx_per_6min", "latency_quorum_p50_ms", "latency_quorum_p95_ms",
        "latency_quorum_p99_ms", "cpu_ms_per_tx", "energy_mj_low", "energy_mj_mid", "energy_mj_high",
        "messages_per_tx", "kilobytes_per_tx",
    )  # fmt: skip
    for row in rows:
        assert all(math.isfinite(float(row[name])) and float(row[name]) > 0 for name in measured), row
        assert row["energy_status"] == "estimated"


def check_framework(folder: Path) -> None:
    with (folder / "tables" / "framework_checks.csv").open(encoding="utf-8", newline="") as file:
        assert {row["holds"] for row in csv.DictReader(file)} == {"True"}


def check_networks(folder: Path) -> None:
    """Real networks committed something, and all of it was found in their ledgers."""
    found = {}
    for name in ("load_capacity", "load_ladder", "load_roles", "agree", "agree_summary", "variants_net", "table1"):
        with (folder / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found[name] = list(csv.DictReader(file))
    assert [row["use"] for row in found["agree"]] == ["fitted", "fitted", "predicted"]
    assert [row["configurations"] for row in found["agree_summary"]] == ["1", "1"]
    for row in (*found["load_capacity"], *found["variants_net"]):
        assert int(row["audited_tx"]) > 0
    assert {row["role"] for row in found["load_roles"]} >= {"visitor", "agent", "administrator"}
    measured = [row["row"] for row in found["table1"] if row["net_tx_per_s"]]
    assert measured == ["18"]
