"""Who may do what: the checks on one transaction, the same for agents, coordinators and ledger keepers.

Cheap checks come first and signatures last; each returns the first reason to refuse.
"""

from collections.abc import Sequence
from typing import Final

from ehrcore.agreements import Agreement, Termination, check_agreement
from ehrcore.block import (
    ApprovalBody,
    Attestation,
    EndorsedTransaction,
    EndorsementBody,
    Enrolment,
    Evidence,
    Order,
    Payload,
    RecordRef,
    Revocation,
    Transaction,
    TransactionBody,
)
from ehrcore.consensus.evidence import is_contradiction
from ehrcore.consent import Access, Consent, Emergency, Erasure, Withdrawal, check_form
from ehrcore.crypto import Crypto
from ehrcore.identity import Capacity, CertificateBody, Reason, Registry
from ehrcore.messages import VerdictBody
from ehrcore.params import ChainParams
from ehrcore.replay import ReplayWindows
from ehrcore.types import Role, node_id

AUTHORITY: Final = node_id(Role.AUTHORITY, 0)
#: What a visitor has to be to read and search.
READERS: Final = (Capacity.SYSTEM, Capacity.PATIENT, Capacity.PRACTITIONER)


def check_transaction(
    crypto: Crypto, registry: Registry, replay: ReplayWindows | None, chain: bytes, tx: Transaction, now: int
) -> Reason:
    """Chain, author, rights, form, replay (unless ``replay`` is None) and signature, at ``now``."""
    body = tx.body
    if body.chain != chain:
        return Reason.WRONG_CHAIN
    if body.author == AUTHORITY:
        if isinstance(body.payload, RecordRef | Consent | Access | Agreement | Evidence):
            return Reason.NO_RIGHT
        key = registry.authority_key
    else:
        role = Role.ADMINISTRATOR if isinstance(body.payload, Evidence) else Role.VISITOR
        reason, certificate = registry.check(body.author, role, now)
        if certificate is None:
            return reason
        if not has_right(body.payload, certificate):
            return Reason.NO_RIGHT
        key = certificate.public_key
    if reason := check_form(body.payload, crypto.suite.digest_size):
        return reason
    if replay is not None and not replay.is_fresh(window_of(body), body.nonce):
        return Reason.REPLAYED
    if not crypto.verify(key, body, tx.signature):
        return Reason.BAD_SIGNATURE
    if isinstance(body.payload, Agreement):
        return check_agreement(crypto, registry, chain, body.author, body.payload, now)
    return _check_order(crypto, registry, tx, now)


def window_of(body: TransactionBody) -> str:
    """Whose nonces this one is counted among: its author's.

    What the authority does for patients is counted apart from its orders, which are all that nodes without a ledger
    see of it: they must find of each order what ledger keepers find.
    """
    is_apart = body.author == AUTHORITY and not isinstance(body.payload, Order)
    return f"{AUTHORITY} for patients" if is_apart else body.author


def has_right(payload: Payload, certificate: CertificateBody) -> bool:
    """Whether whom the certificate names may author this; what depends on consents is the ledger keepers' to judge.

    Visitors write records of their kinds and, unless they are devices, ask for access; practitioners alone break the
    glass.  Patients decide about what is theirs; that a consent is theirs to withdraw, or an agreement its author's to
    terminate, shows at its place in the chain.
    Every administrator may show what another has said.
    """
    capacity = certificate.capacity
    match payload:
        case RecordRef(kind=kind):
            return kind in certificate.kinds
        case Consent(pseudonym=pseudonym) | Erasure(pseudonym=pseudonym):
            return capacity is Capacity.PATIENT and certificate.pseudonym == pseudonym
        case Withdrawal():
            return capacity is Capacity.PATIENT and bool(certificate.pseudonym)
        case Access(emergency=emergency):
            needed = (Capacity.PRACTITIONER,) if emergency is not Emergency.NONE else READERS
            return capacity in needed
        case Agreement() | Termination():
            return capacity is not Capacity.DEVICE
        case _:
            return isinstance(payload, Evidence)


