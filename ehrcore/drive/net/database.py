"""SQLite files of a node: made whole or not at all, and known again."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from ehrcore.drive.net.files import PUBLIC_MODE, sync_folder
from ehrcore.errors import LedgerError


class Format(NamedTuple):
    """What a file says that it is, and its tables."""

    application_id: int
    version: int
    schema: str


def create_database(
    path: Path, form: Format, fill: Callable[[sqlite3.Connection], object], mode: int = PUBLIC_MODE
) -> None:
    """Made beside its place and linked to it: a crash leaves a whole file or none, and nothing is replaced.

    ``fill`` writes what it holds from the beginning.  Raises `sqlite3.Error` and `OSError`.
    """
    beside = path.with_name(f".{uuid4().hex}.partial")
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        with closing(sqlite3.connect(beside)) as db:
            pragmas = f"PRAGMA application_id={form.application_id}; PRAGMA user_version={form.version}"
            db.executescript(f"BEGIN; {pragmas}; {form.schema}")
            fill(db)
            db.commit()
        path.hardlink_to(beside)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def check_database(path: Path, db: sqlite3.Connection, form: Format) -> None:
    """Refuse a file of another format, or one that is damaged; raises `LedgerError` and `sqlite3.Error`."""
    for pragma, expected in (("application_id", form.application_id), ("user_version", form.version)):
        found = db.execute(f"PRAGMA {pragma}").fetchone()[0]
        if found != expected:
            raise LedgerError(f"{path}: expected {pragma} {expected}, found {found}")
    state = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if state != "ok":
        raise LedgerError(f"{path}: expected a whole database, found: {' '.join(str(state).split())}")
