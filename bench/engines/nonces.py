"""Engine `identity-nonces`: one nonce for two signatures gives the key away; RFC 6979 never repeats one (claim C42).

ECDSA signs ``s = (z + r d) / k`` modulo the order, with ``r`` from ``k`` alone.  Two messages under one ``k`` are two
equations in two unknowns: ``k = (z1 - z2) / (s1 - s2)`` and ``d = (s1 k - z1) / r`` (Brown, SEC 1 version 2.0,
section 4.1; the signing key of the PlayStation 3 went that way in 2010).  Nothing but a private key is found so.
"""

import hashlib
from itertools import combinations

from bench.engines.base import Context
from bench.engines.impostor import FULL, VICTIM, Stage, play
from bench.experiments.attacks import Tally, check_attacks
from bench.experiments.base import Case, Row
from ehrcore.block import Transaction
from ehrcore.signing import CURVES, Scheme, derive_secret, find_scheme
from ehrcore.signing.base import SCALAR_BYTES, Curve, join
from ehrcore.spec import ecdsa
from ehrcore.spec.curve import CURVES as SPECIFIED


def sign_with(curve: Curve, secret: int, digest: bytes, nonce: int) -> bytes:
    """What a careless signer makes of ``digest`` with a nonce of its choice: a valid low-S signature."""
    found = ecdsa.sign_with(SPECIFIED[curve.name], secret, digest, nonce)
    assert found is not None  # noqa: S101 - nonces are below the order
    return join(curve, *found)


def recover(
    scheme: Scheme, curve: Curve, public_bytes: bytes, first: tuple[bytes, bytes], second: tuple[bytes, bytes]
) -> int | None:
    """The private key behind two (digest, signature) pairs of ``public_bytes``, if they share a nonce; else None.

    Of a low-S signature ``s`` may be the negative of what was computed: both signs are tried.
    """
    n = curve.order
    (z1, r, s1), (z2, other, s2) = _numbers(*first), _numbers(*second)
    if r != other:
        return None
    for sign in (1, -1):
        if (s1 - sign * s2) % n == 0:
            continue
        nonce: int = (z1 - z2) * pow(s1 - sign * s2, -1, n) % n
        secret: int = (s1 * nonce - z1) * pow(r, -1, n) % n
        if secret and scheme.private_key(secret).public_bytes == public_bytes:
            return secret
    return None


def _numbers(digest: bytes, signature: bytes) -> tuple[int, int, int]:
    r, s = signature[:SCALAR_BYTES], signature[SCALAR_BYTES:]
    return int.from_bytes(digest), int.from_bytes(r), int.from_bytes(s)


def run_nonces(context: Context, case: Case) -> list[Row]:
    """On both curves: a careless signer's key is found and used; a deterministic signer's is not.

    Settings: ``tries``, the pairs of signatures with one nonce, and ``messages`` that the deterministic signer signs.
    """
    rows, settings = [], case.settings
    for curve in CURVES.values():
        label = f"{context.scenario.seed}|nonces|{curve.name}"
        rows += [_reuse(label, curve, settings["tries"]), *_deterministic(label, curve, settings["messages"])]
    return check_attacks(rows)


def _reuse(label: str, curve: Curve, tries: int) -> Row:
    """The victim signs two transactions with one nonce; who has read both writes a third in its name."""
    note = "the recovered key signs as the victim, and the ledger holds what it signed"
    tally = Tally("nonce used twice", curve.name, "nonce of the signer's choice", "succeeds", note)
    for number in range(tries):
        with play(f"{label}|{number}", FULL, curve.name) as stage:
            secret = derive_secret(curve, f"{label}|{number}|{VICTIM}")
            nonce = derive_secret(curve, f"{label}|{number}|nonce")
            seen = [_sign(stage, secret, nonce) for _ in range(2)]
            found = recover(stage.crypto.scheme, curve, stage.keys[VICTIM].public_bytes, *seen)
            if found is None:
                tally.add("no key found")
            else:
                stage.attempt(tally, stage.write(VICTIM, key=stage.crypto.scheme.private_key(found)))
    return tally.row()


def _sign(stage: Stage, secret: int, nonce: int) -> tuple[bytes, bytes]:
    """A transaction that the network takes, as digest and signature; `AssertionError` if it does not take it."""
    body = stage.write(VICTIM).body
    digest = stage.crypto.hash_struct(body)
    tx = Transaction(body, sign_with(stage.curve, secret, digest, nonce))
    stage.order(tx)
    if stage.judge(tx) is not None:
        raise AssertionError(f"{stage.curve.name}: expected a valid signature, found one that is refused")
    return digest, tx.signature


def _deterministic(label: str, curve: Curve, count: int) -> list[Row]:
    """RFC 6979: the nonce is an HMAC of key and message, so one message has one and two messages have two."""
    scheme = find_scheme(f"{curve.name}/cryptography")
    key = scheme.private_key(derive_secret(curve, label))
    digests = [hashlib.sha256(f"{label}|{number}".encode()).digest() for number in range(count)]
    signed = [(digest, key.sign(digest)) for digest in digests]
    pairs = Tally("nonce used twice", curve.name, "RFC 6979", "refused", f"all pairs of {count} messages")
    for first, second in combinations(signed, 2):
        pairs.add("different r" if recover(scheme, curve, key.public_bytes, first, second) is None else None)
    again = Tally("two signatures of one message", curve.name, "RFC 6979", "refused", "the second is the first")
    for digest, signature in signed:
        again.add("same signature" if key.sign(digest) == signature else None)
    return [pairs.row(), again.row()]
