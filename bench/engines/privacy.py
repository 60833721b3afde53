"""Engines of experiment `privacy`: ids and documents are really guessed, and every guess is counted and timed.

Times are of the processor: what others do on this machine makes no guess dearer.
"""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from bench.engines.base import Context
from bench.experiments.attacks import Expected, Tally, check_attacks
from bench.experiments.base import Case, Row
from bench.privacy.documents import choose_contents, confirm, store, write_document
from bench.privacy.guesses import (
    GUESSED_KEYS,
    Guess,
    choose_patients,
    enumerate_ids,
    list_digits,
    make_guess,
    open_pseudonyms,
    secret_of,
    study_key,
)
from ehrcore.hashing import find_suite
from ehrcore.pseudonyms import RULES, PseudonymKind

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The paper's three hash functions; what is keyed or slow has a function of its own.
SUITES: Final = ("sha256", "sha1", "md5")
_HASHED: Final = tuple((kind, suite) for kind in (PseudonymKind.BARE, PseudonymKind.SALTED) for suite in SUITES)
FUNCTIONS: Final = (*_HASHED, (PseudonymKind.SLOW, "scrypt"), (PseudonymKind.KEYED, "hmac-sha256"))
KEYED: Final = (PseudonymKind.KEYED, PseudonymKind.PER_STUDY, PseudonymKind.ONE_TIME)
STUDY, OTHER_STUDY = "study A", "study B"
LEAKED, OWN_LEAKED = "the key leaked", "its key leaked"
Function = tuple[PseudonymKind, str]


def run_guesses(context: Context, case: Case) -> list[Row]:
    """A row of kind ``guess`` per round and function, which take turns; and one of kind ``rule`` per pseudonym kind."""
    del case
    plan, rows = context.scenario.privacy, list[Row]()
    guesses = {(kind, suite): make_guess(kind, suite, secret_of(context.scenario.seed)) for kind, suite in FUNCTIONS}
    for turn in range(plan.rounds):
        for (kind, suite), guess in guesses.items():
            count = 1 if kind is PseudonymKind.SLOW else plan.guesses
            begin_ns = time.thread_time_ns()
            enumerate_ids(guess, (b"%09d" % number for number in range(count)), (b"none",))
            ns = time.thread_time_ns() - begin_ns
            rows.append({"kind": "guess", "pseudonym": kind.value, "function": suite, "round": turn,
                         "guesses": count, "ns_per_guess": ns / count})  # fmt: skip
    return rows + [
        {"kind": "rule", "pseudonym": kind.value, **asdict(rule)} for kind, rule in RULES.items()
    ]  # fmt: skip


def run_enumeration(context: Context, case: Case) -> list[Row]:
    """Every id of a set is tried against each kind of pseudonym: rows of kinds ``enumeration`` and ``attack``.

    Settings: ``digits``, or 0 for the ids that occur in the workload (its list of patients is known, as to an insider);
    ``is_full`` for all hash suites and leaks.  scrypt is tried on the workload's alone: the others would take hours.
    """
    digits, seed, is_full = case.settings["digits"], context.scenario.seed, case.settings["is_full"]
    if digits:
        name, patients = f"{digits} digits", choose_patients(digits, context.scenario.privacy.patients, seed)
    else:
        name, patients = "workload", list(dict.fromkeys(record.patient_id for record in context.workload.records))
        patients = patients[: context.scenario.privacy.patients]
    functions = [item for item in FUNCTIONS[:-1] if is_full or item[1] == "sha256"]
    search = _Search(name, patients, seed, digits)
    search.run_blind(
        [item for item in functions if not digits or item[0] is not PseudonymKind.SLOW], GUESSED_KEYS[: 3 * is_full]
    )
    search.run_leaks(3 if is_full else 1)
    return check_attacks(search.rows)


