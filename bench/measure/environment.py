"""What a run ran on: machine, interpreter, libraries with the OpenSSL of each, source, and how busy others were."""

import hashlib
import os
import platform
import ssl
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
_FLAGS: Final = ("sha_ni", "avx2", "avx512f", "aes", "pclmulqdq", "bmi2", "adx", "sha1", "sha2")


def describe_machine() -> dict[str, Any]:
    """Hardware and kernel, as far as they can be read."""
    import psutil

    flags = _cpu_field("flags") or _cpu_field("Features")
    return {
        "cpu": _cpu_field("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "logical_cores": os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "cpu_flags": sorted(set(flags.split()) & set(_FLAGS)),
        "system": platform.system(),
        "kernel": platform.release(),
        "energy_counters": Path("/sys/class/powercap/intel-rapl:0").exists(),
    }


def _cpu_field(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def describe_versions() -> dict[str, Any]:
    """Interpreter, every installed package, and OpenSSL as `hashlib` and as `cryptography` have it."""
    from cryptography.hazmat.backends.openssl import backend

    packages = {item.metadata["Name"]: item.version for item in distributions() if item.metadata["Name"]}
    return {
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "openssl_hashlib": ssl.OPENSSL_VERSION,
        "openssl_cryptography": backend.openssl_version_text(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def describe_source() -> dict[str, Any]:
    """Commit and whether the tree was changed (None where there is no git), and the digest of the lock file."""
    lock = ROOT / "locks" / "bench.txt"
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "is_dirty": None if status is None else bool(status),
        "lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
    }


def _git(*words: str) -> str | None:
    if not (ROOT / ".git").exists():
        return None  # installed: a repository further up is somebody else's
    try:
        found = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None


class NoiseWatch:
    """How much of the machine others took while a run lasted, from the kernel's own counters."""

    def __init__(self) -> None:
        import psutil

        self._psutil, self._process = psutil, psutil.Process()
        self._before = self._read()

    def _read(self) -> tuple[float, float, float, float]:
        total = self._psutil.cpu_times()
        mine = self._process.cpu_times()
        busy = sum(total) - total.idle - getattr(total, "iowait", 0.0) - getattr(total, "guest", 0.0)
        busy -= getattr(total, "guest_nice", 0.0)
        steal = getattr(total, "steal", 0.0)
        ours = mine.user + mine.system + mine.children_user + mine.children_system
        return sum(total), busy - steal, steal, ours

    def read(self) -> dict[str, Any]:
        """Shares of all cores' time since the watch began: taken by other processes, and by other machines."""
        whole, busy, steal, ours = (now - then for now, then in zip(self._read(), self._before, strict=True))
        load = self._psutil.getloadavg()
        return {
            "foreign_cpu_share": max(busy - ours, 0.0) / whole if whole else None,
            "steal_share": steal / whole if whole else None,
            "load_average": list(load),
        }
