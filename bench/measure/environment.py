"""What a run ran on: machine, interpreter, libraries with the cryptography of each, settings and source.

What cannot be read is None.  Nothing that names a person is kept: no path, no host name, and of environment variables
only those that change measurements, by an allow-list.
"""

import hashlib
import os
import platform
import re
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distributions, version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bench.measure.archive import describe_archive
from bench.measure.energy import NoCountersError, find_packages
from bench.measure.kernel import ROOT as SYSTEM
from bench.measure.kernel import find_quota, read_number, read_text

ROOT: Final = Path(__file__).parents[2]
_FLAGS: Final = ("sha_ni", "avx2", "avx512f", "aes", "pclmulqdq", "bmi2", "adx", "sha1", "sha2")
#: CPUID leaf 7, EBX: OpenSSL's third word of capabilities (manual page OPENSSL_ia32cap).
_SHA_BIT: Final = 1 << 29
#: Variables whose values are recorded if they are plain words; `MALLOC_` also begins names that hold paths.
_VARIABLES: Final = re.compile(
    r"PYTHON(HASHSEED|DONTWRITEBYTECODE|OPTIMIZE|DEVMODE|MALLOC|NODEBUGRANGES|_GIL|_JIT)"
    r"|OPENSSL_(ia32|arm)cap|LD_PRELOAD|GLIBC_TUNABLES|MALLOC_\w+"
)
_PLAIN: Final = re.compile(r"[\w:~.,=+-]{0,64}")
_CONTAINERS: Final = {".dockerenv": "docker", "run/.containerenv": "podman"}
_STEP_READINGS: Final = 1_000


def describe_machine(root: Path = SYSTEM, variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Hardware, kernel and what stands between them, as far as they can be read below ``root``."""
    import psutil

    flags = find_flags(root)
    return {
        "cpu": _cpu_field("model name", root) or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "logical_cores": os.cpu_count() or 1,
        "usable_cores": count_cores(),
        "is_smt_active": _is_on(root / "sys/devices/system/cpu/smt/active"),
        "memory_bytes": psutil.virtual_memory().total,
        "cpu_flags": sorted(flags & set(_FLAGS)),
        "sha_ni": find_sha_ni(flags, variables),
        "governor": _find_governor(root),
        "turbo": _find_turbo(root),
        "system": platform.system(),
        "kernel": platform.release(),
        "is_virtual": _is_virtual(flags, root),
        "hypervisor": read_text(root / "sys/hypervisor/type"),
        "vendor": read_text(root / "sys/class/dmi/id/sys_vendor"),
        "product": read_text(root / "sys/class/dmi/id/product_name"),
        "container": _find_container(root),
        "cpu_quota": _describe_quota(root),
        "clock_source": read_text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "clock_step_ns": measure_clock_step(),
        "energy_counters": _describe_counters(root),
    }


def count_cores() -> int:
    """Logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_field(name: str, root: Path) -> str:
    lines = (read_text(root / "proc/cpuinfo") or "").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def find_flags(root: Path = SYSTEM) -> set[str]:
    """All features of the processor that the kernel names; empty where it names none."""
    return set((_cpu_field("flags", root) or _cpu_field("Features", root)).split())


def find_sha_ni(flags: set[str], variables: Mapping[str, str] = os.environ) -> str | None:
    """Whether OpenSSL may use the processor's SHA-256 instructions here: on, masked, absent; None if nobody knows.

    Only x86 can be masked this way, and only OpenSSL (`hashlib`, cryptography) heeds the mask: others have code of
    their own.
    """
    if not flags:
        return None
    if not flags & {"sha_ni", "sha2"}:
        return "absent"
    value = variables.get("OPENSSL_ia32cap")
    if value is None or "sha_ni" not in flags:
        return "on"
    # The second of its fields holds words 3 and 4: a tilde takes these bits away, without one no others are left.
    # Without a second field, even if the variable is empty, OpenSSL takes all of them away (tried with 3.0 and 4.0).
    first, _, rest = value.partition(":")
    if first == value:
        return "masked"
    field = re.fullmatch(r"(~?)(0x[0-9a-f]+|[0-9]+)", rest.partition(":")[0].lower())
    if field is None:
        return None
    tilde, digits = field.groups()
    bits = int(digits, 16 if "x" in digits else 8 if digits.startswith("0") else 10)
    return "masked" if bool(bits & _SHA_BIT) is bool(tilde) else "on"


def _is_on(path: Path) -> bool | None:
    number = read_number(path)
    return None if number is None else bool(number)


def _find_governor(root: Path) -> str | None:
    paths = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({text for path in paths if (text := read_text(path))})) or None