class _Search:
    """One set of ids, whose patients are looked for behind pseudonyms of every kind."""

    def __init__(self, name: str, patients: list[str], seed: str, digits: int) -> None:
        self._name, self._patients, self._seed, self._digits = name, patients, seed, digits
        self.rows: list[Row] = []

    def _targets(self, kind: PseudonymKind, suite: str, study: str = "") -> dict[bytes, bytes]:
        names = open_pseudonyms(kind, suite if suite in SUITES else "sha256", self._seed)
        return {names.name(patient, study, patient.encode()): patient.encode() for patient in self._patients}

    def _try(self, guess: Guess, targets: dict[bytes, bytes]) -> tuple[dict[bytes, bytes], int, float]:
        """What is found of the targets, how many ids were tried, and seconds."""
        ids = list_digits(self._digits) if self._digits else (patient.encode() for patient in self._patients)
        begin_ns = time.thread_time_ns()
        found, tried = enumerate_ids(guess, ids, targets)
        return found, tried, (time.thread_time_ns() - begin_ns) / 1e9

    def run_blind(self, functions: "Sequence[Function]", keys: "Sequence[bytes]") -> None:
        """All that can be tried without a key, against the kinds that need none and those that need one."""
        hidden = {kind: self._targets(kind, "hmac-sha256") for kind in KEYED}
        every: dict[bytes, bytes] = {}
        for targets in hidden.values():
            every |= targets
        got, total, took_s = dict[bytes, bytes](), 0, 0.0
        guesses = [make_guess(kind, suite) for kind, suite in functions] + [_guess_key(key) for key in keys]
        for index, guess in enumerate(guesses):
            own = self._targets(*functions[index]) if index < len(functions) else {}
            found, tried, elapsed_s = self._try(guess, every | own)
            if own:
                self._note(*functions[index], "", own, found, tried, elapsed_s)
            got, total, took_s = got | found, total + tried, took_s + elapsed_s
        note = f"without the key: {len(functions)} hashes and {len(keys)} keys that are easily guessed"
        for kind, targets in hidden.items():
            self._note(kind, "hmac-sha256", "", targets, got, total, took_s, note)

    def run_leaks(self, count: int) -> None:
        """The same once a key is out: of the whole network, of the patients' own study, of another one."""
        all_at_once = "all patients at once; nothing but a new key and new names helps"
        for kind, key, leak, note in (
            (PseudonymKind.KEYED, secret_of(self._seed), LEAKED, all_at_once),
            (PseudonymKind.PER_STUDY, study_key(self._seed, STUDY), OWN_LEAKED, "this study's patients, no others"),
            (PseudonymKind.PER_STUDY, study_key(self._seed, OTHER_STUDY), "another study's key leaked", ""),
        )[:count]:
            targets = self._targets(kind, "hmac-sha256", STUDY if kind is PseudonymKind.PER_STUDY else "")
            self._note(kind, "hmac-sha256", leak, targets, *self._try(_guess_key(key), targets), note)

    def _note(
        self, kind: PseudonymKind, suite: str, leak: str, targets: dict[bytes, bytes], found: dict[bytes, bytes],
        tried: int, elapsed_s: float, note: str = "",
    ) -> None:  # fmt: skip
        """A find counts if it is the right patient."""
        expected: Expected = "succeeds" if RULES[kind].is_weak or leak in {LEAKED, OWN_LEAKED} else "refused"
        protection = f"{kind}, {leak}" if leak else kind.value
        tally = Tally("enumerate patient ids", f"{self._name}, {suite}", protection, expected, note)
        for name, patient in targets.items():
            tally.add(None, is_success=found.get(name) == patient)
        self.rows.append({
            "kind": "enumeration", "ids": self._name, "pseudonym": kind.value, "function": suite, "leak": leak,
            "patients": len(targets), "found": tally.succeeded, "tried": tried, "elapsed_s": elapsed_s,
        })  # fmt: skip
        self.rows.append(tally.row())


def _guess_key(key: bytes) -> Guess:
    return make_guess(PseudonymKind.KEYED, "", key)


def run_documents(context: Context, case: Case) -> list[Row]:
    """Documents are guessed by their digests, and tied together by them: plain ones and sealed ones, by hash suite."""
    del case
    seed, rows = context.scenario.seed, list[Row]()
    patients = [f"patient-{number}" for number in range(context.scenario.privacy.documents)]
    contents = choose_contents(patients, seed)
    for suite in map(find_suite, SUITES):
        for is_sealed, protection in ((False, "none: plain content is addressed"), (True, "sealed under its own key")):
            expected: Expected = "refused" if is_sealed else "succeeds"
            guessed = Tally("confirm a guessed document", f"by its digest, {suite.name}", protection, expected)
            linked = Tally("link two copies of a document", f"by their digests, {suite.name}", protection, expected)
            for patient, (day, outcome) in zip(patients, contents, strict=True):
                document = write_document(patient, day, outcome)
                first, second = (
                    suite.hash(store(document, f"{patient}|{place}", seed, is_sealed=is_sealed)) for place in "ab"
                )
                guessed.add(None, is_success=confirm(suite, patient, first) == (day, outcome))
                linked.add(None, is_success=first == second)
            rows += [guessed.row(), linked.row()]
    return check_attacks(rows)
