"""The micro-benchmarks compute what they say, and the engine reads what pytest-benchmark reports."""

import hashlib
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.engines import micro
from bench.engines.base import Context
from bench.engines.micro import last_line, run_micro
from bench.errors import BenchError
from bench.experiments.base import Case
from bench.micro import cases
from bench.micro.cases import HashCase, SignatureCase, hash_cases, signature_cases
from bench.micro.test_signatures import prepare
from bench.scenario import Hashes, load_scenario
from ehrcore.hashing import SUITES
from ehrcore.signing import find_scheme


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("EHRBENCH_"):
            monkeypatch.delenv(name)


@pytest.fixture
def context(tmp_path):
    return Context(load_scenario("smoke"), None, tmp_path)


def with_hashes(context, **section):
    context.scenario = replace(context.scenario, hashes=Hashes(**section, seconds_per_case=0.001))
    return context


# -- cases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 63, 64, 255, 256, 2_048, 30_720])
@pytest.mark.parametrize("library", cases.LIBRARIES)
def test_every_library_gives_the_digest_of_the_suite(library, size):
    functions = cases.load_library(library)
    assert functions
    for suite in functions:
        case = HashCase(suite, library, size)
        message = case.message()
        assert len(message) == size
        assert case.function()(message) == SUITES[suite].hash(message)


def test_every_suite_is_measured_and_sha256_in_every_library_but_blake3s():
    found = {(case.suite, case.library) for case in hash_cases()}
    assert {suite for suite, _ in found} == set(SUITES)
    assert {library for suite, library in found if suite == "sha256"} == {"hashlib", "cryptography", "pycryptodome"}


def test_a_missing_package_leaves_its_cases_out(monkeypatch):
    def missing():
        raise ImportError

    monkeypatch.setattr(cases, "LIBRARIES", {**cases.LIBRARIES, "blake3": missing})
    cases.load_library.cache_clear()
    try:
        assert "blake3" not in {case.suite for case in hash_cases()}
    finally:
        cases.load_library.cache_clear()


def test_a_policy_that_forbids_md5_falls_back_to_the_suites_own_call(monkeypatch):
    def forbidden(data=b""):
        raise ValueError("disabled for FIPS")

    monkeypatch.setattr(hashlib, "md5", forbidden)
    assert cases._with_hashlib()["md5"](b"abc") == SUITES["md5"].hash(b"abc")


def test_the_environment_chooses_suites_libraries_and_sizes(monkeypatch):
    monkeypatch.setenv("EHRBENCH_SUITES", "md5,sha256")
    monkeypatch.setenv("EHRBENCH_LIBRARIES", "hashlib")
    monkeypatch.setenv("EHRBENCH_SIZES", "0,7")
    assert [str(case) for case in hash_cases()] == [
        "md5-0-hashlib", "md5-7-hashlib", "sha256-0-hashlib", "sha256-7-hashlib"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EHRBENCH_SUITES", "sha257"),
        ("EHRBENCH_LIBRARIES", "openssl"),
        ("EHRBENCH_SIZES", "-1"),
        ("EHRBENCH_SIZES", "64,many"),
        ("EHRBENCH_SIZES", str(1 << 40)),
    ],
)
def test_an_unusable_choice_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(BenchError, match=f"^{name}: expected .*, found '"):
        hash_cases()


def test_signature_cases_are_every_operation_of_every_real_scheme():
    names = {case.scheme for case in signature_cases()}
    assert names == {f"{c}/{b}" for c in ("p256", "secp256k1") for b in ("cryptography", "ecdsa", "pycryptodome")}
    assert len(signature_cases()) == 18


@pytest.mark.parametrize("case", signature_cases(), ids=str)
def test_each_signature_operation_is_checked_by_what_it_returns(case):
    (function, *arguments), check = prepare(find_scheme(case.scheme), case.scheme.split("/")[0], case.operation)
    assert check(function(*arguments))
    wrong = {"sign": bytes(64), "verify": False}.get(case.operation)
    if wrong is not None:
        assert not check(wrong)


def test_extra_info_names_the_openssl_that_does_the_work_and_none_where_none_does():
    assert HashCase("sha256", "cryptography", 64).extra_info()["openssl"].startswith("OpenSSL")
    assert HashCase("sha256", "pycryptodome", 64).extra_info()["openssl"] == ""
    assert HashCase("md5", "hashlib", 64).extra_info()["is_weak"] is True
    info = SignatureCase("p256/ecdsa", "verify").extra_info()
    assert (info["library"], info["curve"], info["operation"]) == ("ecdsa", "p256", "verify")
    assert info["library_version"].endswith("integers)")


