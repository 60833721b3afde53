"""What a receipt proves to somebody who trusts no node: offline, from the chain's beginning and the receipt alone.

The genesis binds all keys by its hash, the chain's id; the commit certificate binds the block, the inclusion proof the
transaction, and the transaction's own signatures its author, endorsements and approvals.  Whether something on the
chain itself (a nonce used before, a revocation, a consent) made the transaction void is the ledger keepers' word,
which most of the contributors have to sign.  That the chain is the right one nobody can show: its reader has to know.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from ehrcore.block import Attestation, CommitCertificate, EndorsedTransaction, Genesis, Header, RecordRef, genesis_hash
from ehrcore.codec import decode, encode
from ehrcore.consensus.finality import header_hash
from ehrcore.crypto import Crypto
from ehrcore.errors import EhrError, ProofError
from ehrcore.hashing import find_suite
from ehrcore.identity import Certificate, Reason
from ehrcore.light import LightClient
from ehrcore.merkle import verify_inclusion
from ehrcore.messages import Receipt, verdict_body
from ehrcore.params import majority
from ehrcore.rules import check_endorsed, check_transaction, is_attested
from ehrcore.signing import find_scheme
from ehrcore.state import open_registry, open_stakes
from ehrcore.types import Role

T = TypeVar("T")

FORMAT: Final = "ehrcore-proof-2"
KEEPERS: Final = (Role.CONTRIBUTOR, Role.COORDINATOR)


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proof as a file: JSON with the chain's id in hexadecimal, and base64 of the canonical bytes of the others.

    ``receipt`` holds exactly one transaction; ``witnesses`` are `Attestation`s of contributors to its verdict, and
    ``certificates`` those of the authority that its signatures need beside genesis: of persons, and of rotated keys.
    """

    format: str
    chain: str
    genesis: str
    receipt: str
    witnesses: str
    certificates: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A transaction in a final block.  ``keeper`` and all ``witnesses`` have signed that ``reason`` became of it."""

    genesis: Genesis
    chain: bytes
    header: Header
    certificate: CommitCertificate
    block_hash: bytes
    index: int
    tx_id: bytes
    endorsed: EndorsedTransaction
    reason: Reason
    keeper: str
    witnesses: tuple[str, ...] = ()


class Verifier:
    """Checks receipts of one chain, of whose authority ``certificates`` are.

    `ProofError` if ``genesis`` does not hold by itself, or a certificate is not the authority's.
    """

    def __init__(self, genesis: Genesis, certificates: Sequence[Certificate] = ()) -> None:
        params = genesis.params
        try:
            if params.is_modelled:
                raise ProofError("genesis: expected a chain with real signatures, found a modelled one")
            params.validate()
            self._crypto = Crypto(find_suite(params.hash_suite), find_scheme(f"{params.curve}/cryptography"))
            self._registry = open_registry(params, genesis.certificates, self._crypto)
            self._voters = open_stakes(params, self._registry, self._crypto).validators
            for certificate in certificates:
                if certificate.body.role is Role.ADMINISTRATOR:
                    raise ProofError("certificates: expected none of an administrator, for these are fixed, found one")
                self._registry.enrol(certificate, self._crypto)
        except ProofError:
            raise
        except EhrError as error:
            raise ProofError(f"genesis: {error}") from None
        self.genesis = genesis
        self.chain = genesis_hash(self._crypto, params, genesis.certificates)

    def locate(self, receipt: Receipt) -> Verified:
        """The one transaction of ``receipt``, shown to be in a final block of this chain, whatever it is worth there.

        Raises `ProofError` if it is not.
        """
        crypto, header = self._crypto, receipt.header
        if header.chain != self.chain:
            raise ProofError(f"receipt: expected a block of chain {self.chain.hex()}, found {header.chain.hex()}")
        if len(receipt.entries) != 1:
            raise ProofError(f"receipt: expected one transaction, found {len(receipt.entries)}")
        entry, block_hash = receipt.entries[0], header_hash(crypto, header)
        try:
            client = LightClient(crypto, self.genesis.params, self.chain, self._voters)
            client.verify(header, receipt.certificate, receipt.trail)
            verify_inclusion(crypto.suite, header.merkle_root, header.size, entry.index, entry.leaf, entry.path)
            endorsed = decode(entry.leaf, EndorsedTransaction)
            self._require_word(receipt, block_hash, receipt.word, KEEPERS)
        except EhrError as error:
            raise ProofError(f"receipt: {error}") from None
        tx_id = crypto.hash_struct(endorsed.transaction.body)
        return Verified(
            self.genesis, self.chain, header, receipt.certificate, block_hash, entry.index, tx_id, endorsed,
            entry.reason, receipt.word.node,
        )  # fmt: skip

    def _require_word(self, receipt: Receipt, block_hash: bytes, word: Attestation, roles: tuple[Role, ...]) -> None:
        body, now = verdict_body(receipt.header.chain, block_hash, receipt.entries), receipt.header.timestamp
        if not any(is_attested(self._crypto, self._registry, role, body, word, now) for role in roles):
            raise ProofError(f"verdict: expected the signature of a ledger keeper, found none of {word.node}")

    def witness(self, receipt: Receipt, words: Sequence[Attestation]) -> Verified:
        """As `verify`, and most of the contributors of genesis have signed the verdict; `ProofError` if not.

        Whose certificate came later is none of those that the majority is of, whatever role it names.
        """
        bodies = (item.body for item in self.genesis.certificates)
        keepers = {body.subject for body in bodies if body.role is Role.CONTRIBUTOR}
        found, names = self.verify(receipt), {word.node for word in words} & keepers
        least = majority(self.genesis.params.topology.contributors)
        if len(names) != len(words) or len(names) < least:
            raise ProofError(f"verdict: expected distinct signatures of {least} contributors, found {len(words)}")
        for word in words:
            self._require_word(receipt, found.block_hash, word, (Role.CONTRIBUTOR,))
        return replace(found, witnesses=tuple(sorted(names)))

    def verify(self, receipt: Receipt) -> Verified:
        """As `locate`, and the author and both policies hold at the block's time, by the certificates of genesis."""
        found, crypto, params = self.locate(receipt), self._crypto, self.genesis.params
        now = found.header.timestamp
        reason = check_transaction(crypto, self._registry, None, self.chain, found.endorsed.transaction, now)
        reason = reason or check_endorsed(crypto, self._registry, params, self.chain, found.endorsed, found.tx_id, now)
        if reason:
            raise ProofError(f"transaction {found.tx_id.hex()}: expected one that genesis bears out, found: {reason}")
        return found

    def matches(self, found: Verified, record: bytes) -> bool:
        """Whether ``record`` is, byte for byte, what the transaction declares."""
        payload = found.endorsed.transaction.body.payload
        return isinstance(payload, RecordRef) and self._crypto.hash(record) == payload.digest


