"""Finding and reading the files of a records folder without ever being stopped by one of them.

A folder of somebody else's records may hold anything: links that lead in circles, pipes that block whoever opens
them, names that are not text.  Only regular files are opened; everything else is named with a reason.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.errors import BenchError

#: Endings of files that are read, compared without regard to case.
SUFFIXES: Final = (".json", ".ndjson")


class UnusableError(Exception):
    """A file or resource that cannot be used; the loader turns it into a `Skipped` or a `BenchError`."""


def require_folder(folder: Path) -> Path:
    """Return ``folder`` if it is a folder that can be listed; otherwise raise `BenchError`."""
    try:
        os.scandir(folder).close()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        name = shown(os.fspath(folder))
        raise BenchError(f"{name}: expected a folder of records, found: {reason_of(error)}") from None
    return folder


def find_files(folder: Path) -> list[tuple[str, str | None]]:
    """Relative paths of everything that should be read, sorted, each with the reason why it cannot be, or None.

    Folders that are links are not entered, which is what keeps a circle of links from being walked forever; they
    are listed with that reason, as are folders that cannot be listed.
    """
    found: list[tuple[str, str | None]] = []

    def note_unlisted(error: OSError) -> None:
        found.append((_relative(folder, error.filename), reason_of(error)))

    for parent, folders, files in os.walk(folder, onerror=note_unlisted):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]  # noqa: PTH114, PTH118
        found += [(_relative(folder, parent, name), "a link to a folder, which is not followed") for name in links]
        wanted = [name for name in files if name.lower().endswith(SUFFIXES)]
        found += [(_relative(folder, parent, name), None) for name in wanted]
    return sorted(found)


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; raises `UnusableError` for anything else, without opening it."""
    try:
        # A pipe would block `open` until somebody writes, a device such as /dev/zero never ends.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnusableError("not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise UnusableError(reason_of(error)) from None


def split_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines of an NDJSON file that are not blank, numbered from 1, without their LF or CR LF."""
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            yield number, line.removesuffix(b"\r")


def shown(path: str) -> str:
    """``path`` as one line of printable text: names may hold line breaks, control codes or undecodable bytes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def reason_of(error: BaseException) -> str:
    """One line that says what happened; for a system error its plain text, without the path."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _relative(folder: Path, *parts: str) -> str:
    return os.path.relpath(os.path.join(*parts), folder).replace(os.sep, "/")  # noqa: PTH118
