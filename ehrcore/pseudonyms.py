"""Pseudonyms: what a patient is called on the chain, by which rule, and who can tell whose name it is.

The paper hashes the patient's id (section 3).  Ids are few, so whoever can hash can try them all: a hash without a
secret is a name in another spelling (claim C15), however it is salted or slowed down.  What hides it is a key that the
authority alone holds (HMAC, RFC 2104).  One name everywhere still ties together all that happens to a patient (claim
C16): names per study, or per record, are derived under keys of their own, so that only who holds the secret can
join them.

All uses of the secret are separate: a patient's id is UTF-8, in which no byte 0xff occurs (RFC 3629), and the labels
of derived keys begin with one.  So no id, whatever it is, has a derived key as its pseudonym.
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ehrcore.errors import ParameterError
from ehrcore.hashing import HashSuite

#: RFC 7914 with the least memory among the parameters of OWASP's Password Storage Cheat Sheet: 16 MiB, five times.
SCRYPT_N: Final = 1 << 14
SCRYPT_R: Final = 8
SCRYPT_P: Final = 5
_SCRYPT_MEMORY: Final = 64 << 20
MOST_STUDY_CHARS: Final = 64


class PseudonymKind(StrEnum):
    """The rules; all that is known of each stands in `RULES`."""

    BARE = "bare"
    SALTED = "salted"
    SLOW = "slow"
    KEYED = "keyed"
    PER_STUDY = "per-study"
    ONE_TIME = "one-time"


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudonymRule:
    """What a kind is, and its linkability.

    ``revealed_to`` can tell whose name it is, by trying ids if need be; ``linked_by`` can see that two names are one
    patient's, ``linked_across`` what.  A weak one reveals to anyone who can list the ids: measured, never relied on.
    """

    formula: str
    revealed_to: str
    linked_by: str = "anyone"
    linked_across: str
    is_weak: bool = False


_ONE_NETWORK: Final = "every record and study of one network; across networks, who finds the patients in both"
RULES: Final[dict[PseudonymKind, PseudonymRule]] = {
    PseudonymKind.BARE: PseudonymRule(
        formula="H(id), as the paper has it",
        revealed_to="anyone who can list the ids",
        linked_across="every record, study and network",
        is_weak=True,
    ),
    PseudonymKind.SALTED: PseudonymRule(
        formula="H(salt | id), the salt public and the network's",
        revealed_to="anyone who can list the ids",
        linked_across=_ONE_NETWORK,
        is_weak=True,
    ),
    PseudonymKind.SLOW: PseudonymRule(
        formula=f"scrypt(id, salt, N={SCRYPT_N}, r={SCRYPT_R}, p={SCRYPT_P}), the salt public and the network's",
        revealed_to="anyone who can list the ids and waits",
        linked_across=_ONE_NETWORK,
        is_weak=True,
    ),
    PseudonymKind.KEYED: PseudonymRule(
        formula="HMAC-SHA-256(the authority's key, id)",
        revealed_to="the authority and whoever has its key",
        linked_across="every record of one network",
    ),
    PseudonymKind.PER_STUDY: PseudonymRule(
        formula="HMAC-SHA-256(key derived for the study, id)",
        revealed_to="the authority and whoever has its key or the study's",
        linked_by="anyone within a study, the authority across studies",
        linked_across="every record of one study",
    ),
    PseudonymKind.ONE_TIME: PseudonymRule(
        formula="HMAC-SHA-256(key derived for the record, id)",
        revealed_to="the authority and whoever has its key",
        linked_by="the authority",
        linked_across="nothing: neither a consent nor a patient's certificate could name whom it is about",
    ),
}


class Pseudonyms:
    """The pseudonyms of one network: ``secret`` is the authority's, ``salt`` is public and the network's own.

    ``suite`` is the chain's: what needs no key is as the paper would have it there.
    """

    __slots__ = ("_salt", "_secret", "_suite", "kind")

    def __init__(self, kind: PseudonymKind, suite: HashSuite, secret: bytes, salt: bytes) -> None:
        self.kind, self._suite, self._secret, self._salt = kind, suite, secret, salt

    def name(self, patient_id: str, study: str = "", record: bytes = b"") -> bytes:
        """What the patient is called: in ``study``, or on the chain as a whole if it is empty.

        A study is keyed whatever the network's kind.  ``record`` is what is unique of a record, for one-time names.
        `ParameterError` for a study's name that is too long, an id that is empty, and a one-time name of no record.
        """
        if not patient_id:
            raise ParameterError("patient: expected an id, found an empty one")
        if len(study) > MOST_STUDY_CHARS:
            raise ParameterError(f"study: expected at most {MOST_STUDY_CHARS} characters, found {len(study)}")
        data = _to_bytes("patient", patient_id)
        if study or self.kind is PseudonymKind.PER_STUDY:
            return name_keyed(derive_key(self._secret, "study", _to_bytes("study", study)), data)
        match self.kind:
            case PseudonymKind.BARE:
                return self._suite.hash(data)
            case PseudonymKind.SALTED:
                return self._suite.hash(self._salt + data)
            case PseudonymKind.SLOW:
                return name_slowly(self._salt, data)
            case PseudonymKind.KEYED:
                return name_keyed(self._secret, data)
            case PseudonymKind.ONE_TIME:
                if not record:
                    raise ParameterError("pseudonym: expected a record to make a one-time name for, found none")
                return name_keyed(derive_key(self._secret, "record", record), data)


def name_keyed(key: bytes, patient_id: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) of the id."""
    return hmac.digest(key, patient_id, hashlib.sha256)


def name_slowly(salt: bytes, patient_id: bytes) -> bytes:
    """32 bytes of scrypt (RFC 7914)."""
    return hashlib.scrypt(
        patient_id, salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, maxmem=_SCRYPT_MEMORY, dklen=32
    )  # fmt: skip


def derive_key(secret: bytes, use: str, label: bytes) -> bytes:
    """The key for one use of the authority's secret and one label: no id is named by it, no other use has it.

    ``use`` is one of the program's own words, without a NUL.
    """
    return hmac.digest(secret, b"\xff" + use.encode() + b"\0" + label, hashlib.sha256)


def require_stable(kind: PseudonymKind) -> PseudonymKind:
    """The kind, if consents and patients' own certificates can go by it; else `ParameterError`."""
    if kind is PseudonymKind.ONE_TIME:
        kinds = ", ".join(item for item in PseudonymKind if item is not PseudonymKind.ONE_TIME)
        raise ParameterError(f"pseudonyms: expected one of {kinds}, found {kind.value}, which no consent can name")
    return kind


def _to_bytes(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ParameterError(f"{what}: expected text, found half of a character") from None