def _find_turbo(root: Path) -> str | None:
    """Whether the processor may exceed its base frequency: on, off; None where the kernel does not tell."""
    is_off = _is_on(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    is_on = _is_on(root / "sys/devices/system/cpu/cpufreq/boost") if is_off is None else not is_off
    return None if is_on is None else "on" if is_on else "off"


def _is_virtual(flags: set[str], root: Path) -> bool | None:
    """Whether a hypervisor is below us; the processor's flag says so on x86, elsewhere its presence in /sys does."""
    if "hypervisor" in flags or (root / "sys/hypervisor/type").exists():
        return True
    return False if flags and platform.machine().lower() in {"x86_64", "amd64"} else None


def _find_container(root: Path) -> str | None:
    """A hint at the container that we are in; None if there is no hint, which is no proof."""
    for name, kind in _CONTAINERS.items():
        if (root / name).exists():
            return kind
    groups = read_text(root / "proc/1/cgroup") or ""
    named = next((kind for kind in ("kubepods", "docker", "lxc", "podman") if kind in groups), None)
    return read_text(root / "run/systemd/container") or named


def _describe_quota(root: Path) -> str | None:
    quota = find_quota(root)
    return None if quota is None else "none" if quota == float("inf") else f"{quota:.3g} cores"


def _describe_counters(root: Path) -> str:
    try:
        return ", ".join(package.name for package in find_packages(root / "sys/class/powercap"))
    except NoCountersError as reason:
        return f"none: {reason}"


def measure_clock_step() -> int:
    """The smallest step between two readings of the clock that measures everything, in nanoseconds."""
    readings = [time.perf_counter_ns() for _ in range(_STEP_READINGS)]
    steps = [after - before for before, after in pairwise(readings) if after > before]
    # A clock that stood still for so long has steps longer than that.
    return min(steps, default=round(time.get_clock_info("perf_counter").resolution * 1e9))


def describe_versions(variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Interpreter, its build and settings, every installed package, and whose cryptography each library runs."""
    packages = {item.metadata["Name"]: item.version for item in distributions() if item.metadata["Name"]}
    return {
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "python_build": describe_python(),
        **describe_cryptography(),
        "variables": describe_variables(variables),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def describe_python() -> dict[str, Any]:
    """How the interpreter was built, as far as it changes its speed; words of the build that hold a path are left out.

    Whether it was built with optimisation by profile (PGO) is among the words, if ``configure`` made it.
    """
    words = re.findall(r"--[\w-]+(?:=[\w,.+-]+)?(?=['\s]|$)", str(sysconfig.get_config_var("CONFIG_ARGS") or ""))
    compiled = re.findall(r"-(?:O\w|march=[\w-]+|mtune=[\w-]+|flto\S*)", str(sysconfig.get_config_var("PY_CFLAGS")))
    is_enabled = getattr(sys, "_is_gil_enabled", lambda: True)
    return {
        "compiler": platform.python_compiler(),
        "date": platform.python_build()[1],
        "options": sorted(word for word in words if not word.startswith(("--prefix", "--build", "--host"))),
        "compiler_options": list(dict.fromkeys(compiled)),
        "is_debug": hasattr(sys, "gettotalrefcount"),
        "has_assertions": not sys.flags.optimize,
        "has_gil": bool(is_enabled()),
    }


def describe_cryptography() -> dict[str, str | None]:
    """By library, the OpenSSL in it or what it has instead; None for one that is not installed."""
    from cryptography.hazmat.backends.openssl import backend

    from ehrcore.signing.pure import arithmetic

    return {
        "openssl_hashlib": ssl.OPENSSL_VERSION,
        "openssl_cryptography": backend.openssl_version_text(),
        # The package does not tell which libsecp256k1 it was built with; its own version stands for it.
        "openssl_coincurve": _instead("coincurve", "libsecp256k1 of coincurve"),
        "openssl_pycryptodome": _instead("pycryptodome", "own code of pycryptodome"),
        "openssl_blake3": _instead("blake3", "own code of blake3"),
        "ecdsa_integers": arithmetic(),
    }


def _instead(package: str, words: str) -> str | None:
    try:
        return f"none: {words} {version(package)}"
    except PackageNotFoundError:
        return None


def describe_variables(variables: Mapping[str, str] = os.environ) -> list[str]:
    """``NAME=value`` of the variables that change measurements; of a value that may hold a path, that it is set."""
    found = {name: value for name, value in variables.items() if _VARIABLES.fullmatch(name)}
    return [f"{name}={value if _PLAIN.fullmatch(value) else '(set)'}" for name, value in sorted(found.items())]


def describe_source() -> dict[str, Any]:
    """Commit or, where there is no git, ``archive``; whether the tree was changed since; the digests of the lock files.

    ``lock_sha256`` is that of what the suite itself runs on, ``all_locks_sha256`` covers the others too.
    """
    locks = {path.stem: path.read_bytes() for path in sorted((ROOT / "locks").glob("*.txt"))}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in locks.items()}
    whole = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    status = _git("status", "--porcelain", "--untracked-files=no")
    unpacked = {} if (ROOT / ".git").exists() else describe_archive(ROOT)
    return {
        "commit": _git("rev-parse", "HEAD"),
        "archive": None,
        "is_dirty": None if status is None else bool(status),
        **unpacked,
        "lock_sha256": digests.get("bench"),
        "all_locks_sha256": hashlib.sha256(whole.encode()).hexdigest() if digests else None,
    }


def _git(*words: str) -> str | None:
    if not (ROOT / ".git").exists():
        return None  # installed: a repository further up is somebody else's
    try:
        found = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
