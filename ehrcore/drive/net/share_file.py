"""The file of a contributor's shares and the key file beside it: made whole or not at all, and known again."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from uuid import uuid4

from ehrcore.drive.net.files import SECRET_MODE, read_secret, sync_folder, write_file
from ehrcore.errors import DeploymentError, LedgerError

KEYS_FILE: Final = "keys.sqlite"
KEY_FILE: Final = "keys.key"
APPLICATION_ID: Final = 0x4548524B  # "EHRK"
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE owner (id INTEGER PRIMARY KEY CHECK (id = 0), chain BLOB NOT NULL, node TEXT NOT NULL,
height INTEGER NOT NULL, tip BLOB NOT NULL);
CREATE TABLE slots (slot INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE deposits (record BLOB NOT NULL, author TEXT NOT NULL, slot INTEGER NOT NULL UNIQUE,
dealing BLOB NOT NULL, received_at INTEGER NOT NULL, is_claimed INTEGER NOT NULL, PRIMARY KEY (record, author))
WITHOUT ROWID;
CREATE INDEX unclaimed ON deposits (author) WHERE is_claimed = 0;
CREATE TABLE places (place INTEGER PRIMARY KEY, record BLOB NOT NULL, pseudonym BLOB NOT NULL, location BLOB NOT NULL);
CREATE INDEX by_record ON places (record);
CREATE INDEX by_pseudonym ON places (pseudonym);
CREATE INDEX by_location ON places (location);
CREATE TABLE erasures (record BLOB NOT NULL, pseudonym BLOB NOT NULL, location TEXT, is_done INTEGER NOT NULL,
PRIMARY KEY (record, pseudonym)) WITHOUT ROWID;
"""
#: Made in files that are older, too.
LACKING: Final = """
CREATE TABLE IF NOT EXISTS lacking (record BLOB NOT NULL, author TEXT NOT NULL, PRIMARY KEY (record, author))
WITHOUT ROWID"""


def read_key(path: Path, *, has_shares: bool) -> bytes:
    """The key that shares lie under; made where there are none yet."""
    if not path.exists() and not has_shares:
        write_file(path, os.urandom(32).hex().encode(), is_secret=True)
    try:
        key = bytes.fromhex(read_secret(path).decode())
    except ValueError:
        key = b""
    if len(key) != 32:  # noqa: PLR2004 - AES-256
        raise DeploymentError(f"{path}: expected a key of 32 bytes in hexadecimal, found something else")
    return key


def create_file(path: Path, chain: bytes, node: str) -> None:
    """Made beside its place and then moved: a crash leaves a whole store or none."""
    beside = path.with_name(f".{uuid4().hex}.partial")
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE))
        with closing(sqlite3.connect(beside)) as db:
            db.executescript(
                f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION}; {_SCHEMA}"
            )
            db.execute("INSERT INTO owner VALUES (0, ?, ?, 0, x'')", (chain, node))
            db.commit()
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def check_file(path: Path, db: sqlite3.Connection, chain: bytes, node: str) -> None:
    """Refuse a file that is no store of shares, is damaged, or is another node's."""
    for pragma, expected in (("application_id", APPLICATION_ID), ("user_version", SCHEMA_VERSION)):
        found = db.execute(f"PRAGMA {pragma}").fetchone()[0]
        if found != expected:
            raise LedgerError(f"{path}: expected {pragma} {expected}, found {found}")
    state = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if state != "ok":
        raise LedgerError(f"{path}: expected a whole database, found: {' '.join(str(state).split())}")
    if db.execute("SELECT chain, node FROM owner").fetchone() != (chain, node):
        raise LedgerError(f"{path}: expected the shares of {node} on chain {chain.hex()[:16]}, found another's")
