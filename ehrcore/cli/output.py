"""Where commands put what they were asked for: a file for its owner alone, a device as it stands, or the terminal."""

import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from ehrcore.drive.net.files import sync_folder, write_file
from ehrcore.errors import DeploymentError


def check_output(path: Path | None) -> Path | None:
    """Refuse what cannot become a file before anything is asked for that stands on the chain for good.

    Returns the folder to prepare the file in; None where there will be none to be moved.
    """
    if path is None or _is_kept(path):
        return None
    if path.is_dir():
        raise DeploymentError(f"{path}: expected a file that can be written, found a folder")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise DeploymentError(f"{path}: expected a file that can be written, found no folder for it that can")
    return path.parent


def write_output(path: Path | None, data: bytes) -> None:
    """Records are nobody else's business: whole or not at all, and 0600, if it is a file; else to where it leads."""
    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    elif _is_kept(path):
        with _open(path) as file:
            file.write(data)
    else:
        check_output(path)
        write_file(path, data, is_secret=True)


def move_output(plain: Path, path: Path | None) -> None:
    """What lies in the file ``plain``, of the folder that `check_output` has named."""
    if path is None or _is_kept(path):
        with plain.open("rb") as source, nullcontext(sys.stdout.buffer) if path is None else _open(path) as file:
            shutil.copyfileobj(source, file)
            file.flush()
        return
    try:
        plain.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise DeploymentError(f"{path}: expected a file that can be written, found: {error.strerror}") from None


def _is_kept(path: Path) -> bool:
    """Whether what stands there is written to, not replaced: /dev/null must stay what it is, whoever runs this."""
    return path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir())


def _open(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise DeploymentError(f"{path}: expected a file that can be written, found: {error.strerror}") from None
