"""Guessing what a document says: the digest and the location on the chain confirm a guess, unless the object is sealed.

The document is a result of a test, of a form that every laboratory knows: whoever knows the patient and the form tries
dates and outcomes until a digest fits.  A sealed object has a key of its own, made for it alone, so the same content
has another digest each time, and no guess of the content leads to it.
"""

import hashlib
import random
from datetime import date, timedelta
from itertools import product
from typing import Final

import msgspec

from ehrcore.hashing import HashSuite
from ehrcore.records import RecordKind
from ehrcore.sealing import record_context, seal

OUTCOMES: Final = ("Negative", "Positive", "Indeterminate")
_FIRST, DAYS = date(2020, 7, 19), 730


def write_document(patient: str, day: int, outcome: str) -> bytes:
    """A FHIR Observation (LOINC 75622-1, HIV 1 and 2 tests) of the ``day``-th day."""
    return msgspec.json.encode({
        "resourceType": "Observation", "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "75622-1"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": (_FIRST + timedelta(days=day)).isoformat(), "valueString": outcome,
    })  # fmt: skip


def choose_contents(patients: list[str], seed: str) -> list[tuple[int, str]]:
    """What the documents say, one a patient."""
    source = random.Random(f"{seed}|documents")
    return [(source.randrange(DAYS), source.choice(OUTCOMES)) for _ in patients]


def store(document: bytes, place: str, seed: str, *, is_sealed: bool) -> bytes:
    """The object as it is stored at ``place``; its key is made for it alone (here from the seed, for repeatability)."""
    if not is_sealed:
        return document
    key = hashlib.sha256(f"{seed}|record key|{place}".encode()).digest()
    return seal(key, record_context(RecordKind.DIAGNOSTIC_REPORT, bytes(32)), document)


def confirm(suite: HashSuite, patient: str, digest: bytes) -> tuple[int, str] | None:
    """What the document with this digest says, if a guess fits."""
    guesses = product(range(DAYS), OUTCOMES)
    return next((guess for guess in guesses if suite.hash(write_document(patient, *guess)) == digest), None)
