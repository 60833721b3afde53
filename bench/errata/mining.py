"""Demonstrations of E19 to E21, E24 and E25: Algorithm 2, proof of stake, the Merkle root and the header."""

import hashlib
import re
from itertools import count
from typing import Final

from bench.errata.base import Line
from bench.errata.node import read_listing
from ehrcore.block import Validator
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.crypto import Crypto
from ehrcore.hashing import find_suite
from ehrcore.signing import find_scheme
from ehrcore.spec.merkle import audit_path, tree_hash
from ehrcore.spec.mining import mine, mine_printed, target_of

_BLOCKS: Final = 32
_BITS: Final = 256
_PER_BLOCK: Final = 15


def _hash(P: bytes, B: bytes, number: int) -> int:
    return int.from_bytes(hashlib.sha256(P + B + number.to_bytes(8)).digest())


def show_comparison() -> list[Line]:
    """Hashes per block, on average of 32 blocks, as the difficulty grows."""
    lines = []
    for difficulty in (16, 256, 1024):
        target, tries = target_of(difficulty, _BITS), []
        for rule in (mine_printed, mine):
            found = [rule(_hash, b"previous", bytes([block]), target, count()) for block in range(_BLOCKS)]
            tries.append(sum(number + 1 for number in found if number is not None) / _BLOCKS)
        lines.append(Line(f"hashes per block at difficulty {difficulty}", f"{tries[0]:.1f}", f"{tries[1]:.1f}"))
    return lines


def show_labels() -> list[Line]:
    """Where the listing's jump goes, by its labels, by its line numbers and counted from its label 0."""
    lines = read_listing("algorithm2.txt").splitlines()
    goal = next(int(match[1]) for line in lines if (match := re.match(r"GOTO (\d+)", line)))
    first, labels = next((place, int(m[1])) for place, line in enumerate(lines) if (m := re.match(r"(\d+) ", line)))
    right = "the next number, until one is a hit or the slice ends"
    return [
        Line(f"GOTO {goal}, by the labels (there is {labels})", "nothing" if goal != labels else lines[first], right),
        Line(f"GOTO {goal}, by the numbers of the lines", lines[goal - 1], right),
        Line(f"GOTO {goal}, counted from the label {labels}", lines[first + goal - labels], right),
    ]


def show_stake() -> list[Line]:
    """Who makes blocks: two nodes, one with nine times the hash rate, the other with nine times the stake."""
    target, blocks = target_of(32, _BITS), 200
    mined = 0
    for block in range(blocks):
        # The fast node tries nine numbers while the other tries one.
        hit = mine(_hash, b"previous", block.to_bytes(2), target, count()) or 0
        mined += hit % 10 != 0
    crypto = Crypto(find_suite("sha256"), find_scheme("p256/cryptography"))
    members = ValidatorSet(crypto, [Validator("fast", 1, bytes(33)), Validator("rich", 9, bytes(33))])
    led = sum(members.proposer(crypto, bytes(32), height, 0).node == "fast" for height in range(blocks))
    return [Line(f"blocks of {blocks} by the node with nine tenths of the hash rate and one of the stake",
                 str(mined), str(led))]  # fmt: skip


def show_merkle_root() -> list[Line]:
    """What a root covers after 40 blocks of 15 transactions, and how many hashes prove one of them."""
    suite, blocks = find_suite("sha256"), 40
    every = [number.to_bytes(4) for number in range(blocks * _PER_BLOCK)]
    own = every[-_PER_BLOCK:]
    roots = [tree_hash(suite, leaves).hex() for leaves in (every, own)]
    return [
        Line("transactions under the root", str(len(every)), str(len(own))),
        Line("root of block 40", *roots),
        Line("hashes in a proof of its first transaction",
             *(str(len(audit_path(suite, len(leaves) - _PER_BLOCK, leaves))) for leaves in (every, own))),
    ]  # fmt: skip


def show_header() -> list[Line]:
    """In how many headers of 1000 the hash is right: their own in each, or in each that of the one before."""
    fields, tries = b"timestamp, previous hash, Merkle root", 1000
    own = linked = 0
    held = previous = bytes(32)
    for number in range(tries):
        found = hashlib.sha256(fields + held).digest()
        own += found == held
        held = found
        header = number.to_bytes(4) + previous
        previous = hashlib.sha256(header).digest()
        following = (number + 1).to_bytes(4) + previous
        linked += following[4:] == hashlib.sha256(header).digest()
    return [Line("hashes that are those of the header meant", f"{own} of {tries}", f"{linked} of {tries}")]
