"""Trying ids: what whoever reads the chain does to a pseudonym, each kind at the least cost that Python allows."""

import hashlib
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from ehrcore.hashing import find_suite
from ehrcore.pseudonyms import PseudonymKind, Pseudonyms, derive_key, name_slowly

#: Public: an attacker has it from the genesis.
SALT: Final = hashlib.sha256(b"the network's public salt").digest()
#: What an attacker without the key tries as one: what is public or nothing.
GUESSED_KEYS: Final = (b"", b"ehr", SALT)

Guess = Callable[[bytes], bytes]


def secret_of(seed: str) -> bytes:
    """The authority's secret in this experiment: derived from the run's seed, so that a run can be repeated."""
    return hashlib.sha256(f"pseudonyms|{seed}".encode()).digest()


def open_pseudonyms(kind: PseudonymKind, suite: str, seed: str) -> Pseudonyms:
    """As the authority of the network makes them."""
    return Pseudonyms(kind, find_suite(suite), secret_of(seed), SALT)


def make_guess(kind: PseudonymKind, suite: str, key: bytes = b"") -> Guess:
    """The function from an id to what it would be called; of the keyed kinds, under ``key``."""
    if kind is PseudonymKind.SLOW:
        return lambda patient: name_slowly(SALT, patient)
    if kind not in {PseudonymKind.BARE, PseudonymKind.SALTED}:
        return _make_hmac(key)
    start = find_suite(suite).new(SALT if kind is PseudonymKind.SALTED else b"")

    def guess(patient: bytes) -> bytes:
        state = start.copy()
        state.update(patient)
        digest: bytes = state.digest()
        return digest

    return guess


def _make_hmac(key: bytes) -> Guess:
    """HMAC-SHA-256 under a key of at most 64 bytes, whose two blocks are hashed once for all ids (RFC 2104)."""
    padded = key.ljust(64, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))

    def guess(patient: bytes) -> bytes:
        first, second = inner.copy(), outer.copy()
        first.update(patient)
        second.update(first.digest())
        return second.digest()

    return guess


def study_key(seed: str, study: str) -> bytes:
    """What somebody holds to whom the authority has given one study's key, or who has taken it."""
    return derive_key(secret_of(seed), "study", study.encode())


def enumerate_ids(guess: Guess, ids: Iterable[bytes], targets: Collection[bytes]) -> tuple[dict[bytes, bytes], int]:
    """Try every id: what was found (pseudonym to id), and how many were tried; it ends once all are found."""
    wanted, found, tried = set(targets), dict[bytes, bytes](), 0
    for patient in ids:
        tried += 1
        name = guess(patient)
        if name in wanted:
            found[name] = patient
            if len(found) == len(wanted):
                break
    return found, tried


def list_digits(count: int) -> Iterator[bytes]:
    """All ids of so many digits, in order."""
    return (b"%0*d" % (count, number) for number in range(10**count))


def choose_patients(digits: int, count: int, seed: str) -> list[str]:
    """``count`` distinct ids of so many digits."""
    source = random.Random(f"{seed}|patients|{digits}")
    return [f"{number:0{digits}d}" for number in source.sample(range(10**digits), count)]
