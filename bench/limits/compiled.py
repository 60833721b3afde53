"""C programs that show a bare limit, compiled where they are asked for, against the system's libcrypto."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.limits.base import Unavailable

_TIMEOUT_S: Final = 60


def compile_program(name: str, folder: Path) -> Path:
    """The program of ``name``.c beside this file, in ``folder``; `Unavailable` says what is missing."""
    path = folder / name
    if shutil.which("cc") is None:
        raise Unavailable("the command `cc` is not on the path")
    source = str(Path(__file__).with_name(f"{name}.c"))
    run_program(["cc", "-O3", "-march=native", source, "-lcrypto", "-o", str(path)], "a C compiler that finds OpenSSL")
    return path


def run_program(words: list[str], expected: str) -> str:
    """What a program prints; `Unavailable` if it fails."""
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