def build_proof(
    genesis: Genesis, receipt: Receipt, witnesses: Sequence[Attestation], certificates: Sequence[Certificate] = ()
) -> Proof:
    """The proof that ``receipt`` is, with the words of ``witnesses``; `ProofError` if they do not verify."""
    verifier = Verifier(genesis, certificates)
    verifier.witness(receipt, witnesses)
    parts = genesis, receipt, tuple(witnesses), tuple(certificates)
    blobs = [base64.b64encode(encode(part)).decode() for part in parts]
    return Proof(FORMAT, verifier.chain.hex(), *blobs)


def encode_proof(proof: Proof) -> bytes:
    """The content of a proof file."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=2) + b"\n"


def decode_proof(data: bytes) -> Proof:
    """The proof in a file's content; `ProofError` if it is none."""
    try:
        proof = msgspec.json.decode(data, type=Proof)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProofError(f"proof: expected the JSON of one, found: {error}") from None
    if proof.format != FORMAT:
        raise ProofError(f"proof: expected format {FORMAT}, found {proof.format!r}")
    return proof


def verify_proof(proof: Proof, chain: bytes | None = None, record: bytes | None = None) -> Verified:
    """What ``proof`` shows; `ProofError` names the first thing in it that does not hold.

    ``chain`` is the chain's id as the reader knows it: without it, the proof is of the chain that it names itself.
    ``record`` are the bytes of the record that the transaction is expected to declare.
    """
    genesis = _decode_part("genesis", proof.genesis, Genesis)
    receipt = _decode_part("receipt", proof.receipt, Receipt)
    witnesses = _decode_part("witnesses", proof.witnesses, tuple[Attestation, ...])
    verifier = Verifier(genesis, _decode_part("certificates", proof.certificates, tuple[Certificate, ...]))
    for whose, expected in (("the reader's", chain and chain.hex()), ("the proof's", proof.chain)):
        if expected is not None and expected != verifier.chain.hex():
            raise ProofError(f"genesis: expected {whose} chain {expected}, found {verifier.chain.hex()}")
    found = verifier.witness(receipt, witnesses)
    if record is not None and not verifier.matches(found, record):
        raise ProofError(f"record: expected the bytes that transaction {found.tx_id.hex()} declares, found others")
    return found


def _decode_part(name: str, text: str, kind: type[T]) -> T:
    try:
        return decode(base64.b64decode(text, validate=True), kind)
    except (binascii.Error, ValueError, EhrError) as error:
        raise ProofError(f"{name}: expected base64 of canonical bytes, found: {error}") from None
