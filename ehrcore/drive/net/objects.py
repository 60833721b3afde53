"""Off-chain objects as files below one folder: what stands for the paper's cloud storage."""

import hashlib
import os
from pathlib import Path
from typing import Final
from uuid import uuid4

from ehrcore.drive.net.files import sync_folder
from ehrcore.errors import StorageError

#: Longest object that is read, in bytes.
MAX_OBJECT_BYTES: Final = 16 << 20


class FileStore:
    """Objects by location.  A file's name is the digest of its location, so no location can lead out of the folder."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    def _name(self, location: str) -> str:
        name = hashlib.sha256(location.encode()).hexdigest()
        return f"{self._root}/{name[:2]}/{name[2:]}"

    def path(self, location: str) -> Path:
        """Where the object at ``location`` lies."""
        return Path(self._name(location))

    def put(self, location: str, body: bytes) -> None:
        """Keep ``body`` durably under ``location``, replacing what was there; `StorageError` if that fails."""
        path = self.path(location)
        beside = path.with_name(f".{uuid4().hex}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(path)
                for folder in (path.parent, path.parent.parent):
                    sync_folder(folder)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{location}: expected room to keep an object, found: {error.strerror}") from None

    def get(self, location: str) -> bytes | None:
        """See `ehrcore.storage.ObjectStore.get`; an object that is too long counts as none."""
        try:
            descriptor = os.open(self._name(location), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            size = os.fstat(descriptor).st_size
            return os.read(descriptor, size) if size <= MAX_OBJECT_BYTES else None
        except OSError:
            return None
        finally:
            os.close(descriptor)