def nonce_of(names: Sequence[str], evidence: Evidence) -> int:
    """The nonce that evidence has to carry, so that each accuser is heard once for each offender and height.

    ``names`` are the administrators', in order.
    """
    return evidence.first.body.height * len(names) + names.index(evidence.offender)


def _check_order(crypto: Crypto, registry: Registry, tx: Transaction, now: int) -> Reason:
    """What can be said of an order without the chain's state."""
    payload = tx.body.payload
    # Who may ever vote is fixed at genesis, and with which key; how much a vote weighs is not.
    if isinstance(payload, Revocation):
        is_fixed = registry.holds(payload.serial, Role.ADMINISTRATOR)
        return Reason.FIXED_ADMINISTRATORS if is_fixed else Reason.ACCEPTED
    if isinstance(payload, Evidence):
        return _check_evidence(crypto, registry, tx.body.chain, payload, tx.body.nonce)
    return _check_enrolment(crypto, registry, payload, now) if isinstance(payload, Enrolment) else Reason.ACCEPTED


def _check_evidence(crypto: Crypto, registry: Registry, chain: bytes, evidence: Evidence, nonce: int) -> Reason:
    keys = {body.subject: body.public_key for body in registry.members(Role.ADMINISTRATOR)}
    if evidence.offender not in keys or nonce != nonce_of(tuple(keys), evidence):
        return Reason.BAD_EVIDENCE
    is_shown = is_contradiction(crypto, chain, keys[evidence.offender], evidence)
    return Reason.ACCEPTED if is_shown else Reason.BAD_EVIDENCE


def _check_enrolment(crypto: Crypto, registry: Registry, payload: Enrolment, now: int) -> Reason:
    body = payload.certificate.body
    if now >= body.not_after:
        return Reason.EXPIRED
    # In another role, too, an administrator would be one no more: nobody could show what it has said.
    if Role.ADMINISTRATOR in (body.role, registry.role_of(body.subject)):
        return Reason.FIXED_ADMINISTRATORS
    is_ours = body.network == registry.network and crypto.verify(
        registry.authority_key, body, payload.certificate.signature
    )
    return Reason.ACCEPTED if is_ours else Reason.BAD_CERTIFICATE


def is_attested(
    crypto: Crypto,
    registry: Registry,
    role: Role,
    body: EndorsementBody | ApprovalBody | VerdictBody,
    attestation: Attestation,
    now: int,
) -> bool:
    """Whether ``attestation`` is a valid signature over ``body`` by a node that may act in ``role`` at ``now``."""
    _, certificate = registry.check(attestation.node, role, now)
    return certificate is not None and crypto.verify(certificate.public_key, body, attestation.signature)


def has_endorsements(
    crypto: Crypto, registry: Registry, needed: int, chain: bytes, tx_id: bytes, given: Sequence[Attestation], now: int
) -> bool:
    """Whether at least ``needed`` distinct agents endorsed with 'A', and ``given`` holds nothing else."""
    return _are_enough(given, needed) and all(
        is_attested(crypto, registry, Role.AGENT, EndorsementBody(chain, tx_id, item.node, Reason.ACCEPTED), item, now)
        for item in given
    )


def _are_enough(given: Sequence[Attestation], needed: int) -> bool:
    """Whether these are the words of at least ``needed`` nodes, one of each."""
    return len({item.node for item in given}) == len(given) >= needed


def check_endorsed(
    crypto: Crypto,
    registry: Registry,
    params: ChainParams,
    chain: bytes,
    endorsed: EndorsedTransaction,
    tx_id: bytes,
    now: int,
) -> Reason:
    """Endorsement and approval policy on a transaction inside a block."""
    if not has_endorsements(crypto, registry, params.endorsements, chain, tx_id, endorsed.endorsements, now):
        return Reason.POLICY
    are_approvals = _are_enough(endorsed.approvals, params.approvals) and all(
        is_attested(
            crypto, registry, Role.COORDINATOR, ApprovalBody(chain, tx_id, item.node, endorsed.outcome), item, now
        )
        for item in endorsed.approvals
    )
    return Reason.ACCEPTED if are_approvals else Reason.APPROVALS
