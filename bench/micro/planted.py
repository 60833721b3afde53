"""Differences that are planted, so that the engine can be seen to find them: SHA-256 of longer and shorter messages.

SHA-256 compresses its input in blocks of 64 bytes, with 9 bytes of padding (FIPS 180-4 section 5.1.1), so a message of
whole blocks is exactly as much work as it has blocks and one more.
"""

from typing import Final

from bench.micro.base import Family, Operation
from bench.micro.hashing import build_operation

#: The paper's block of fifteen transactions, in bytes.
BLOCK_BYTES: Final = 30_720
BASE: Final = "as it is"
#: Variant -> compressions more or fewer, and the verdict that has to come out.
PLANTED: Final = {
    BASE: (0, "base"),
    "the same again": (0, "unresolved"),
    "+0.4 %": (2, "unresolved"),
    "+3.1 %": (15, "slower"),
    "-3.1 %": (-15, "faster"),
}


def count_compressions(size_bytes: int) -> int:
    """How often SHA-256 compresses for a message of so many bytes."""
    return (size_bytes + 9 + 63) // 64


def build_families() -> list[Family]:
    """One family: a message of the paper's block beside messages that take a little more and less work."""
    found = {}
    for name, (more, expected) in PLANTED.items():
        size = BLOCK_BYTES + 64 * more
        work = count_compressions(size) / count_compressions(BLOCK_BYTES)
        operation = build_operation("sha256", "hashlib", size)
        details = {**operation.details, "size_bytes": size, "planted": work, "expected": expected}
        found[name] = Operation(operation.prepare, details)
    return [Family("planted", {}, found)]
