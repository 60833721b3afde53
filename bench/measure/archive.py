"""The source of a copy without git: an archive of a commit, as `nox -s archive` and forges make them.

git fills in ``.git_archival.txt`` as it packs a commit (`gitattributes(5)`, export-subst); ``SHA256SUMS`` stands in
archives of our own alone.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, Final

from ehrcore import __version__

_SUM: Final = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def describe_archive(root: Path) -> dict[str, Any]:
    """``archive``, what was unpacked in ``root``, and ``is_dirty``, whether its code was changed; None if unknown.

    Results are left out: a run adds to them.
    """
    found = re.search(r"^node: ([0-9a-f]{40,64})$", _read(root / ".git_archival.txt"), re.MULTILINE)
    if found is None:
        return {"archive": None, "is_dirty": None}
    sums = [match.groups() for match in map(_SUM.fullmatch, _read(root / "SHA256SUMS").splitlines()) if match]
    code = [(digest, root / name) for digest, name in sums if not name.startswith("results/")]
    is_dirty = any(digest != _digest(path) for digest, path in code) if code else None
    return {"archive": f"ehrbench {__version__} of commit {found[1]}", "is_dirty": is_dirty}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
