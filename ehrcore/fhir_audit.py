"""Audit events as FHIR R4 AuditEvent (section 6.4), in a Bundle of the type collection (section 2.36).

The block that holds the transaction is what shows the event; so the chain is its source and the transaction's id its
own.  Who broke the glass is told by DICOM's code for it and the emergency, besides the purpose.
"""

from collections.abc import Iterable
from typing import Any, Final

from ehrcore.auditing import AuditEvent, Deed
from ehrcore.fhir_terms import (
    AGREEMENTS,
    CHAINS,
    INTERACTIONS,
    KIND_CODES,
    ORGANISATIONS,
    PSEUDONYMS,
    PURPOSES,
    RECORDS,
    SUBJECTS,
    TRANSACTIONS,
    coding,
    concept,
    reference,
)
from ehrcore.fhir_time import format_instant

_TYPES: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_ENTITIES: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLES: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
#: AuditEvent.subtype and AuditEvent.action.
_DEEDS: Final = {
    Deed.WRITE: ("create", "C"),
    Deed.READ: ("read", "R"),
    Deed.SEARCH: ("search-type", "E"),
    Deed.CONSENT: ("create", "C"),
    Deed.WITHDRAWAL: ("update", "U"),
    Deed.ERASURE: ("delete", "D"),
    Deed.AGREEMENT: ("create", "C"),
    Deed.TERMINATION: ("update", "U"),
}
#: What is no record: the system of its id, and the type of resource.
_NAMED: Final = {
    Deed.CONSENT: (TRANSACTIONS, "Consent"),
    Deed.WITHDRAWAL: (TRANSACTIONS, "Consent"),
    Deed.AGREEMENT: (AGREEMENTS, "Contract"),
    Deed.TERMINATION: (AGREEMENTS, "Contract"),
}
_SUCCESS, _FAILURE = "0", "4"


def write_bundle(events: Iterable[AuditEvent], chain: bytes) -> dict[str, Any]:
    """All of them, in order, as JSON's objects."""
    entries = [{"resource": write_event(event, chain)} for event in events]
    return {"resourceType": "Bundle", "type": "collection"} | ({"entry": entries} if entries else {})


def write_event(event: AuditEvent, chain: bytes) -> dict[str, Any]:
    """One AuditEvent; ``chain`` is the chain's id."""
    subtype, action = _DEEDS[event.deed]
    override = [coding(_DICOM, "110127")] if event.is_break_glass else []
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": event.tx_id.hex(),
        "type": coding(_TYPES, "rest"),
        "subtype": [coding(INTERACTIONS, subtype), *override],
        "action": action,
        "recorded": format_instant(event.at),
        "outcome": _FAILURE if event.reason else _SUCCESS,
        "agent": _agents(event),
        "source": {"observer": reference(CHAINS, chain.hex())},
        "entity": _entities(event),
    }
    if event.reason:
        resource["outcomeDesc"] = event.reason.value
    if event.purpose is not None:
        resource["purposeOfEvent"] = [concept(PURPOSES, event.purpose.value)]
    return resource


def _agents(event: AuditEvent) -> list[dict[str, Any]]:
    author: dict[str, Any] = {"who": reference(SUBJECTS, event.author), "requestor": True}
    if event.capacity:
        author["role"] = [{"text": event.capacity.value}]
    if not event.organisation:
        return [author]
    return [author, {"who": reference(ORGANISATIONS, event.organisation, "Organization"), "requestor": False}]


def _entities(event: AuditEvent) -> list[dict[str, Any]]:
    """The patient, the transaction, and the record, the consent or the agreement."""
    details = {"height": str(event.height), "kind": KIND_CODES.get(event.kind, ""), "emergency": event.emergency.value}
    place = [{"type": name, "valueString": text} for name, text in details.items() if text]
    entities = [_entity(TRANSACTIONS, event.tx_id, "2", "20") | {"detail": place}]
    if event.patient:
        entities.insert(0, _entity(PSEUDONYMS, event.patient, "1", "1", "Patient"))
    if event.record:
        system, kind = _NAMED.get(event.deed, (RECORDS, ""))
        entities.append(_entity(system, event.record, "2", "4", kind))
    return entities


def _entity(system: str, value: bytes, type_: str, role: str, kind: str = "") -> dict[str, Any]:
    return {
        "what": reference(system, value.hex(), kind),
        "type": coding(_ENTITIES, type_),
        "role": coding(_ROLES, role),
    }
