"""Signatures: one sign and one verify of the default scheme beside the C library's own loop.

`openssl speed` draws its nonces at random; the framework derives them (RFC 6979), which costs a dozen HMACs.  So the
note gives the time of the library alone, asked for random nonces.
"""

from pathlib import Path
from statistics import median
from typing import Final

from bench.limits.base import BLOCKS, MICROSECOND, Demand, Finding, Metric, Part, cpu_ns, take_turns
from bench.limits.openssl import cryptography_text, p256_ns, versions_note
from ehrcore.signing import CURVES, derive_secret, find_scheme

_SECONDS: Final = 0.3
_DIGEST: Final = bytes(range(32))


def measure(_folder: Path) -> list[Finding]:
    """Sign and verify on P-256."""
    scheme = find_scheme("p256/cryptography")
    private = scheme.private_key(derive_secret(CURVES["p256"], "limits"))
    public, signature = scheme.verifying_key(private.public_bytes), private.sign(_DIGEST)
    peers: list[tuple[float, float]] = []

    def peer() -> float:
        peers.append(p256_ns())
        return 0.0

    signs, verifies, alone, _ = take_turns(
        BLOCKS,
        lambda: cpu_ns(_SECONDS, private.sign, _DIGEST),
        lambda: cpu_ns(_SECONDS, public.verify, _DIGEST, signature),
        sign_alone_ns,
        peer,
    )
    versions = versions_note(cryptography_text())
    notes = (f"the library alone, random nonces: {median(alone) / 1e3:.1f} µs; {versions}", versions)
    peer_signs, peer_verifies = zip(*peers, strict=True)
    return [
        Finding.in_unit(MICROSECOND, ours, theirs, note)
        for ours, theirs, note in ((signs, peer_signs, notes[0]), (verifies, peer_verifies, notes[1]))
    ]


def sign_alone_ns() -> float:
    """Processor nanoseconds of `cryptography`'s own signature with a random nonce, in DER."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    key = ec.generate_private_key(ec.SECP256R1())
    return cpu_ns(_SECONDS, key.sign, _DIGEST, ec.ECDSA(Prehashed(hashes.SHA256())))


PART: Final = Part(
    (
        Metric("P-256 sign", "µs", "openssl speed ecdsap256", Demand("at most", 1.2)),
        Metric("P-256 verify", "µs", "openssl speed ecdsap256", Demand("at most", 1.1)),
    ),
    measure,
)
