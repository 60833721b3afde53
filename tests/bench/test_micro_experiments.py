"""The hashes and signatures experiments: from raw rows to tables and figures."""

import json

import pandas as pd
import pytest
from msgspec.structs import replace

from bench.engines.base import Context
from bench.engines.micro import run_micro
from bench.experiments import hashes, signatures
from bench.scenario import Hashes, Signatures, load_scenario
from ehrcore.hashing import SUITES


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [hashes.EXPERIMENT, signatures.EXPERIMENT], ids=lambda found: found.id)
def test_an_experiment_runs_and_its_tables_and_figures_can_be_made(tmp_path, experiment):
    section = Hashes(suites=["sha256", "sha1", "blake3"], sizes_bytes=[64, 1_024], seconds_per_case=0.001)
    scenario = replace(load_scenario("smoke"), hashes=section, signatures=Signatures(seconds_per_case=0.001))
    context = Context(scenario, None, tmp_path)
    rows = [row for case in experiment.cases(context.scenario) for row in run_micro(context, case)]
    tables = {table.name: table.build(pd.DataFrame(json.loads(json.dumps(rows)))) for table in experiment.tables}
    for table in experiment.tables:
        assert list(tables[table.name].columns) == list(table.columns)
        assert set(table.highlights) <= set(table.columns)
    for figure in experiment.figures:
        assert figure.draw(tables).axes


def hash_row(suite, library, size, median, instructions="all"):
    info = {"library_version": "1", "openssl": "OpenSSL 3" if library == "hashlib" else ""}
    times = {f"{name}_ns": median for name in ("median", "iqr", "q1", "q3", "min", "mean", "stddev")}
    counts = {"ops_per_s": 1.0, "rounds": 1, "iterations": 1, "gigabyte_per_s": size / median}
    row = {"suite": suite, "library": library, "size_bytes": size, "is_weak": SUITES[suite].is_weak}
    return {**row, **info, **times, **counts, "variant": instructions, "operation": "hash"}


def test_a_hash_is_related_to_sha256_of_the_same_library_size_and_instructions():
    rows = [
        hash_row("sha256", "hashlib", 64, 100.0),
        hash_row("md5", "hashlib", 64, 150.0),
        hash_row("sha256", "hashlib", 64, 600.0, "no SHA-NI"),
        hash_row("md5", "hashlib", 64, 150.0, "no SHA-NI"),
        hash_row("blake3", "blake3", 64, 50.0),
    ]
    table = hashes.build_hashes(pd.DataFrame(rows))
    found = table.set_index(["suite", "instructions"])["relative"]
    assert found["md5", "all"] == pytest.approx(1.5)
    assert found["md5", "no SHA-NI"] == pytest.approx(0.25)
    assert pd.isna(found["blake3", "all"])


def test_the_mask_says_nothing_of_functions_that_openssl_does_not_compute():
    rows = [
        hash_row("sha256", "hashlib", 64, 1.0, "no SHA-NI"),
        hash_row("sha256", "pycryptodome", 64, 1.0, "no SHA-NI"),
    ]
    assert list(hashes.build_hashes(pd.DataFrame(rows))["library"]) == ["hashlib"]


def test_weak_functions_are_dashed_and_marked_in_the_figure():
    rows = [hash_row(suite, "hashlib", size, size / 2) for suite in ("sha256", "md5") for size in (64, 30_720)]
    figure = hashes.draw_throughput({"hashes": hashes.build_hashes(pd.DataFrame(rows))})
    lines = {line.get_label(): line.get_linestyle() for line in figure.axes[0].lines}
    assert lines == {"sha256": "-", "md5 (broken)": "--"}
    assert figure.axes[0].get_ylabel() == "Throughput [GB/s]"


def test_a_signature_is_related_to_the_default_scheme_and_given_in_microseconds():
    times = dict.fromkeys([f"{name}_ns" for name in ("median", "iqr", "q1", "q3", "min", "mean", "stddev")], 30_000.0)
    rest = {"library_version": "1", "openssl": "", "ops_per_s": 1.0, "rounds": 1, "iterations": 1, "operation": "sign"}
    rows = [
        {"scheme": "p256/cryptography", "curve": "p256", "library": "cryptography", **times, **rest},
        {"scheme": "p256/ecdsa", "curve": "p256", "library": "ecdsa", **times, **rest, "median_ns": 60_000.0},
    ]
    table = signatures.build_signatures(pd.DataFrame(rows))
    assert list(table["median_us"]) == [30.0, 60.0]
    assert list(table["relative"]) == [1.0, 2.0]
