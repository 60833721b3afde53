"""The bare limit of the search for a nonce on this machine: a C program around OpenSSL's SHA-256 (`midstate.c`).

It is compiled where it is asked for, with the system's compiler and against the system's libcrypto.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.limits.base import Unavailable
from ehrcore.block import Header
from ehrcore.codec import encode
from ehrcore.consensus.work import NONCE_BYTES, target
from ehrcore.hashing import find_suite

_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class MidstateSearch:
    """The compiled program."""

    path: Path

    @classmethod
    def compile(cls, folder: Path) -> "MidstateSearch":
        """Compile it into ``folder``; `Unavailable` says what is missing."""
        path = folder / "midstate"
        if shutil.which("cc") is None:
            raise Unavailable("the command `cc` is not on the path")
        source = str(Path(__file__).with_suffix(".c"))
        _run(["cc", "-O3", "-march=native", source, "-lcrypto", "-o", str(path)], "a C compiler that finds OpenSSL")
        return cls(path)

    def find(self, header: Header, start: int, count: int) -> tuple[bytes | None, float]:
        """The nonce that `grind` finds with SHA-256, and the processor time per try (ns)."""
        most = target(find_suite("sha256"), header.difficulty) - 1 >> 192
        words = [encode(header)[:-NONCE_BYTES].hex(), *map(str, (most, start, count))]
        tried, spent_ns = map(int, _run([str(self.path), *words], "an answer of midstate.c").split())
        nonce = None if tried == count else (start + tried).to_bytes(NONCE_BYTES)
        return nonce, spent_ns / max(min(tried + 1, count), 1)


def _run(words: list[str], expected: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Unavailable(f"{words[0]}: expected {expected}, found: {error}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise Unavailable(
            f"{words[0]}: expected {expected}, found: {next((x for x in lines if 'error' in x), lines[-1])}"
        )
    return done.stdout
