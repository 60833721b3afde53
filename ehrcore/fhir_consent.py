"""Consents as FHIR R4 Consent (section 6.2), and back what of it fits; the rest is refused, for nothing may be lost.

A consent here adds permissions and denials to a policy that denies access and permits writing ('opt in'): a root
provision of no type with provisions of the first level below it.  What would restrict a provision further
(``securityLabel``, ``dataPeriod``, ``code``, ``data``, deeper provisions) is an error, not passed over.
"""

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from ehrcore.codec import decode, encode
from ehrcore.consent import Consent, Provision, Purpose, check_form
from ehrcore.errors import CodecError, RecordError
from ehrcore.fhir_terms import (
    ACTION_CODES,
    INTERACTIONS,
    KIND_CODES,
    KINDS,
    ORGANISATIONS,
    PSEUDONYMS,
    PURPOSES,
    SUBJECTS,
    TRANSACTIONS,
    coding,
    concept,
    reference,
)
from ehrcore.fhir_time import format_end, format_instant, parse_span
from ehrcore.identity import FOREVER

_SCOPES: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
_ACTS: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_PARTICIPATIONS: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
#: What is coded by which system: ours by theirs.
_ACTIONS: Final = {(INTERACTIONS, code): action for action, code in ACTION_CODES.items()}
_PURPOSES: Final = {(PURPOSES, purpose.value): purpose for purpose in Purpose}
_KINDS: Final = {(KINDS, code): kind for kind, code in KIND_CODES.items()}

T = TypeVar("T")


def write_consent(consent: Consent, consent_id: bytes, given_at: int, *, is_in_force: bool = True) -> dict[str, Any]:
    """A consent as JSON's objects; ``given_at`` is the time of its block."""
    return {
        "resourceType": "Consent",
        "id": consent_id.hex(),
        "identifier": [{"system": TRANSACTIONS, "value": consent_id.hex()}],
        "status": "active" if is_in_force else "inactive",
        "scope": concept(_SCOPES, "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0")],
        "patient": reference(PSEUDONYMS, consent.pseudonym.hex(), "Patient"),
        "dateTime": format_instant(given_at),
        "policyRule": concept(_ACTS, "OPTIN"),
        "provision": {"provision": [_write_provision(item) for item in consent.provisions]},
    }


def _write_provision(given: Provision) -> dict[str, Any]:
    period = {"start": format_instant(given.not_before)} if given.not_before else {}
    period |= {"end": format_end(given.not_after)} if given.not_after < FOREVER else {}
    actors = [reference(SUBJECTS, name) for name in given.subjects]
    actors += [reference(ORGANISATIONS, name, "Organization") for name in given.organisations]
    parts = {
        "period": period,
        "actor": [{"role": concept(_PARTICIPATIONS, "IRCP"), "reference": actor} for actor in actors],
        "action": [concept(INTERACTIONS, ACTION_CODES[action]) for action in given.actions],
        "purpose": [coding(PURPOSES, purpose.value) for purpose in given.purposes],
        "class": [coding(KINDS, KIND_CODES[kind]) for kind in given.kinds],
    }
    return {"type": "permit" if given.is_permit else "deny"} | {name: part for name, part in parts.items() if part}


# -- reading ----------------------------------------------------------------------------------------------------------


