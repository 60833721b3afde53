"""What becomes of patients' matters at their place in the chain: judged by ledger keepers, in order, by consent.

What is denied here was asked in due form: it stays in its block as the record of the attempt, and its nonce is used up,
so that nobody can have it tried again.
"""

from typing import Final

from ehrcore.agreements import Agreement, AgreementBook, Termination
from ehrcore.block import Payload, RecordRef, TransactionBody
from ehrcore.consent import Access, Action, Consent, ConsentBook, Decision, Emergency, Erasure, Rule, Withdrawal, decide
from ehrcore.crypto import Crypto
from ehrcore.identity import CertificateBody, Reason
from ehrcore.rules import AUTHORITY

#: What `judge` may find wrong, and nothing else does: no forgery gets as far.
DENIALS: Final = frozenset({
    Reason.NO_CONSENT, Reason.DENIED, Reason.UNKNOWN_CONSENT, Reason.TOO_MANY_CONSENTS, Reason.ERASED,
    Reason.NO_AGREEMENT, Reason.CLAUSES, Reason.AGREED, Reason.TOO_MANY_AGREEMENTS,
})  # fmt: skip
#: With these a transaction's nonce is used up.
USED_UP: Final = DENIALS | {Reason.ACCEPTED}


def judge(
    book: ConsentBook, certificate: CertificateBody | None, body: TransactionBody, tx_id: bytes, now: int
) -> Reason:
    """Decide about a transaction that is no order and in due form, and put what it changes into ``book``.

    ``certificate`` is its author's, None for the authority; ``now`` is the block's time.
    """
    payload = body.payload
    if certificate is not None and isinstance(payload, RecordRef | Access):
        return decide_about(book, certificate, payload, now).reason
    return amend(book, payload, tx_id, certificate.pseudonym if certificate else None, now)


def decide_about(book: ConsentBook, certificate: CertificateBody, payload: RecordRef | Access, now: int) -> Decision:
    """By which rule a write or an access is permitted or denied."""
    match payload:
        case RecordRef(pseudonym=pseudonym, kind=kind):
            return decide(book, certificate, pseudonym, kind, Action.WRITE, None, Emergency.NONE, now)
        case Access(pseudonym=pseudonym, record=record) if record and book.is_erased(pseudonym, record):
            return Decision(Reason.ERASED, Rule.ERASURE)
        case Access(pseudonym=pseudonym, kind=kind, action=action, purpose=purpose, emergency=emergency):
            return decide(book, certificate, pseudonym, kind, action, purpose, emergency, now)


def amend(book: ConsentBook, payload: Payload, tx_id: bytes, pseudonym: bytes | None, now: int) -> Reason:
    """Put into ``book`` what a patient decides, or the authority for one (``pseudonym`` None); nothing else changes it.

    Of what was accepted before, it makes again what it made then, whoever's ``pseudonym`` that was.
    """
    match payload:
        case Consent() as consent:
            return book.put(tx_id, consent, now)
        case Withdrawal(consent=consent_id):
            return book.withdraw(consent_id, pseudonym)
        case Erasure() as erasure:
            return book.erase(tx_id, erasure)
        case _:
            return Reason.ACCEPTED


def judge_agreement(book: AgreementBook, crypto: Crypto, body: TransactionBody, now: int) -> Reason:
    """Decide about an agreement, the end of one, or an act under one, and put what it changes into ``book``.

    The last word, after consents: what is counted here as a use is accepted.  The authority may end
    anyone's agreement.
    """
    match body.payload:
        case Agreement(terms=terms):
            return book.enter(crypto, body.chain, terms, now)
        case Termination(agreement=agreement):
            return book.terminate(agreement, None if body.author == AUTHORITY else body.author)
        case RecordRef() | Access() as act if act.agreement:
            reason = book.judge(body.author, body.submitted_at, act, now)
            if not reason:
                book.count(act.agreement)
            return reason
        case _:
            return Reason.ACCEPTED
