"""Off-chain objects: what is asked of any store, and the embedded one, files below one folder (the paper's cloud)."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from ehrcore.drive.net.files import SECRET_MODE, replace_file, sync_folder
from ehrcore.errors import StorageError
from ehrcore.sealing import sealed_size

#: Longest record that is handled in one piece, in bytes.
MAX_OBJECT_BYTES: Final = 16 << 20
#: Longest object that `Store.get` returns: such a record when it is sealed.
MAX_WHOLE_BYTES: Final = sealed_size(MAX_OBJECT_BYTES)
#: What `Store.open` gives out at once.
CHUNK_BYTES: Final = 1 << 20


class Store(Protocol):
    """Objects by location, in whatever place: nothing that it says is believed before it is hashed.

    `StorageError` if the store does not answer or refuses, with one line that names the location.
    """

    def put(self, location: str, body: bytes) -> None:
        """Keep ``body`` durably under ``location``, replacing what was there."""

    def put_stream(self, location: str, chunks: Iterable[bytes]) -> int:
        """`put` what ``chunks`` hold together, and return its size; nothing is seen of it before it is whole."""

    def get(self, location: str) -> bytes | None:
        """See `ehrcore.storage.ObjectStore.get`; an object of more than `MAX_WHOLE_BYTES` counts as none."""

    def open(self, location: str) -> Iterator[bytes] | None:
        """See `ehrcore.storage.StreamedStore.open`; chunks are of about `CHUNK_BYTES`."""

    def delete(self, location: str) -> None:
        """Leave nothing at ``location``, whether something was there or not."""


def name_object(location: str) -> str:
    """What an object is called in its store: no location leads anywhere else, nor tells what is kept."""
    name = hashlib.sha256(location.encode()).hexdigest()
    return f"{name[:2]}/{name[2:]}"


class FileStore:
    """The embedded `Store`.  What cannot be read counts as not there."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    def path(self, location: str) -> Path:
        """Where the object at ``location`` lies."""
        return Path(f"{self._root}/{name_object(location)}")

    def put(self, location: str, body: bytes) -> None:
        self.put_stream(location, (body,))

    def put_stream(self, location: str, chunks: Iterable[bytes]) -> int:
        path = self.path(location)
        try:
            size = replace_file(path, chunks, SECRET_MODE)
            sync_folder(path.parent.parent)
        except OSError as error:
            raise StorageError(f"{location}: expected room to keep an object, found: {error.strerror}") from None
        return size

    def get(self, location: str) -> bytes | None:
        try:
            descriptor = os.open(f"{self._root}/{name_object(location)}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            size = os.fstat(descriptor).st_size
            return os.read(descriptor, size) if size <= MAX_WHOLE_BYTES else None
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def open(self, location: str) -> Iterator[bytes] | None:
        path = self.path(location)
        return _read_chunks(path, location) if path.is_file() else None

    def delete(self, location: str) -> None:
        path = self.path(location)
        try:
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{location}: expected an object to delete, found: {error.strerror}") from None


def _read_chunks(path: Path, location: str) -> Iterator[bytes]:
    """The file is opened with the first chunk, so that an iterator that nobody starts holds nothing open."""
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise StorageError(f"{location}: expected an object that can be read, found: {error.strerror}") from None
