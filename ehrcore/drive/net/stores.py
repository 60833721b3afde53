"""Which store a host's commands and nodes use: files below the network's folder, or what ``store.json`` names.

The choice is each host's own (one may reach the store by another address) and is not signed: a store is trusted with
nothing but to be there.  Other stores are reached through `obstore` (the optional extra ``stores``): one wheel without
dependencies of its own for S3, Google and Azure, with uploads that are seen whole or not at all, reads in chunks and
bounded retries; fsspec would bring a client library of its own for each.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ehrcore.drive.net.files import read_json, read_secret
from ehrcore.drive.net.objects import CHUNK_BYTES, MAX_WHOLE_BYTES, FileStore, Store, name_object
from ehrcore.drive.net.plan import STORE_FILE, NetworkFolder, StoreConfig
from ehrcore.errors import DeploymentError, StorageError

#: Beside ``store.json`` (0600), where the environment has none: an object such as {"access_key_id": ..., ...}.
CREDENTIALS_FILE: Final = "store-credentials.json"
#: An upload is cut into parts of this size (S3 takes no smaller ones), so many at a time.
PART_BYTES: Final = 5 << 20
PARTS: Final = 2
_CONNECT: Final = timedelta(seconds=3)
_RETRIES: Final = 2
_REMOTE: Final = frozenset({"s3", "s3a", "gs", "az", "abfs", "abfss"})


def open_store(folder: NetworkFolder) -> Store:
    """The store of this host; `DeploymentError` names what is wrong with its description."""
    config = read_store_config(folder)
    return FileStore(folder.objects) if config is None else connect(config, _read_credentials(folder))


def read_store_config(folder: NetworkFolder) -> StoreConfig | None:
    """What ``store.json`` says, if there is one; `DeploymentError` if it cannot be used."""
    path = folder.path / STORE_FILE
    return read_json(path, StoreConfig, "a store", 1 << 16) if path.exists() else None


def connect(config: StoreConfig, credentials: Mapping[str, str] | None = None) -> Store:
    """The store at ``config.url``: ``file:///folder``, or ``s3://bucket/prefix``, ``gs://...``, ``az://...``.

    Nothing is asked of it yet.  `DeploymentError` for a URL that names no store, or holds credentials.
    """
    try:
        url = urlsplit(config.url)
    except ValueError:
        raise DeploymentError("store: expected a URL, found something else") from None
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise DeploymentError("store: expected a URL without credentials or options, found some (not shown)")
    if url.scheme == "file" and not url.netloc and url.path.startswith("/"):
        return FileStore(Path(url.path))
    if url.scheme not in _REMOTE or not url.netloc:
        raise DeploymentError(f"store: expected file:///folder, s3://bucket, gs:// or az://, found {config.url!r}")
    return RemoteStore(config, credentials or {})


class RemoteStore:
    """A `Store` in somebody's cloud.  Calls block until it answers, or for ``timeout_s`` without a sign of life."""

    def __init__(self, config: StoreConfig, credentials: Mapping[str, str]) -> None:
        try:
            import obstore  # noqa: PLC0415 - optional extra, imported where it is used
            from obstore.exceptions import BaseError  # noqa: PLC0415
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError:
            raise DeploymentError(f"store {config.url}: the optional package 'obstore' is not installed") from None
        self._url, self._api, self._errors = config.url, obstore, (BaseError, OSError)
        wait = timedelta(seconds=config.timeout_s)
        client: Any = {
            "allow_http": config.endpoint.startswith("http://"),
            "connect_timeout": min(wait, _CONNECT),
            "read_timeout": wait,
            "timeout": timedelta(hours=1),  # of a whole answer, however large
        }
        retry: Any = {"max_retries": _RETRIES, "retry_timeout": wait}
        given: Any = {name: value for name in ("endpoint", "region") if (value := getattr(config, name))}
        try:
            self._store = from_url(
                config.url, config=given | dict(credentials), client_options=client, retry_config=retry
            )
        except (*self._errors, ValueError):  # whose text may hold a credential
            raise DeploymentError(f"store {config.url}: expected options that fit it, found others") from None

    def put(self, location: str, body: bytes) -> None:
        if self._ask(self._api.put, location, body, use_multipart=len(body) > PART_BYTES) is None:
            raise self._missing(location)

    def put_stream(self, location: str, chunks: Iterable[bytes]) -> int:
        """See `Store.put_stream`; holds `PARTS` parts of `PART_BYTES` in memory."""
        name, size = name_object(location), 0
        try:
            # Left by an exception, the source's own too, it gives the upload up.
            with self._api.open_writer(self._store, name, buffer_size=PART_BYTES, max_concurrency=PARTS) as file:
                for chunk in chunks:
                    size += file.write(chunk)
        except FileNotFoundError:
            raise self._missing(location) from None
        except self._errors as error:
            raise self._trouble(location, error) from None
        return size

    def get(self, location: str) -> bytes | None:
        found = self._ask(self._api.get, location)
        if found is None or found.meta["size"] > MAX_WHOLE_BYTES:
            return None
        try:
            return bytes(found.bytes())
        except self._errors as error:
            raise self._trouble(location, error) from None

    def open(self, location: str) -> Iterator[bytes] | None:
        found = self._ask(self._api.get, location)
        return None if found is None else self._read_chunks(location, found)

    def _read_chunks(self, location: str, found: Any) -> Iterator[bytes]:
        try:
            for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
        except self._errors as error:
            raise self._trouble(location, error) from None

    def delete(self, location: str) -> None:
        self._ask(self._api.delete, location)

    def _ask(self, call: Callable[..., Any], location: str, *arguments: Any, **options: Any) -> Any:
        """What the store answers; None if it has no such thing."""
        try:
            return call(self._store, name_object(location), *arguments, **options)
        except FileNotFoundError:
            return None
        except self._errors as error:
            raise self._trouble(location, error) from None

    def _missing(self, location: str) -> StorageError:
        return StorageError(f"{location}: expected a place in the store {self._url}, found none")

    def _trouble(self, location: str, error: Exception) -> StorageError:
        """One line: the store's own words may be many, and may hold what was sent."""
        is_denied = type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}
        why = "no permission" if is_denied else "none"
        return StorageError(f"{location}: expected an answer of the store {self._url}, found {why}")


def _read_credentials(folder: NetworkFolder) -> dict[str, str]:
    path = folder.path / CREDENTIALS_FILE
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(read_secret(path), type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DeploymentError(f"{path}: expected an object of names and texts, found something else") from None
