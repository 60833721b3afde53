"""The bare limit of the search for a nonce on this machine: a C program around OpenSSL's SHA-256 (`midstate.c`)."""

from dataclasses import dataclass
from pathlib import Path

from bench.limits.compiled import compile_program, run_program
from ehrcore.block import Header
from ehrcore.codec import encode
from ehrcore.consensus.work import NONCE_BYTES, target
from ehrcore.hashing import find_suite


@dataclass(frozen=True, slots=True)
class MidstateSearch:
    """The compiled program."""

    path: Path

    @classmethod
    def compile(cls, folder: Path) -> "MidstateSearch":
        """Compile it into ``folder``; `Unavailable` says what is missing."""
        return cls(compile_program("midstate", folder))

    def find(self, header: Header, start: int, count: int) -> tuple[bytes | None, float]:
        """The nonce that `grind` finds with SHA-256, and the processor time per try (ns)."""
        most = target(find_suite("sha256"), header.difficulty) - 1 >> 192
        words = [encode(header)[:-NONCE_BYTES].hex(), *map(str, (most, start, count))]
        tried, spent_ns = map(int, run_program([str(self.path), *words], "an answer of midstate.c").split())
        nonce = None if tried == count else (start + tried).to_bytes(NONCE_BYTES)
        return nonce, spent_ns / max(min(tried + 1, count), 1)
