"""What a transaction says, in words: for whoever looks at a proof, a page or a list and knows no structures."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ehrcore.agreements import Agreement, Termination
from ehrcore.block import Bond, Enrolment, Evidence, Payload, RecordRef, Revocation, Unbond
from ehrcore.clauses import action_word
from ehrcore.consent import Access, Action, Consent, Erasure, Provision, Purpose, Withdrawal
from ehrcore.drafting import write_clauses
from ehrcore.fhir_terms import KIND_CODES
from ehrcore.fhir_time import format_instant
from ehrcore.identity import FOREVER
from ehrcore.types import SECOND

PURPOSE_WORDS: Final = {
    Purpose.TREATMENT: "treatment",
    Purpose.EMERGENCY: "emergency treatment",
    Purpose.PAYMENT: "payment",
    Purpose.OPERATIONS: "operations",
    Purpose.RESEARCH: "research",
    Purpose.PUBLIC_HEALTH: "public health",
    Purpose.PATIENT_REQUEST: "the patient's own request",
}
NOBODY: Final[Mapping[str, str]] = MappingProxyType({})


def say_payload(payload: Payload, names: Mapping[str, str] = NOBODY) -> tuple[tuple[str, str], ...]:
    """What is said, as (what it is about, its value) in order; ``names`` are aliases by subject.

    The first is what its author has signed, ordered, asked or shown: whether it came to be is for its verdict to say.
    """
    match payload:
        case RecordRef():
            return (
                ("signed", f"a record ({KIND_CODES[payload.kind]}, {payload.size_bytes:,} bytes as it is stored)"),
                ("patient", payload.pseudonym.hex()),
                ("digest", payload.digest.hex()),
                ("location", payload.location),
                *_cited(payload.agreement),
            )
        case Access():
            return _say_access(payload)
        case Consent(pseudonym=pseudonym, provisions=provisions):
            lines = (("provision", say_provision(provision, names)) for provision in provisions)
            return (("signed", "a consent"), ("patient", pseudonym.hex()), *lines)
        case Withdrawal(consent=consent):
            return (("signed", "the withdrawal of a consent"), ("consent", consent.hex()))
        case Erasure(pseudonym=pseudonym, record=record):
            what = "the erasure of a record, whose key is to be destroyed"
            return (("signed", what), ("patient", pseudonym.hex()), ("record", record.hex()))
        case Agreement(terms=terms):
            period = f"{_say_time(terms.not_before)} to {_say_time(terms.not_after)}"
            parties = (names.get(name, name) for name in terms.parties)
            return (
                ("signed", f"an agreement of {' and '.join(parties)}"), ("patient", terms.pseudonym.hex()),
                ("period", period), *(("clause", line) for line in write_clauses(terms.clauses)),
            )  # fmt: skip
        case Termination(agreement=agreement):
            return (("signed", "the end of an agreement"), ("agreement", agreement.hex()))
        case _:
            return _say_order(payload)


def say_provision(given: Provision, names: Mapping[str, str] = NOBODY) -> str:
    """A rule of a consent in one sentence; an empty list restricts nothing."""
    who = [*(names.get(subject, subject) for subject in given.subjects), *given.organisations]
    parts = (
        "permits" if given.is_permit else "DENIES",
        " or ".join(who) or "anybody",
        "to " + ", ".join(action_word(action) for action in given.actions or Action),
        f"records of {' or '.join(KIND_CODES[kind] for kind in given.kinds) or 'all kinds'}",
        f"for {' or '.join(given.purposes) or 'any purpose'}",
        f"from {_say_time(given.not_before)}",
        "" if given.not_after == FOREVER else f"until {_say_time(given.not_after)}",
    )
    return " ".join(filter(None, parts))


def _say_access(access: Access) -> tuple[tuple[str, str], ...]:
    deed = {Action.READ: "to read a record", Action.SEARCH: "to search the records"}[access.action]
    glass = (("broke the glass", access.emergency.value),) if access.emergency else ()
    return (
        ("asked", f"{deed} ({KIND_CODES.get(access.kind, 'all kinds')})"),
        ("patient", access.pseudonym.hex()),
        ("purpose", f"{PURPOSE_WORDS[access.purpose]} ({access.purpose.value})"),
        *glass,
        *((("record", access.record.hex()),) if access.record else ()),
        *_cited(access.agreement),
    )


def _say_order(order: Payload) -> tuple[tuple[str, str], ...]:
    match order:
        case Enrolment(certificate=certificate):
            body = certificate.body
            role = body.capacity.value or body.role.value
            return (
                ("ordered", f"the enrolment of {body.subject}, a {role}"), ("serial", str(body.serial)),
                *((("patient", body.pseudonym.hex()),) if body.pseudonym else ()),
                *((("organisation", body.organisation),) if body.organisation else ()),
            )  # fmt: skip
        case Revocation(serial=serial, cause=cause):
            return (("ordered", f"the revocation of serial {serial}"), ("cause", cause.name.lower().replace("_", "-")))
        case Bond(node=node, amount=amount):
            return (("ordered", f"{amount} more of stake for {node}"),)
        case Unbond(node=node, amount=amount):
            return (("ordered", f"{amount} less of stake for {node}"),)
        case Evidence(offender=offender):
            return (("showed", f"that {offender} has said two things in one place"),)
        case _:
            raise TypeError(f"payload: expected one with words, found {type(order).__name__}")


def _cited(agreement: bytes) -> tuple[tuple[str, str], ...]:
    return (("agreement", agreement.hex()),) if agreement else ()


def _say_time(at_ns: int) -> str:
    return format_instant(at_ns // SECOND * SECOND)
