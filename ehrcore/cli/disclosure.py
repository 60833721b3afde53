"""Evidence of a record: the sealed object with its key, for whoever is to see that it is what the chain stands for."""

import base64
from typing import Final

import msgspec

from ehrcore.block import RecordRef
from ehrcore.crypto import Crypto
from ehrcore.errors import EhrError, ProofError
from ehrcore.sealing import open_sealed, record_context

FORMAT: Final = "ehrcore-evidence-1"


class Disclosure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of evidence: JSON, with the record's key in hexadecimal and the sealed object in base64."""

    format: str
    key: str
    sealed: str

    def __repr__(self) -> str:
        """Never the key."""
        return f"Disclosure({self.format!r})"


def encode_disclosure(key: bytes, sealed: bytes) -> bytes:
    """The content of a file of evidence, which is as secret as the record."""
    return msgspec.json.encode(Disclosure(FORMAT, key.hex(), base64.b64encode(sealed).decode())) + b"\n"


def open_disclosure(data: bytes, record: RecordRef, crypto: Crypto) -> bytes:
    """The content of ``record`` by the evidence in ``data``; `ProofError` if the chain stands for another."""
    try:
        found = msgspec.json.decode(data, type=Disclosure)
        key, sealed = bytes.fromhex(found.key), base64.b64decode(found.sealed, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        raise ProofError("evidence: expected the JSON of a sealed record and its key, found something else") from None
    if found.format != FORMAT:
        raise ProofError(f"evidence: expected format {FORMAT}, found {found.format[:40]!r}")
    if crypto.hash(sealed) != record.digest or len(sealed) != record.size_bytes:
        raise ProofError("evidence: expected the sealed record that the transaction declares, found another")
    try:
        return open_sealed(key, record_context(record.kind, record.pseudonym), sealed)
    except EhrError as error:
        raise ProofError(f"evidence: {error}") from None
