"""The bare limit of cryptography on this machine: `openssl speed`, which calls the C library in a loop.

Digests run through ``-evp`` (the library's public interface); times are user processor time, its default.  The tool
counts that in hundredths of a second and runs for one second: 1 % is as fine as it gets.
"""

import shutil
import ssl
import subprocess
from functools import cache
from typing import Final

from bench.limits.base import Unavailable

_TIMEOUT_S: Final = 60


def hash_ns(size_bytes: int) -> float:
    """Nanoseconds of one SHA-256 of ``size_bytes``."""
    return _seconds_per_call(("-evp", "sha256", "-bytes", str(size_bytes)), "+R")["+R"] * 1e9


def p256_ns() -> tuple[float, float]:
    """Nanoseconds of one ECDSA signature and of one verification on P-256."""
    found = _seconds_per_call(("ecdsap256",), "+R5", "+R6")
    return found["+R5"] * 1e9, found["+R6"] * 1e9


@cache
def version() -> str:
    """What the tool calls itself, without its date."""
    return _version_of(_run("version"))


def versions_note(library: str = "") -> str:
    """Which OpenSSL each side runs; ``library`` is the text of a library's own, hashlib's if empty."""
    ours = _version_of(library or ssl.OPENSSL_VERSION)
    return f"openssl speed: {version()}; {'cryptography' if library else 'hashlib'}: {ours}"


def cryptography_text() -> str:
    """The OpenSSL that `cryptography` carries."""
    from cryptography.hazmat.backends.openssl import backend

    return backend.openssl_version_text()


def _version_of(text: str) -> str:
    return " ".join(text.split()[:2])


def _seconds_per_call(words: tuple[str, ...], *tags: str) -> dict[str, float]:
    """Processor seconds per call for each tag of the machine-readable output, ``tag:count:name:seconds``."""
    output = _run("speed", "-mr", "-seconds", "1", *words)
    found = {}
    for line in output.splitlines():
        tag, *fields = line.split(":")
        if tag in tags:
            found[tag] = parse_result(fields, line)
    if len(found) < len(tags):
        raise Unavailable(f"openssl speed {' '.join(words)}: expected lines {', '.join(tags)}, found others")
    return found


def parse_result(fields: list[str], line: str) -> float:
    """Seconds per call from ``count:name:seconds``; `Unavailable` if the line is none."""
    try:
        return float(fields[-1]) / int(fields[0])
    except (ValueError, IndexError, ZeroDivisionError):
        raise Unavailable(f"openssl speed: expected count:name:seconds, found {line!r}") from None


def _run(*words: str) -> str:
    path = shutil.which("openssl")
    if path is None:
        raise Unavailable("the command `openssl` is not on the path")
    try:
        done = subprocess.run([path, *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"openssl {words[0]}: expected an end within {_TIMEOUT_S} s, found none") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"openssl {' '.join(words)}: {last}")
    return done.stdout + done.stderr
