"""Experiment `privacy`: planted weaknesses show up, what hides really hides, and sizes are those of the schemes."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from bench.engines import anonymity as anonymity_engine
from bench.engines import privacy as engine
from bench.engines.base import Context
from bench.experiments import find_experiment
from bench.experiments.base import Case
from bench.experiments.privacy_plan import Privacy
from bench.privacy.anonymity import COARSEST, FINEST, LEVELS, classify, compute_match, estimate_match, measure_anonymity
from bench.privacy.documents import confirm, store, write_document
from bench.privacy.guesses import (
    GUESSED_KEYS,
    choose_patients,
    enumerate_ids,
    list_digits,
    make_guess,
    open_pseudonyms,
    secret_of,
    study_key,
)  # fmt: skip
from bench.privacy.linkage import MODES, ONCE, STABLE, STUDY, Attacker, Seen, read_chain, wilson, write_chain
from bench.privacy.population import DAYS_PER_YEAR, People, make_people, make_visits
from bench.privacy.spaces import SPACES, count_weighted
from bench.scenario import load_scenario
from bench.workload import build_workload, vital_signs
from ehrcore.hashing import find_suite
from ehrcore.pseudonyms import PseudonymKind
from ehrcore.records import RecordKind, make_record

SEED = "tests"


def context(tmp_path, records=()) -> Context:
    scenario = load_scenario("smoke")
    return Context(scenario, build_workload((*records, *vital_signs(2, 2, 1).records), "tests"), tmp_path)


# -- id spaces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_the_count_of_valid_numbers_is_that_of_counting_them(digits: int) -> None:
    """The NHS's rule over fewer digits: weights fall to 2, and a remainder of 1 has no check digit."""
    weights = range(digits + 1, 1, -1)
    counted = sum(
        sum(weight * digit for weight, digit in zip(weights, number, strict=True)) % 11 != 1
        for number in itertools.product(range(10), repeat=digits)
    )
    assert count_weighted(weights, 11, 1) == counted


def test_a_published_example_of_an_nhs_number_is_in_its_space() -> None:
    digits = [int(digit) for digit in "9434765919"]
    remainder = sum(weight * digit for weight, digit in zip(range(10, 1, -1), digits, strict=False)) % 11
    assert (remainder != 1, (11 - remainder) % 11) == (True, digits[-1])


def test_sizes_are_those_that_their_sources_give() -> None:
    sizes = {space.name: space.size for space in SPACES}
    assert sizes["US: social security number"] == 898 * 99 * 9_999
    assert sizes["India: Aadhaar"] == 80_000_000_000
    assert sizes["random UUID"] == 2**122
    assert math.isclose(sizes["UK: NHS number"], 10**10 / 11, rel_tol=1e-6)
    assert all(space.source and space.rule for space in SPACES)


# -- guesses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PseudonymKind.BARE, PseudonymKind.SALTED])
@pytest.mark.parametrize("suite", ["sha256", "sha1", "md5"])
def test_what_needs_no_key_is_found_by_trying(kind: PseudonymKind, suite: str) -> None:
    patients = choose_patients(3, 4, SEED)
    targets = {open_pseudonyms(kind, suite, SEED).name(patient): patient for patient in patients}
    found, tried = enumerate_ids(make_guess(kind, suite), list_digits(3), targets)
    assert {name: patient.decode() for name, patient in found.items()} == targets
    assert tried <= 1_000


def test_a_slow_one_is_found_as_well() -> None:
    name = open_pseudonyms(PseudonymKind.SLOW, "sha256", SEED).name("7")
    assert enumerate_ids(make_guess(PseudonymKind.SLOW, ""), [b"3", b"7"], [name])[0] == {name: b"7"}


def test_a_keyed_one_is_found_with_the_key_and_not_without() -> None:
    name = open_pseudonyms(PseudonymKind.KEYED, "sha256", SEED).name("042")
    with_key = make_guess(PseudonymKind.KEYED, "", secret_of(SEED))
    assert enumerate_ids(with_key, list_digits(3), [name])[0] == {name: b"042"}
    for key in (*GUESSED_KEYS, study_key(SEED, "a")):
        assert enumerate_ids(make_guess(PseudonymKind.KEYED, "", key), list_digits(3), [name]) == ({}, 1_000)


