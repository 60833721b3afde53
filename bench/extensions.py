"""What a run remembers of the extensions that it was made with, and what whoever reads it later has to bring along.

A run keeps a copy of each file beside its digest, to be read by people: no command ever executes what lies in a run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.errors import BenchError
from bench.files import write_atomic
from ehrcore.drive.extensions import LOADED

#: Where a run keeps the copies.
FOLDER: Final = "extensions"


def describe_extensions() -> dict[str, dict[str, Any]]:
    """By file name, what the manifest says of those that are loaded."""
    return {name: {"sha256": item.sha256, "adds": list(item.adds)} for name, item in sorted(LOADED.items())}


def keep_copies(run: Path) -> None:
    """Write the files that are loaded into the run's folder, as they were read."""
    for name, item in LOADED.items():
        write_atomic(run / FOLDER / name, item.content)


def require_extensions(run: Path, wanted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Raise `BenchError` unless every extension that the run was made with is loaded; lines about those that differ."""
    notices = []
    for name, item in wanted.items():
        if name not in LOADED:
            adds = ", ".join(map(str, item.get("adds", ())))
            raise BenchError(
                f"{run}: expected the extension {name} ({adds}), found none: "
                f"look at {run / FOLDER / name}, and give it with ehrbench --extend FILE ..."
            )
        if LOADED[name].sha256 != item.get("sha256"):
            notices.append(f"extension {name}: not the file that the run was made with (SHA-256 {item.get('sha256')})")
    return notices
