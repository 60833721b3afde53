"""Engines of experiment `privacy` that look at many people: linkage by visits, and what remains without names."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import msgspec

from bench.engines.base import Context
from bench.experiments.attacks import Expected, Tally, check_attacks
from bench.experiments.base import Case, Row
from bench.privacy.anonymity import COARSEST, FINEST, LEVELS, compute_match, measure_anonymity
from bench.privacy.guesses import secret_of
from bench.privacy.linkage import (
    KNOWLEDGE,
    ONCE,
    PRECISIONS_S,
    Attacker,
    Attempt,
    choose_targets,
    read_chain,
    wilson,
    write_chain,
)
from bench.privacy.population import DAYS_PER_YEAR, People, make_people, make_visits, open_source
from ehrcore.records import RecordKind

if TYPE_CHECKING:
    from ehrcore.records import ClinicalRecord

#: Records that a visit leaves; a birth or a death is not visited again, and sensors send all the time.
_VISITED: Final = (RecordKind.MEDICATION, RecordKind.DIAGNOSTIC_REPORT, RecordKind.BILL, RecordKind.INSURANCE)
MOST_KNOWN: Final = 4
#: What the attack table counts: two visits, known to the day.
_KNOWN, _PRECISION, _KNOWLEDGE = 2, "day", "time, hospital, kind"


def run_linkage(context: Context, case: Case) -> list[Row]:
    """Who is singled out by known visits, and what else is learnt: a row per precision, knowledge and visits known.

    Settings: ``mode``, which says how far one pseudonym reaches.
    """
    plan, seed, mode = context.scenario.privacy, context.scenario.seed, case.settings["mode"]
    visits = make_visits(plan.people, count_kinds(context.workload.records), seed)
    ledger = read_chain(write_chain(visits, mode, secret_of(seed)))
    places: dict[int, list[int]] = {}
    for place, patient in enumerate(visits.patient.tolist()):
        places.setdefault(patient, []).append(place)
    chosen = {known: choose_targets(places, known, plan.targets, seed) for known in range(1, MOST_KNOWN + 1)}
    rows: list[Row] = []
    for knowledge in KNOWLEDGE:
        for precision, precision_s in PRECISIONS_S.items():
            attacker = Attacker(ledger, precision_s, knowledge)
            for known, targets in chosen.items():
                attempts = [attacker.attempt(*target) for target in targets]
                given = {"mode": mode, "knowledge": knowledge, "precision": precision, "known": known}
                rows.append({"kind": "linkage", **given, "people": plan.people, "records": len(ledger),
                             **describe_attempts(attempts)})  # fmt: skip
                if (known, precision, knowledge) == (_KNOWN, _PRECISION, _KNOWLEDGE):
                    rows.append(tally_attempts(mode, attempts))
    return check_attacks(rows)


def count_kinds(records: "tuple[ClinicalRecord, ...]") -> dict[int, int]:
    """How often each kind of record that a visit leaves occurs in the workload; alike if none does."""
    counts = Counter(int(record.kind) for record in records if record.kind in _VISITED)
    return dict(counts) or dict.fromkeys(map(int, _VISITED), 1)


def describe_attempts(attempts: list[Attempt]) -> Row:
    """Shares of the targets, with 95 % intervals (Wilson)."""
    singled = sum(attempt.candidates == 1 for attempt in attempts)
    low, high = wilson(singled, len(attempts))
    candidates = sorted(attempt.candidates for attempt in attempts)
    count = max(len(attempts), 1)
    return {
        "targets": len(attempts), "singled_out": singled, "singled_share": singled / count, "singled_low": low,
        "singled_high": high, "candidates_median": candidates[len(candidates) // 2] if candidates else None,
        "gained_share": sum(attempt.gained for attempt in attempts) / count,
    }  # fmt: skip


def tally_attempts(mode: str, attempts: list[Attempt]) -> Row:
    """As an attack: a try succeeds if it tells anything of the target that was not known."""
    tally = Tally(
        "learn more of somebody from known visits", f"{_KNOWN} visits: {_PRECISION}, hospital, kind",
        f"pseudonym: {mode}", "refused" if mode == ONCE else "succeeds",
        "records are found, but nothing beside what was known" if mode == ONCE else "",
    )  # fmt: skip
    for attempt in attempts:
        tally.add(None, is_success=attempt.gained > 0)
    return tally.row()


def run_anonymity(context: Context, case: Case) -> list[Row]:
    """Classes of people who look alike, by level of generalisation: of a population, of samples, of the workload."""
    del case
    plan, seed, rows = context.scenario.privacy, context.scenario.seed, list[Row]()
    people = make_people(plan.population, seed)
    samples = {size: open_source(f"{seed}|sample|{size}").choice(plan.population, size, replace=False)
               for size in plan.samples}  # fmt: skip
    own = read_patients(context.workload.records, context.scenario.workload.reference_date)
    for level in LEVELS:
        found = measure_anonymity(people, level)
        rows.append({"kind": "anonymity", "level": level, "data": "population", **asdict(found)})
        for size, chosen in samples.items():
            estimate, truth = compute_match(people, chosen, level)
            part = measure_anonymity(people.take(chosen), level)
            rows.append({"kind": "anonymity", "level": level, "data": f"sample of {size}", **asdict(part),
                         "match_estimate": estimate, "match_true": truth})  # fmt: skip
        if own is not None:
            mine = {**asdict(measure_anonymity(own, level)), "least_diagnoses": None, "given_away_share": None}
            rows.append({"kind": "anonymity", "level": level, "data": "workload", **mine})
        if level in {FINEST, COARSEST}:
            expected: Expected = "succeeds" if level == FINEST else "refused"
            tally = Tally("match people by what remains", level, "name and contact dropped", expected)
            tally.tries, tally.succeeded = found.people, round(found.unique_share * found.people)
            rows.append(tally.row())
    return check_attacks(rows)


class _Address(msgspec.Struct, rename="camel"):
    postal_code: str = ""


class _Patient(msgspec.Struct, rename="camel"):
    birth_date: str
    gender: str = ""
    address: list[_Address] = []


def read_patients(records: "tuple[ClinicalRecord, ...]", reference_date: str) -> People | None:
    """The workload's own patients as columns; None if it has no `Patient` with a whole birth date."""
    from datetime import date

    import numpy as np

    until = date.fromisoformat(reference_date)
    bodies = {record.patient_id: record.body for record in records if record.resource_type == "Patient"}
    rows = []
    for body in bodies.values():
        try:
            patient = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=_Patient)
            age_days = (until - date.fromisoformat(patient.birth_date)).days
        except (msgspec.MsgspecError, ValueError):
            continue  # a year alone is a birth date, too (FHIR R4), and cannot be compared here
        code = patient.address[0].postal_code if patient.address else ""
        rows.append((max(age_days * DAYS_PER_YEAR * 4 // 1_461, 0), patient.gender, code))
    if not rows:
        return None
    ages, *names = (np.array(column) for column in zip(*rows, strict=True))
    sexes, codes = (np.unique(column, return_inverse=True)[1].astype(np.int64) for column in names)
    return People(ages.astype(np.int64), sexes, codes, np.zeros(len(rows), dtype=np.int64))
