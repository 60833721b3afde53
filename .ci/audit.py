"""Known vulnerabilities of what the locks name, as PyPI tells of each release; run by `nox -s audit`.

Code 1 if there is one.  What could not be asked about is said, package by package, and never passes for audited: a
mirror of PyPI may serve files and know no advisories.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: Advisories that do not concern us, each with the reason.
ACCEPTED: dict[str, str] = {}


def read_pins(locks: Path) -> dict[tuple[str, str], str]:
    """Every release that a lock names, with the first lock that does."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(locks.glob("*.txt")):
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text("utf-8"), re.MULTILINE):
            found.setdefault((name, version), path.name)
    return found


def split_rounds(pins: dict[tuple[str, str], str]) -> list[list[tuple[str, str]]]:
    """The pins such that no round names a package twice, which is what a file of requirements may hold."""
    rounds: list[dict[str, str]] = []
    for name, version in sorted(pins):
        free = next((each for each in rounds if name not in each), None)
        if free is None:
            rounds.append(free := {})
        free[name] = version
    return [list(each.items()) for each in rounds]


def ask(pins: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """What pip-audit says of each release; all of them skipped if it says nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("".join(f"{name}=={version}\n" for name, version in pins))
        file.flush()
        flags = "--vulnerability-service pypi --disable-pip --no-deps --format json --progress-spinner off --timeout 10"
        command = [sys.executable, "-m", "pip_audit", *flags.split(), "--requirement", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a list of our own
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1][:200]
        return [{"name": name, "version": version, "skip_reason": why} for name, version in pins]
    return dependencies


def report(pins: dict[tuple[str, str], str], told: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """Lines to print, and whether a vulnerability was found; a release that nothing was told of was not audited."""
    clean, reasons, lines, is_bad = set(), {}, [], False
    for item in told:
        name, version = item["name"], str(item.get("version", ""))
        if "skip_reason" in item:
            reasons[name] = item["skip_reason"]
            continue
        clean.add((name, version))
        for found in item.get("vulns", ()):
            accepted = ACCEPTED.get(found["id"])
            is_bad |= accepted is None
            fixed = ", ".join(found.get("fix_versions", ())) or "no release"
            state = f"accepted: {accepted}" if accepted else f"VULNERABLE, mended in {fixed}"
            lines.append(f"{name} {version} ({pins.get((name, version), '?')}): {found['id']}: {state}")
    left = [pin for pin in pins if pin not in clean]
    if left:
        names = ", ".join(f"{name} {version}" for name, version in left)
        lines.append(f"not audited: {names} (such as: {reasons.get(left[0][0], 'nothing was told of it')})")
    lines.append(f"audited {len(pins) - len(left)} of {len(pins)} releases{', NOT AUDITED the others' if left else ''}")
    return lines, is_bad


def main() -> int:
    """Ask and print."""
    pins = read_pins(ROOT / "locks")
    told = [item for each in split_rounds(pins) for item in ask(each)]
    lines, is_bad = report(pins, told)
    print("\n".join(lines))
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
