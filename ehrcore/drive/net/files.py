"""The files of a network: written so that a crash leaves the old or the new, and secrets for their owner alone."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec

from ehrcore.errors import DeploymentError

T = TypeVar("T")

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644


def write_file(path: Path, data: bytes, *, is_secret: bool = False) -> None:
    """Replace ``path`` by ``data`` in one step, durably; `DeploymentError` names a path that cannot be written."""
    try:
        replace_file(path, (data,), SECRET_MODE if is_secret else PUBLIC_MODE)
    except OSError as error:
        raise DeploymentError(f"{path}: expected a file that can be written, found: {error.strerror}") from None


def replace_file(path: Path, chunks: Iterable[bytes], mode: int) -> int:
    """Put what ``chunks`` hold together in the place of ``path`` in one step, durably; its size.  Raises `OSError`."""
    beside = path.with_name(f".{uuid4().hex}.partial")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            size = sum(map(file.write, chunks))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)
    return size


def read_file(path: Path, most_bytes: int = 1 << 24) -> bytes:
    """The file's content; `DeploymentError` names a file that is missing, unreadable or too long."""
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise DeploymentError(f"{path}: expected at most {most_bytes} bytes, found {size}")
        return path.read_bytes()
    except OSError as error:
        raise DeploymentError(f"{path}: expected a file that can be read, found: {error.strerror}") from None


def read_secret(path: Path, most_bytes: int = 1 << 16) -> bytes:
    """The content of a secret file; refused if others than its owner may read it."""
    data = read_file(path, most_bytes)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise DeploymentError(f"{path}: expected a secret that its owner alone may read (0600), found {mode:04o}")
    return data


def read_hex(path: Path, what: str) -> bytes:
    """What a secret file has in hexadecimal; `DeploymentError` as for `read_secret`, and for anything else."""
    try:
        return bytes.fromhex(read_secret(path).decode())
    except ValueError:
        raise DeploymentError(f"{path}: expected {what} in hexadecimal, found something else") from None


def read_json(path: Path, kind: type[T], what: str, most_bytes: int = 1 << 24, *, is_secret: bool = False) -> T:
    """The file as JSON of ``kind``; `DeploymentError` as for the readers above, and where it is not ``what``."""
    data = read_secret(path, most_bytes) if is_secret else read_file(path, most_bytes)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DeploymentError(f"{path}: expected {what}, found: {error}") from None


def indented(value: Any, indent: int = 2) -> bytes:
    """JSON to be read by people."""
    return msgspec.json.format(msgspec.json.encode(value), indent=indent)


@contextmanager
def open_lock(path: Path) -> Iterator[int]:
    """A descriptor to lock the file by, which is made if it is not there; the lock ends with it.

    `DeploymentError` names a file that cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DeploymentError(f"{path}: expected a file that can be written, found: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