def test_the_key_of_one_study_opens_that_study_alone() -> None:
    names = open_pseudonyms(PseudonymKind.PER_STUDY, "sha256", SEED)
    targets = [names.name("042", study) for study in ("a", "b")]
    found, _ = enumerate_ids(make_guess(PseudonymKind.KEYED, "", study_key(SEED, "a")), list_digits(3), targets)
    assert found == {targets[0]: b"042"}


def run_ids(tmp_path) -> list[dict]:
    return engine.run_enumeration(context(tmp_path), Case("ids-3", "", {"digits": 3, "is_full": True}))


def attacks(rows: list[dict]) -> dict[str, tuple[str, int, int]]:
    return {
        row["protection"]: (row["expected"], row["tries"], row["succeeded"]) for row in rows if row["kind"] == "attack"
    }


def test_every_kind_ends_as_theory_says(tmp_path) -> None:
    rows = run_ids(tmp_path)
    found, count = attacks(rows), load_scenario("smoke").privacy.patients
    assert found["bare"] == found["salted"] == found["keyed, the key leaked"] == ("succeeds", count, count)
    assert found["per-study, its key leaked"] == ("succeeds", count, count)
    for name in ("keyed", "per-study", "one-time", "per-study, another study's key leaked"):
        assert found[name] == ("refused", count, 0)
    assert rows[-1] == {"kind": "check", "check": "every attack ends as theory says", "holds": True}


