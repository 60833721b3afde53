"""Writing files so that a crash at any moment leaves what was there before, or that and the whole of the new.

And where a file of the project is that an installed package has elsewhere than the source tree.
"""

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from bench.errors import BenchError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def find_packaged(name: str, source: str) -> "Traversable":
    """A file of the project: ``name`` within the installed package, else ``source`` in the tree beside it."""
    packed = resources.files("bench").joinpath(name)
    return packed if packed.is_file() else Path(__file__).parents[1] / source


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace ``path`` by ``data`` in one step, creating its folder if need be; text is written as UTF-8, as it is.

    The content is on the disk before the name points at it, so a crash at any moment leaves a whole file.
    Raises `BenchError` naming ``path`` if it cannot be written; whatever stops the write, no other file is left.
    """
    try:
        content = data.encode() if isinstance(data, str) else data
        beside = path.with_name(f".{uuid4().hex}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_durably(beside, content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name, no name, half of a surrogate pair
        raise _refuse(path, error) from None


def write_output(path: Path, data: bytes | str) -> None:
    """As `write_atomic`, for a path that a user names: a link, a pipe or a device is written to, and stays one."""
    if not (path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir())):
        write_atomic(path, data)
        return
    try:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    except (OSError, ValueError) as error:
        raise _refuse(path, error) from None


def append_durably(path: Path, data: bytes) -> None:
    """Add ``data`` to the end of ``path``, a file in a folder that is there; it is on the disk when this returns.

    A crash meanwhile may leave the beginning of ``data``: its reader has to see that it is not whole.
    Raises `BenchError` naming ``path`` if it cannot be written.
    """
    try:
        is_new = not path.exists()
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(path.parent)
    except OSError as error:
        raise _refuse(path, error) from None


def _refuse(path: Path, error: OSError | ValueError) -> BenchError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return BenchError(f"{path}: expected a file that can be written, found: {reason}")


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system can (not every one opens folders)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)
