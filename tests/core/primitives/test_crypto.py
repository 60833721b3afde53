"""A node's cryptography: every operation is metered, what was verified is remembered, what was refused is not."""

import hashlib
from typing import Any

import pytest

from ehrcore.block import Attestation, Revocation
from ehrcore.codec import encode
from ehrcore.crypto import Crypto
from ehrcore.errors import SignatureError
from ehrcore.hashing import find_suite
from ehrcore.merkle import compute_root
from ehrcore.signing import CURVES, derive_secret, find_scheme

SUITE, SCHEME = find_suite("sha256"), find_scheme("p256/cryptography")
KEY = SCHEME.private_key(derive_secret(CURVES["p256"], "signer"))
BODY, OTHER = Revocation(1), Revocation(2)


def signer(**options: Any) -> Crypto:
    return Crypto(SUITE, SCHEME, KEY, **options)


def test_hashes_are_counted_with_their_bytes() -> None:
    crypto = signer()
    assert crypto.hash(b"abc") == hashlib.sha256(b"abc").digest()
    assert crypto.hash_struct(BODY) == hashlib.sha256(encode(BODY)).digest()
    assert (crypto.meter.hashes, crypto.meter.hashed_bytes) == (2, 3 + len(encode(BODY)))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 15])
def test_a_tree_costs_one_hash_per_leaf_and_inner_node(count: int) -> None:
    crypto, leaves = signer(), [bytes(index) for index in range(count)]
    assert crypto.merkle_tree(leaves).root == compute_root(SUITE, leaves)
    assert crypto.meter.hashes == count + (count - 1)
    assert crypto.meter.hashed_bytes == sum(1 + len(leaf) for leaf in leaves) + (count - 1) * 65


def test_signing_signs_the_digest_of_the_canonical_bytes() -> None:
    crypto = signer()
    assert crypto.sign(BODY) == KEY.sign(hashlib.sha256(encode(BODY)).digest())
    assert (crypto.meter.signs, crypto.meter.hashes) == (1, 1)


def test_a_node_without_a_key_cannot_sign() -> None:
    crypto = Crypto(SUITE, SCHEME)
    with pytest.raises(SignatureError, match="expected a private key, found none"):
        crypto.sign(BODY)
    assert crypto.meter.signs == 0


def test_what_was_verified_is_not_verified_again() -> None:
    crypto, signature = signer(), KEY.sign(hashlib.sha256(encode(BODY)).digest())
    assert all(crypto.verify(KEY.public_bytes, BODY, signature) for _ in range(3))
    assert crypto.meter.verifies == 1


def test_what_was_refused_is_refused_again() -> None:
    crypto, signature = signer(), KEY.sign(hashlib.sha256(encode(BODY)).digest())
    assert not any(crypto.verify(KEY.public_bytes, OTHER, signature) for _ in range(3))
    assert crypto.meter.verifies == 3


def test_a_remembered_signature_vouches_for_nothing_else() -> None:
    """The memory's key is all three: signer, content and signature."""
    crypto = signer()
    other = SCHEME.private_key(derive_secret(CURVES["p256"], "another signer"))
    signature = crypto.sign(BODY)
    assert crypto.verify(KEY.public_bytes, BODY, signature)
    assert not crypto.verify(other.public_bytes, BODY, signature)
    assert not crypto.verify(KEY.public_bytes, OTHER, signature)
    assert not crypto.verify(KEY.public_bytes, BODY, signature[:-1] + bytes([signature[-1] ^ 1]))


def test_what_a_node_has_signed_itself_it_need_not_verify() -> None:
    crypto = signer()
    assert crypto.verify(KEY.public_bytes, BODY, crypto.sign(BODY))
    assert (crypto.meter.signs, crypto.meter.verifies) == (1, 0)


def test_the_memory_forgets_the_oldest() -> None:
    crypto = signer(memo_size=2)
    bodies = [Revocation(serial) for serial in (1, 2, 3)]

    def verifies(body: Revocation) -> int:
        assert crypto.verify(KEY.public_bytes, body, KEY.sign(hashlib.sha256(encode(body)).digest()))
        return crypto.meter.verifies

    assert [verifies(body) for body in bodies] == [1, 2, 3]
    assert verifies(bodies[2]) == 3
    assert verifies(bodies[0]) == 4


def test_no_memory_verifies_every_time() -> None:
    crypto = signer(memo_size=0)
    signature = crypto.sign(BODY)
    assert all(crypto.verify(KEY.public_bytes, BODY, signature) for _ in range(2))
    assert crypto.meter.verifies == 2


@pytest.mark.parametrize("public_bytes", [b"", bytes(33), b"\x04" + bytes(64), b"\0MODELLED-NO-KEY:" + bytes(16)])
def test_a_key_that_is_none_verifies_nothing(public_bytes: bytes) -> None:
    crypto = signer()
    assert not crypto.verify(public_bytes, BODY, crypto.sign(BODY))


def test_bodies_of_different_kinds_never_share_a_signature() -> None:
    """A tag stands in front of every signed body, so that no signature speaks for two kinds."""
    crypto = signer()
    untagged = Attestation("agent-0", bytes(64))
    assert encode(BODY) != encode(("revoked", 1))
    assert not crypto.verify(KEY.public_bytes, ("revoked", 1), crypto.sign(BODY))
    assert not crypto.verify(KEY.public_bytes, untagged, crypto.sign(BODY))
