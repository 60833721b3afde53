"""A cache of generated folders, outside the repository: filled once, checked at each use, safe to share.

Theory of operation.  An entry is a folder ``<key>`` that holds ``data/`` and a stamp with the digest of ``data/``.
It is generated as ``<key>.partial`` and renamed when complete, so an interrupted run leaves nothing that looks like
an entry.  An exclusive file lock per key is held from the check until the caller is done reading: of two processes
that want the same entry, the second waits and then finds it; none ever replaces what another one reads.
The kernel drops the lock when its process ends, however it ends.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.workload.files import reason_of

#: Environment variable that moves the cache.
CACHE_VARIABLE: Final = "EHRBENCH_CACHE"
_STAMP: Final = "sha256"


def default_cache() -> Path:
    """``$EHRBENCH_CACHE``, or ``ehrbench`` in the user's cache folder (XDG base directory specification)."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The specification has relative values ignored.
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "ehrbench"  # noqa: PTH117
    except RuntimeError:
        raise BenchError(f"cache: expected a home folder, found none; set {CACHE_VARIABLE}") from None


@contextmanager
def cached_folder(
    cache: Path, key: str, generate: Callable[[Path], None], warn: Callable[[str], None]
) -> Iterator[Path]:
    """The entry ``key``'s ``data`` folder, for as long as the context lasts; nobody changes it meanwhile.

    ``generate`` fills an empty folder and is called if there is no entry, or if the entry is not what its stamp
    says, which ``warn`` is told.  Raises `BenchError` if the cache cannot be written, and what ``generate`` raises.
    """
    with _locked(cache, key):
        entry = cache / key
        with _explained(cache):
            if not _is_sound(entry):
                if os.path.lexists(entry):
                    warn(f"{entry}: the cached records differ from their stamp; generating them again")
                _generate(entry, cache / f"{key}.partial", generate)
        yield entry / "data"


def compute_folder_digest(folder: Path) -> str:
    """SHA-256, in hex, over the relative path and the SHA-256 of every file, sorted.

    Raises `OSError` for a file that cannot be read and for anything that is neither a file nor a folder.
    """
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()):
        if not path.is_file():
            raise OSError(f"{path}: expected a regular file")
        name = os.fsencode(path.relative_to(folder).as_posix())
        total.update(len(name).to_bytes(8) + name)
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _is_sound(entry: Path) -> bool:
    """Whether an entry is there and its files are those that were generated."""
    try:
        return (entry / _STAMP).read_bytes() == compute_folder_digest(entry / "data").encode()
    except OSError:
        return False


def _generate(entry: Path, partial: Path, generate: Callable[[Path], None]) -> None:
    """Generate an entry beside its final place, then put it there in one step."""
    _remove(partial)
    data = partial / "data"
    data.mkdir(parents=True)
    try:
        generate(data)
        (partial / _STAMP).write_text(compute_folder_digest(data), encoding="ascii")
        _remove(entry)
        partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(cache: Path, key: str) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:
        raise BenchError("cache: expected a system with POSIX file locks; provide a folder of records") from None
    with _explained(cache):
        cache.mkdir(parents=True, exist_ok=True)
        lock = os.open(cache / f"{key}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with _explained(cache):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def _explained(cache: Path) -> Iterator[None]:
    """Turn a system error into one line; a cache that cannot be used is the user's to mend."""
    try:
        yield
    except OSError as error:
        place = error.filename or cache
        message = f"cache {cache}: expected a folder that can be written, found: {place}: {reason_of(error)}"
        raise BenchError(message) from None