def test_a_planted_weakness_is_found(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority whose key is the public salt, which an attacker tries: the run says that theory was wrong."""
    monkeypatch.setattr(engine, "secret_of", lambda _: GUESSED_KEYS[-1])
    monkeypatch.setattr("bench.privacy.guesses.secret_of", lambda _: GUESSED_KEYS[-1])
    rows = run_ids(tmp_path)
    assert attacks(rows)["keyed"][2] == load_scenario("smoke").privacy.patients
    assert rows[-1]["holds"] is False


def test_a_kind_that_is_no_hash_of_the_id_is_not_said_to_be_found(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attack itself is watched: one that finds nothing where it has to is no success."""
    monkeypatch.setattr(engine, "make_guess", lambda *_: lambda patient: patient)
    rows = run_ids(tmp_path)
    assert attacks(rows)["bare"][2] == 0
    assert rows[-1]["holds"] is False


# -- documents ---------------------------------------------------------------------------------------------------------


def test_a_plain_document_is_guessed_and_a_sealed_one_is_not() -> None:
    suite, document = find_suite("sha256"), write_document("p", 400, "Positive")
    assert confirm(suite, "p", suite.hash(store(document, "a", SEED, is_sealed=False))) == (400, "Positive")
    assert confirm(suite, "p", suite.hash(store(document, "a", SEED, is_sealed=True))) is None
    assert store(document, "a", SEED, is_sealed=True) != store(document, "b", SEED, is_sealed=True)


def test_a_location_from_the_content_confirms_it_too() -> None:
    """What `make_record` puts on the chain follows from the bytes, so those had better be sealed ones."""
    document = write_document("p", 1, "Negative")
    first, second = (make_record(RecordKind.DIAGNOSTIC_REPORT, "p", "Observation", document) for _ in range(2))
    assert first.location == second.location
    sealed = [store(document, place, SEED, is_sealed=True) for place in "ab"]
    assert len({make_record(RecordKind.DIAGNOSTIC_REPORT, "p", "Observation", body).location for body in sealed}) == 2


def test_a_planted_key_reuse_links_copies(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        engine, "store", lambda document, _, seed, is_sealed: store(document, "", seed, is_sealed=is_sealed)
    )
    rows = engine.run_documents(context(tmp_path), Case("documents", ""))
    linked = [row for row in rows if row.get("attack", "").startswith("link") and row["expected"] == "refused"]
    assert linked
    assert all(row["succeeded"] == row["tries"] for row in linked)
    assert rows[-1]["holds"] is False


# -- linkage -----------------------------------------------------------------------------------------------------------

VISITS = make_visits(200, {1: 1, 2: 3}, SEED)


def test_the_attacker_reads_the_chain_alone() -> None:
    ledger = read_chain(write_chain(VISITS, STABLE, b"s" * 32))
    assert [seen.at_s for seen in ledger] == VISITS.at_s.tolist()
    assert [seen.author for seen in ledger] == [f"visitor-{hospital}" for hospital in VISITS.hospital.tolist()]
    assert len({seen.pseudonym for seen in ledger}) == len(set(VISITS.patient.tolist()))


@pytest.mark.parametrize("mode", MODES)
def test_names_reach_as_far_as_they_should(mode: str) -> None:
    ledger = read_chain(write_chain(VISITS, mode, b"s" * 32))
    pairs = zip(VISITS.patient.tolist(), VISITS.hospital.tolist(), strict=True)
    expected = {STABLE: 200, STUDY: len(set(pairs)), ONCE: len(ledger)}
    assert len({seen.pseudonym for seen in ledger}) == expected[mode]


def tiny(*rows: tuple[str, int, bytes, int]) -> list[Seen]:
    return [Seen(*row) for row in rows]


def test_a_match_is_exact_and_counts_what_is_learnt() -> None:
    ledger = tiny(
        ("v0", 1, b"a", 0), ("v0", 1, b"b", 10), ("v1", 2, b"a", 90), ("v1", 2, b"c", 200), ("v0", 1, b"a", 300),
    )  # fmt: skip
    attacker = Attacker(ledger, 60, "time, hospital, kind")
    first = attacker.attempt([0, 2, 4], [0])
    assert (first.candidates, first.gained) == (2, 0.0), "a and b were both there in the first minute"
    both = attacker.attempt([0, 2, 4], [0, 2])
    assert (both.candidates, both.gained) == (1, 1.0), "both visits fit a alone, whose third one is learnt"
    blind = Attacker(ledger, 600, "time").attempt([0, 2, 4], [0, 2])
    assert blind.candidates == 3


def test_one_time_names_give_nothing_away_but_the_record() -> None:
    ledger = tiny(("v0", 1, b"x", 0), ("v0", 1, b"y", 100))
    attempt = Attacker(ledger, 10, "time, hospital, kind").attempt([0, 1], [0])
    assert (attempt.candidates, attempt.gained) == (1, 0.0)


@pytest.mark.parametrize("mode", MODES)
def test_the_attack_row_says_what_each_reach_gives_away(tmp_path, mode: str) -> None:
    rows = anonymity_engine.run_linkage(context(tmp_path), Case("linkage", "", {"mode": mode}))
    (row,) = [row for row in rows if row["kind"] == "attack"]
    assert (row["succeeded"] > 0) == (mode != ONCE)
    assert rows[-1]["holds"] is True
    shares = {
        (row["knowledge"], row["precision"], row["known"]): row["singled_share"]
        for row in rows
        if row["kind"] == "linkage"
    }
    assert shares["time, hospital, kind", "minute", 2] >= shares["time, hospital, kind", "month", 2]


def test_a_planted_link_between_one_time_names_is_found(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anonymity_engine, "write_chain", lambda visits, _, secret: write_chain(visits, STABLE, secret))
    rows = anonymity_engine.run_linkage(context(tmp_path), Case("linkage", "", {"mode": ONCE}))
    assert rows[-1]["holds"] is False


def test_wilson_is_the_published_interval() -> None:
    low, high = wilson(9, 10)  # Newcombe, Statistics in Medicine 17 (1998), has such tables
    assert (round(low, 4), round(high, 4)) == (0.5958, 0.9821)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10)[0] == 0.0


# -- what remains ------------------------------------------------------------------------------------------------------


def people(*rows: tuple[int, int, int, int]) -> People:
    return People(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))


def test_anonymity_is_that_of_counting() -> None:
    some = make_people(3_000, SEED)
    for level, columns in LEVELS.items():
        keys = list(zip(*(column.tolist() for column in columns(some)), strict=True))
        sizes, found = Counter(keys), measure_anonymity(some, level)
        diagnoses: dict = {}
        for key, diagnosis in zip(keys, some.diagnosis.tolist(), strict=True):
            diagnoses.setdefault(key, set()).add(diagnosis)
        assert (found.classes, found.smallest_class) == (len(sizes), min(sizes.values()))
        assert found.unique_share == sum(size == 1 for size in sizes.values()) / 3_000
        assert math.isclose(found.under_11_share, sum(sizes[key] < 11 for key in keys) / 3_000)
        assert found.least_diagnoses == min(map(len, diagnoses.values()))
        given_away = sum(sizes[key] > 1 and len(diagnoses[key]) == 1 for key in keys)
        assert math.isclose(found.given_away_share, given_away / 3_000)


