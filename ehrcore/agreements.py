"""Two-party agreements: smart contracts that a patient and a provider have both signed, and that are data alone.

One party authors the transaction, the other has signed the same terms before (`Agreement.signature`), so neither can
make the other agree to anything.  From its block on, an act of either party that cites the agreement has to satisfy its
clauses: coordinators evaluate them as a contract (claim C24), and every ledger keeper does so once more at the act's
place in the chain.  An agreement restricts what cites it; it is no consent and permits nothing that consents do not.

An agreement's id is the digest of what both have signed.  A chain takes each id once, so that nobody can bring an
agreement that has been terminated back with the other's old signature.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol

import msgspec

from ehrcore.clauses import (
    MOST_CLAUSES,
    Clause,
    Facts,
    NumberFact,
    WordFact,
    action_word,
    decide,
    evaluate,
    validate_clauses,
)
from ehrcore.consent import Access, Action
from ehrcore.crypto import Crypto
from ehrcore.errors import ParameterError
from ehrcore.forks import ForkedDict
from ehrcore.identity import Capacity, CertificateBody, Reason, Registry
from ehrcore.records import kind_word
from ehrcore.types import Digest, Nanos, NodeId, Role, Signature

#: Agreements of one patient that are in force or to come: what each keeper has to hold of her.
MOST_AGREEMENTS: Final = 64


class Terms(msgspec.Struct, frozen=True, array_like=True, tag="terms"):
    """What the parties agree on; the period is half open, and the salt makes it this agreement and no other.

    ``patient`` and ``provider`` are subjects of certificates; ``pseudonym`` is the patient's own.
    """

    patient: NodeId
    provider: NodeId
    pseudonym: Digest
    clauses: Annotated[tuple[Clause, ...], msgspec.Meta(min_length=1, max_length=MOST_CLAUSES)]
    not_before: Nanos
    not_after: Nanos
    salt: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]

    def __post_init__(self) -> None:
        validate_clauses(self.clauses)
        if self.not_before >= self.not_after:
            raise ParameterError(
                f"period of an agreement: expected its end after {self.not_before}, found {self.not_after}"
            )
        if self.patient == self.provider:
            raise ParameterError(f"parties of an agreement: expected two, found {self.patient} twice")

    @property
    def parties(self) -> tuple[str, str]:
        """Both subjects."""
        return self.patient, self.provider


class AgreementBody(msgspec.Struct, frozen=True, array_like=True, tag="agreement"):
    """What the other party signs: these terms, on this chain."""

    chain: Digest
    terms: Terms


class Agreement(msgspec.Struct, frozen=True, array_like=True, tag="agree"):
    """A transaction's payload: one party submits what the other has signed."""

    terms: Terms
    signature: Signature


class Termination(msgspec.Struct, frozen=True, array_like=True, tag="terminate"):
    """Either party, or the authority, ends an agreement from this transaction on; ``agreement`` is its id."""

    agreement: Digest


def agreement_id(crypto: Crypto, chain: bytes, terms: Terms) -> bytes:
    """The name that acts cite: the digest of what both parties have signed."""
    return crypto.hash_struct(AgreementBody(chain, terms))


def check_agreement(
    crypto: Crypto, registry: Registry, chain: bytes, author: str, agreement: Agreement, now: int
) -> Reason:
    """Whether both parties are who they have to be at ``now`` and the one that is not the author has signed.

    Agents, coordinators and keepers all ask this; what needs the chain's state, `AgreementBook` adds.
    """
    terms = agreement.terms
    if author not in terms.parties or now >= terms.not_after:
        return Reason.BAD_AGREEMENT
    _, patient = registry.check(terms.patient, Role.VISITOR, now)
    _, provider = registry.check(terms.provider, Role.VISITOR, now)
    if patient is None or provider is None or not _are_parties(patient, provider, terms):
        return Reason.BAD_AGREEMENT
    other = provider if author == terms.patient else patient
    is_signed = crypto.verify(other.public_key, AgreementBody(chain, terms), agreement.signature)
    return Reason.ACCEPTED if is_signed else Reason.BAD_AGREEMENT


def _are_parties(patient: CertificateBody, provider: CertificateBody, terms: Terms) -> bool:
    is_hers = patient.capacity is Capacity.PATIENT and patient.pseudonym == terms.pseudonym
    return is_hers and provider.capacity in {Capacity.PRACTITIONER, Capacity.SYSTEM}


class Citing(Protocol):
    """A `RecordRef` or an `Access`: what may cite an agreement."""

    @property
    def kind(self) -> int: ...
    @property
    def pseudonym(self) -> bytes: ...
    @property
    def agreement(self) -> bytes: ...


