"""What goes into a transaction: a file as a record, the patient's pseudonym, and a nonce."""

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ehrcore.authority import Authority
from ehrcore.drive.net.files import read_file, write_file
from ehrcore.drive.net.objects import MAX_OBJECT_BYTES
from ehrcore.drive.net.persons import pseudonym_of
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import DeploymentError, RecordError
from ehrcore.fhir import read_record
from ehrcore.records import ClinicalRecord

#: Nonces that are reserved at once: few enough that two who submit at once stay within each other's replay window.
RESERVED: Final = 64
#: A counter begins at the clock's seconds times 2 to this, which no counter overtakes at 16 reservations a second.
_TICK_BITS: Final = 10


def read_records(paths: Iterable[Path], *, is_lenient: bool) -> list[tuple[Path, ClinicalRecord]]:
    """Every file as a record, in order; `RecordError` names the first that is none.

    If ``is_lenient``, those are named on standard error and left out, and only having no record at all is an error.
    """
    records = []
    for path in _find_files(paths):
        try:
            records.append((path, read_record(read_file(path, MAX_OBJECT_BYTES))))
        except RecordError as error:
            if not is_lenient:
                raise RecordError(f"{path}: {error}") from None
            sys.stderr.write(f"ehrcore: {path}: left out: {error}\n")
    if not records:
        raise RecordError(f"{', '.join(map(str, paths))}: expected a record, found none")
    return records


def _find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files themselves, and those below folders that are called ``*.json``, in order of their paths."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        below = sorted(found for found in path.rglob("*.json") if found.is_file())
        if not below:
            raise DeploymentError(f"{path}: expected files called *.json, found none")
        yield from below


class Nonces:
    """A visitor's nonces: reserved on disk before they are used, so that no crash makes it use one twice."""

    def __init__(self, folder: Path) -> None:
        self._path, self._lock = folder / "nonce", folder / "nonce.lock"
        self._left = iter(range(0))

    def take(self) -> int:
        """A nonce that nobody else has had; `DeploymentError` if the counter is damaged or cannot be written."""
        nonce = next(self._left, None)
        if nonce is None:
            self._left = iter(self._reserve())
            nonce = next(self._left)
        return nonce

    def _reserve(self) -> range:
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DeploymentError(f"{self._lock}: expected a file to write, found: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            first = self._read()
            write_file(self._path, str(first + RESERVED).encode())
        finally:
            os.close(descriptor)
        return range(first, first + RESERVED)

    def _read(self) -> int:
        if not self._path.exists():
            # The counter may have been lost with the keys: what comes now is above what has come before.
            return int(time.time()) << _TICK_BITS
        text = read_file(self._path, 64)
        if not (text.isdigit() and int(text) < (1 << 53) - RESERVED):
            raise DeploymentError(f"{self._path}: expected the next nonce in decimal, found {text[:40]!r}")
        return int(text)


def open_authority(folder: NetworkFolder, plan: NetworkPlan) -> Authority:
    """The authority, who alone knows which pseudonym is whose; `DeploymentError` where its folder is not."""
    if not folder.authority.exists():
        raise DeploymentError(f"{folder.authority}: expected the authority, who names patients, on this host")
    return folder.open_authority(plan)


def patient_of(folder: NetworkFolder, plan: NetworkPlan, options: argparse.Namespace) -> bytes:
    """The pseudonym of the patient in ``--patient``, by the authority, or in ``--as``, by their own certificate."""
    if options.patient is not None:
        return open_authority(folder, plan).pseudonym(options.patient)
    return pseudonym_of(folder, plan, options.alias)
