"""Sealed records: one of 1 MB sealed and hashed, hashed and opened, beside C's AES-256-GCM and SHA-256 (`sealing.c`).

The C program calls the system's OpenSSL on buffers that it keeps; `cryptography` carries an OpenSSL of its own, maybe
with faster code.  So the note gives the time of that alone: one encryption without segments, and hashlib's SHA-256.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.limits.base import MICROSECOND, Demand, Finding, Metric, Part, cpu_ns, take_turns
from bench.limits.compiled import compile_program, run_program
from bench.limits.openssl import cryptography_text, version
from ehrcore.sealing import open_sealed, open_stream, seal, seal_stream

RECORD_BYTES: Final = 1 << 20
_KEY, _CONTEXT = bytes(range(32)), b"limits"
_SECONDS: Final = 0.15
_BLOCKS: Final = 7
_CALLS: Final = 150


def measure(folder: Path) -> list[Finding]:
    """Microseconds of a record of `RECORD_BYTES` each way: as one piece, and as a stream."""
    plain = bytes(RECORD_BYTES)
    sealed = seal(_KEY, _CONTEXT, plain)
    peers: list[tuple[float, float]] = []
    with TemporaryDirectory(dir=folder) as scratch:
        program = str(compile_program("sealing", Path(scratch)))

        def peer() -> float:
            seals, opens = run_program([program, str(RECORD_BYTES), str(_CALLS)], "an answer of sealing.c").split()
            peers.append((float(seals), float(opens)))
            return 0.0

        actions = (
            lambda: sha256(seal(_KEY, _CONTEXT, plain)).digest(),
            lambda: (sha256(sealed).digest(), open_sealed(_KEY, _CONTEXT, sealed)),
            lambda: _seal_stream(plain),
            lambda: _open_stream(sealed),
        )
        *ours, alone, _ = take_turns(_BLOCKS, *map(_timer, actions), _timer(_alone(plain)), peer)
    own = " ".join(cryptography_text().split()[:2])
    note = f"C: {version()}; {own} alone, sealing: {median(alone) / 1e3:.0f} µs"
    return [
        Finding.in_unit(MICROSECOND, values, [pair[index % 2] for pair in peers], note)
        for index, values in enumerate(ours)
    ]


def _timer(action: Callable[[], object]) -> Callable[[], float]:
    return lambda: cpu_ns(_SECONDS, action)


def _seal_stream(plain: bytes) -> bytes:
    """The digest of what is stored, as `drive.net.vault` makes it."""
    digest = sha256()
    for chunk in seal_stream(_KEY, _CONTEXT, (plain,)):
        digest.update(chunk)
    return digest.digest()


def _open_stream(sealed: bytes) -> bytes:
    digest = sha256(sealed)
    for _ in open_stream(_KEY, _CONTEXT, (sealed,)):
        pass
    return digest.digest()


def _alone(plain: bytes) -> Callable[[], bytes]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher, nonce = AESGCM(_KEY), bytes(12)
    return lambda: sha256(cipher.encrypt(nonce, plain, None)).digest()


_PEER: Final = "C: AES-256-GCM and SHA-256"
PART: Final = Part(
    tuple(
        Metric(f"{way} 1 MB, {how}", "µs", _PEER, Demand("at most", 1.3))
        for how in ("in one piece", "as a stream")
        for way in ("seal and hash", "hash and open")
    ),
    measure,
)