def facts_of(author: str, submitted_at: int, payload: Citing, uses: int | None) -> Facts:
    """What clauses may ask about a record to be written or an access, after ``uses`` other acts (None: unknown)."""
    words = {WordFact.AUTHOR: author, WordFact.ACTION: action_word(Action.WRITE)}
    numbers = {NumberFact.SUBMITTED_AT: submitted_at}
    if uses is not None:
        numbers[NumberFact.USES] = uses
    if payload.kind:
        words[WordFact.KIND] = kind_word(payload.kind)
    if isinstance(payload, Access):
        words |= {WordFact.ACTION: action_word(payload.action), WordFact.PURPOSE: payload.purpose.value}
        if payload.emergency:
            words[WordFact.EMERGENCY] = payload.emergency.value
    else:
        numbers[NumberFact.SIZE_BYTES] = payload.size_bytes  # type: ignore[attr-defined]  # a `RecordRef`
    return Facts(words, numbers)


class Standing(msgspec.Struct, frozen=True):
    """An agreement on the chain: its terms (None once it has ended), the end of its period, and its uses."""

    terms: Terms | None = None
    not_after: int = 0
    uses: int = 0


#: An agreement that there is not.
UNKNOWN: Final = Standing()


@dataclass(frozen=True, slots=True)
class AgreementBook:
    """The agreements of a chain after some block."""

    standings: ForkedDict[bytes, Standing] = field(default_factory=lambda: ForkedDict(UNKNOWN))
    #: Ids of each patient's agreements that were in force or to come when her last one was made.
    ids: ForkedDict[bytes, tuple[bytes, ...]] = field(default_factory=lambda: ForkedDict(()))

    def fork(self) -> "AgreementBook":
        """An independent copy, in constant time."""
        return AgreementBook(self.standings.fork(), self.ids.fork())

    def find(self, agreement: bytes) -> Standing:
        """What has become of an agreement; `UNKNOWN` if the chain holds none with this id."""
        return self.standings.get(agreement)

    def held(self, pseudonym: bytes, now: int) -> tuple[bytes, ...]:
        """Ids of a patient's agreements that are in force or to come."""
        found = ((item, self.find(item)) for item in self.ids.get(pseudonym))
        return tuple(item for item, standing in found if standing.terms is not None and now < standing.not_after)

    def judge(self, author: str, submitted_at: int, payload: "Citing", now: int) -> Reason:
        """Whether an act may cite what it cites: in force, between the same parties, and with its clauses satisfied."""
        standing = self.find(payload.agreement)
        terms = standing.terms
        if terms is None or not terms.not_before <= now < terms.not_after:
            return Reason.NO_AGREEMENT
        if author not in terms.parties or payload.pseudonym != terms.pseudonym:
            return Reason.NO_AGREEMENT
        decision = decide(terms.clauses, facts_of(author, submitted_at, payload, standing.uses))
        return Reason.ACCEPTED if decision.is_permitted else Reason.CLAUSES

    def outline(self, author: str, submitted_at: int, payload: "Citing") -> bytes:
        """What the clauses say of an act but for its uses, which nodes at different heights count differently.

        One byte per clause after the agreement's id; the id alone if the agreement has ended.
        """
        terms = self.find(payload.agreement).terms
        facts = facts_of(author, submitted_at, payload, None)
        return payload.agreement + (bytes(evaluate(terms.clauses, facts)[0]) if terms else b"")

    def enter(self, crypto: Crypto, chain: bytes, terms: Terms, now: int) -> Reason:
        """Put an agreement that both have signed in force; what has ended makes room, but its id stays taken."""
        agreement = agreement_id(crypto, chain, terms)
        if self.find(agreement) is not UNKNOWN:
            return Reason.AGREED
        held = self.held(terms.pseudonym, now)
        if len(held) >= MOST_AGREEMENTS:
            return Reason.TOO_MANY_AGREEMENTS
        for ended in set(self.ids.get(terms.pseudonym)).difference(held):
            self.standings[ended] = msgspec.structs.replace(self.find(ended), terms=None)
        self.standings[agreement] = Standing(terms, terms.not_after)
        self.ids[terms.pseudonym] = (*held, agreement)
        return Reason.ACCEPTED

    def terminate(self, agreement: bytes, author: str | None) -> Reason:
        """End an agreement of ``author``, or anyone's if that is None; another's is as unknown as none."""
        standing = self.find(agreement)
        if standing.terms is None or author not in (None, *standing.terms.parties):
            return Reason.NO_AGREEMENT
        # Its id stays taken: the other party's signature still verifies.
        self.standings[agreement] = msgspec.structs.replace(standing, terms=None)
        return Reason.ACCEPTED

    def count(self, agreement: bytes) -> None:
        """An act under this agreement is on the chain."""
        standing = self.find(agreement)
        self.standings[agreement] = msgspec.structs.replace(standing, uses=standing.uses + 1)