# -- the engine ----------------------------------------------------------------------------------------------------

STATS = {
    "median": 2e-6, "iqr": 1e-7, "q1": 1.9e-6, "q3": 2e-6, "min": 1e-6, "mean": 2.5e-6, "stddev": 3e-7,
    "ops": 4e5, "rounds": 9, "iterations": 3,
}  # fmt: skip
ENTRY = {
    "name": "test_hash[x]",
    "stats": STATS,
    "extra_info": {"suite": "md5", "library": "hashlib", "operation": "hash", "size_bytes": 1_000},
}


def test_a_row_has_nanoseconds_per_call_and_throughput_from_the_median():
    row = micro._row(ENTRY)
    assert row["median_ns"] == pytest.approx(2_000)
    assert row["mean_ns"] == pytest.approx(2_500)
    assert (row["rounds"], row["iterations"], row["ops_per_s"]) == (9, 3, 4e5)
    assert row["gigabyte_per_s"] == pytest.approx(0.5)


def test_a_signature_row_has_no_throughput():
    row = micro._row({**ENTRY, "extra_info": {"scheme": "p256/ecdsa", "operation": "sign", "size_bytes": 32}})
    assert "gigabyte_per_s" not in row


@pytest.mark.parametrize("settings", [{}, {"file": "test_none.py"}, {"file": "../test_hashes.py"}])
def test_an_unknown_file_is_refused(context, settings):
    with pytest.raises(BenchError, match="file: expected one of"):
        run_micro(context, Case("c", "micro", settings))


def test_what_pytest_said_last_is_the_error_if_there_is_one():
    assert last_line("noise\nE   ValueError: no\n=== 1 error ===", "") == "ValueError: no"
    assert last_line("", "pytest: error: unrecognized arguments: --x\n  inifile: None") == (
        "pytest: error: unrecognized arguments: --x"
    )
    assert last_line("no tests ran in 0.01s\n", "") == "no tests ran in 0.01s"
    assert last_line("", "") == "it said nothing"


def test_a_report_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "benchmark.json"
    path.write_text("{")
    with pytest.raises(BenchError, match="expected pytest-benchmark's report"):
        micro._read(path, "test_hashes.py")


def test_the_process_sees_the_choices_and_none_of_pytests_own_settings(monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "--bogus")
    monkeypatch.setenv("EHRBENCH_SIZES", "1")
    found = micro._environment({"EHRBENCH_SUITES": "md5"})
    assert found["EHRBENCH_SUITES"] == "md5"
    assert "PYTEST_ADDOPTS" not in found
    assert "EHRBENCH_SIZES" not in found
    assert Path(found["PYTHONPATH"].split(os.pathsep)[0], "bench", "micro").is_dir()


# -- whole runs ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_honours_the_scenario_and_is_warmed_up(context):
    case = Case("c", "micro", {"file": "test_hashes.py", "environment": {"EHRBENCH_LIBRARIES": "hashlib"}})
    rows = run_micro(with_hashes(context, suites=["sha256", "md5"], sizes_bytes=[3]), case)
    assert [(row["suite"], row["library"], row["size_bytes"]) for row in rows] == [
        ("sha256", "hashlib", 3), ("md5", "hashlib", 3)
    ]  # fmt: skip
    assert all(row["median_ns"] > 0 and row["variant"] == "" for row in rows)
    chosen = {"EHRBENCH_SUITES": "md5", "EHRBENCH_SIZES": "3", "EHRBENCH_LIBRARIES": "hashlib"}
    report = micro._run_pytest(micro.MICRO / "test_hashes.py", 0.001, chosen)
    assert report["benchmarks"][0]["options"]["warmup"] == 1_000
    assert report["benchmarks"][0]["options"]["max_time"] == pytest.approx(0.001)


@pytest.mark.slow
def test_a_failing_run_is_one_error_with_its_reason(context):
    bad = with_hashes(context, suites=["sha257"], sizes_bytes=[64])
    with pytest.raises(BenchError, match="pytest: .*EHRBENCH_SUITES: expected one of .*, found 'sha257'$"):
        run_micro(bad, Case("c", "micro", {"file": "test_hashes.py"}))


@pytest.mark.slow
def test_choices_that_leave_nothing_are_an_error(context):
    none = with_hashes(context, suites=["blake3"], sizes_bytes=[64])
    case = Case("c", "micro", {"file": "test_hashes.py", "environment": {"EHRBENCH_LIBRARIES": "hashlib"}})
    with pytest.raises(BenchError, match="expected at least one benchmark"):
        run_micro(none, case)