def test_a_class_of_many_with_one_diagnosis_is_given_away() -> None:
    alike = people((40 * DAYS_PER_YEAR, 0, 7, 3), (40 * DAYS_PER_YEAR, 0, 7, 3), (40 * DAYS_PER_YEAR, 0, 7, 3))
    found = measure_anonymity(alike, FINEST)
    assert (found.smallest_class, found.least_diagnoses, found.given_away_share) == (3, 1, 1.0)


def test_uniqueness_falls_with_what_is_dropped_and_a_sample_overstates_it() -> None:
    everybody = make_people(20_000, SEED)
    finest, coarsest = (measure_anonymity(everybody, level) for level in (FINEST, COARSEST))
    assert finest.unique_share > 0.5 > coarsest.unique_share == 0
    level, sample = "birth year, sex, postal code", everybody.take(np.arange(500))
    assert measure_anonymity(sample, level).unique_share > 2 * measure_anonymity(everybody, level).unique_share


def test_the_estimate_of_a_right_match_is_near_the_truth() -> None:
    """Over many samples, where the assumption holds that the sample is drawn blindly."""
    everybody, pairs = make_people(20_000, SEED), []
    for number in range(20):
        rows = np.random.Generator(np.random.PCG64(number)).choice(20_000, 4_000, replace=False)
        pairs.append(compute_match(everybody, rows, "birth date, sex"))
    estimate, truth = (float(np.mean([pair[index] for pair in pairs])) for index in (0, 1))
    assert abs(estimate - truth) < 0.02
    assert estimate_match(np.array([3, 4]), 0.5) is None
    assert estimate_match(np.array([1, 1]), 1.0) == 1.0


def test_classes_of_many_columns_are_told_apart() -> None:
    columns = (np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([5, 5, 5, 5]))
    assert classify(columns)[1].tolist() == [1, 1, 1, 1]


def patient(name: str, birth: str, code: str = "1") -> object:
    body = {
        "resourceType": "Patient",
        "id": name,
        "birthDate": birth,
        "gender": "female",
        "address": [{"postalCode": code}],
    }
    return make_record(RecordKind.BIRTH, name, "Patient", json.dumps(body).encode())


def test_the_workloads_own_patients_are_read() -> None:
    records = (
        patient("a", "1980-01-02"),
        patient("b", "1980-01-02"),
        patient("c", "2000-05-05", "2"),
        patient("d", "1999"),
    )
    own = anonymity_engine.read_patients(records, "20220719")
    assert own is not None
    assert len(own) == 3, "a year alone cannot be compared"
    assert measure_anonymity(own, FINEST).unique_share == 1 / 3
    assert anonymity_engine.read_patients((), "20220719") is None


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_a_scenario_with_larger_samples_than_people_is_refused() -> None:
    with pytest.raises(ValueError, match="at most the population of 1000"):
        Privacy(population=1_000, samples=[1_001])


@pytest.mark.long
def test_tables_figures_and_answer_come_from_raw_rows(tmp_path) -> None:
    experiment, given = find_experiment("privacy"), context(tmp_path, (patient("a", "1980-01-02"),))
    from bench.engines import find_engine

    rows = [
        {"case": case.label, "status": "ok", **row}
        for case in experiment.cases(given.scenario)
        for row in find_engine(case.engine)(given, case)
    ]
    raw = pd.DataFrame(json.loads(json.dumps(rows, allow_nan=False)))
    tables = {table.name: table.build(raw) for table in experiment.tables}
    for table in experiment.tables:
        assert list(tables[table.name].columns) == list(table.columns), table.name
        assert len(tables[table.name]), table.name
        if table.exact:
            assert not tables[table.name].duplicated(list(table.keys)).any(), table.name
    assert tables["privacy_attacks"]["holds"].all()
    spaces = tables["privacy_spaces"].set_index(["space", "pseudonym"])
    assert spaces.loc[("4 digits", "keyed"), "guesses_bits"] == 256
    assert math.isnan(spaces.loc[("4 digits", "keyed"), "card_s"])
    for figure in experiment.figures:
        assert figure.draw(tables).axes
    lines = experiment.answer(tables)
    assert {line[:3] for line in lines} >= {"C15", "C16", "C17"}
    text = json.dumps(rows)
    assert "1980-01-02" not in text, "no patient of the workload is in the results"
