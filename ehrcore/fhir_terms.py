"""What consents and audit events are called in FHIR R4: code systems, codes, and how one is written.

Where the standards have no word, ours stand in systems of their own: ``urn:x-ehrcore:…``.
"""

from typing import Any, Final

from ehrcore.consent import Action
from ehrcore.records import RecordKind, kind_word

PURPOSES: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
INTERACTIONS: Final = "http://hl7.org/fhir/restful-interaction"
SUBJECTS: Final = "urn:x-ehrcore:subject"
ORGANISATIONS: Final = "urn:x-ehrcore:organisation"
PSEUDONYMS: Final = "urn:x-ehrcore:pseudonym"
KINDS: Final = "urn:x-ehrcore:record-kind"
TRANSACTIONS: Final = "urn:x-ehrcore:transaction"
AGREEMENTS: Final = "urn:x-ehrcore:agreement"
RECORDS: Final = "urn:x-ehrcore:record"
CHAINS: Final = "urn:x-ehrcore:chain"

ACTION_CODES: Final = {Action.READ: "read", Action.SEARCH: "search-type", Action.WRITE: "create"}
KIND_CODES: Final = {int(kind): kind_word(kind) for kind in RecordKind}


def coding(system: str, code: str) -> dict[str, Any]:
    """A Coding (section 2.24.0.5)."""
    return {"system": system, "code": code}


def concept(system: str, code: str) -> dict[str, Any]:
    """A CodeableConcept of one Coding."""
    return {"coding": [coding(system, code)]}


def reference(system: str, value: str, kind: str = "") -> dict[str, Any]:
    """A logical Reference (section 2.3.0.3): nothing on this chain is to be found under an address of FHIR's."""
    return ({"type": kind} if kind else {}) | {"identifier": {"system": system, "value": value}}