class _Coding(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    system: str
    code: str
    display: str = ""
    version: str = ""
    user_selected: bool = False


class _Concept(msgspec.Struct, forbid_unknown_fields=True):
    coding: Annotated[list[_Coding], msgspec.Meta(min_length=1, max_length=1)]
    text: str = ""


class _Identifier(msgspec.Struct, forbid_unknown_fields=True):
    system: str
    value: str
    use: str = ""
    type: Any = None


class _Reference(msgspec.Struct, forbid_unknown_fields=True):
    identifier: _Identifier | None = None
    reference: str = ""
    type: str = ""
    display: str = ""


class _Actor(msgspec.Struct, forbid_unknown_fields=True):
    role: Any
    reference: _Reference
    id: str = ""


class _Period(msgspec.Struct, forbid_unknown_fields=True):
    start: str = ""
    end: str = ""


class _Provision(msgspec.Struct, forbid_unknown_fields=True, rename={"class_": "class"}):
    type: Literal["permit", "deny"]
    period: _Period = msgspec.field(default_factory=_Period)
    actor: list[_Actor] = []
    action: list[_Concept] = []
    purpose: list[_Coding] = []
    class_: list[_Coding] = []
    id: str = ""


class _Root(msgspec.Struct, forbid_unknown_fields=True):
    provision: Annotated[list[_Provision], msgspec.Meta(min_length=1)]
    id: str = ""


class _Resource(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What says nothing of who may do what is taken as it is, and left."""

    resource_type: Literal["Consent"]
    status: Literal["active"]
    scope: _Concept
    category: Annotated[list[Any], msgspec.Meta(min_length=1)]
    policy_rule: _Concept
    provision: _Root
    patient: _Reference | None = None
    id: Any = None
    meta: Any = None
    language: Any = None
    text: Any = None
    identifier: Any = None
    date_time: Any = None
    performer: Any = None
    organization: Any = None
    source_attachment: Any = None
    source_reference: Any = None
    verification: Any = None


def read_consent(body: bytes, pseudonym: bytes | None = None) -> Consent:
    """The consent that a FHIR R4 Consent (JSON) is; `RecordError` says what does not fit and where.

    ``pseudonym`` says whose it is, if that is known from elsewhere (who signs it, say); else the resource must.
    """
    try:
        resource = msgspec.json.decode(body, type=_Resource)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(
            f"consent: expected a FHIR Consent that fits, found: {' '.join(str(error).split())}"
        ) from None
    _require("scope", resource.scope.coding[0], _SCOPES, "patient-privacy")
    _require("policyRule", resource.policy_rule.coding[0], _ACTS, "OPTIN")
    provisions = tuple(_read_provision(f"provision {at}", item) for at, item in enumerate(resource.provision.provision))
    consent = Consent(_read_patient(resource.patient, pseudonym), provisions)
    try:
        decode(encode(consent), Consent)
    except CodecError as error:
        raise RecordError(f"consent: expected one that a transaction can hold, found: {error}") from None
    if reason := check_form(consent, 0):
        raise RecordError(f"consent: expected periods that are not empty and writes for no purpose, found: {reason}")
    return consent


def _require(name: str, given: _Coding, system: str, code: str) -> None:
    if (given.system, given.code) != (system, code):
        raise RecordError(f"{name}: expected {system}|{code}, found {given.system[:80]}|{given.code[:40]}")


def _read_patient(given: _Reference | None, pseudonym: bytes | None) -> bytes:
    identifier = given.identifier if given else None
    if identifier is not None and identifier.system == PSEUDONYMS:
        try:
            found = bytes.fromhex(identifier.value)
        except ValueError:
            raise RecordError(f"patient: expected hexadecimal digits, found {identifier.value[:80]!r}") from None
        if pseudonym not in (None, found):
            raise RecordError("patient: expected the pseudonym of who gives the consent, found another")
        return found
    if pseudonym is None:
        raise RecordError(f"patient: expected an identifier of {PSEUDONYMS}, found none")
    return pseudonym


def _read_provision(name: str, given: _Provision) -> Provision:
    who = [(actor.reference.identifier, actor.reference.reference) for actor in given.actor]
    for identifier, address in who:
        if identifier is None or address or identifier.system not in {SUBJECTS, ORGANISATIONS}:
            raise RecordError(f"{name}: actor: expected an identifier of {SUBJECTS} or {ORGANISATIONS}, found another")
    known = [identifier for identifier, _ in who if identifier]
    try:
        start, end = given.period.start, given.period.end
        not_before, not_after = parse_span(start)[0] if start else 0, parse_span(end)[1] if end else FOREVER
    except RecordError as error:
        raise RecordError(f"{name}: period: {error}") from None
    return Provision(
        given.type == "permit",
        tuple(item.value for item in known if item.system == SUBJECTS),
        tuple(item.value for item in known if item.system == ORGANISATIONS),
        _translate(f"{name}: class", given.class_, _KINDS),
        _translate(f"{name}: action", [item.coding[0] for item in given.action], _ACTIONS),
        _translate(f"{name}: purpose", given.purpose, _PURPOSES),
        not_before,
        not_after,
    )


def _translate(name: str, given: list[_Coding], table: dict[tuple[str, str], T]) -> tuple[T, ...]:
    for item in given:
        if (item.system, item.code) not in table:
            systems = ", ".join(sorted({system for system, _ in table}))
            raise RecordError(f"{name}: expected a code of {systems}, found {item.system[:80]}|{item.code[:40]}")
    return tuple(table[item.system, item.code] for item in given)
