"""The file of a contributor's shares and the key file beside it: made whole or not at all, and known again."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from ehrcore.drive.net.database import Format, check_database, create_database
from ehrcore.drive.net.files import SECRET_MODE, read_secret, write_file
from ehrcore.errors import DeploymentError, LedgerError

KEYS_FILE: Final = "keys.sqlite"
KEY_FILE: Final = "keys.key"
FORMAT: Final = Format(
    0x4548524B,  # "EHRK"
    1,
    """
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
""",
)
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
    """A store without shares."""
    owner = ("INSERT INTO owner VALUES (0, ?, ?, 0, x'')", (chain, node))
    create_database(path, FORMAT, lambda db: db.execute(*owner), SECRET_MODE)


def check_file(path: Path, db: sqlite3.Connection, chain: bytes, node: str) -> None:
    """Refuse a file that is no store of shares, is damaged, or is another node's."""
    check_database(path, db, FORMAT)
    if db.execute("SELECT chain, node FROM owner").fetchone() != (chain, node):
        raise LedgerError(f"{path}: expected the shares of {node} on chain {chain.hex()[:16]}, found another's")
