"""Python files of a user's that add variants: loaded because he names them, never because a ledger or a run does.

A file calls `add_suite`, `add_backend`, `add_rule` or one of the suite's own such functions when it is executed.  Its
path goes to an environment variable, so that every process that is started from here knows the same variants.
"""

import hashlib
import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from ehrcore.errors import EhrError, ParameterError
from ehrcore.registry import ADDED, forget

#: Paths of the files, with `os.pathsep` between them.
VARIABLE: Final = "EHR_EXTEND"


@dataclass(frozen=True, slots=True)
class Extension:
    """A file that was executed, as it was read then; ``adds`` says what it added, such as ``hash suite blake2s``."""

    path: Path
    content: bytes
    adds: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Digest of the file, in hex; what it imports is not in it."""
        return hashlib.sha256(self.content).hexdigest()


#: By file name, which is how runs call them.
LOADED: Final[dict[str, Extension]] = {}


def load_extensions(paths: Iterable[Path]) -> None:
    """Execute these files, each once, here and in every process that is started from here.

    `ParameterError` for a file that cannot be read, fails, adds nothing, or has the name of another one.
    """
    for path in paths:
        _load(path.absolute())
    os.environ[VARIABLE] = os.pathsep.join(str(item.path) for item in LOADED.values())


def load_inherited() -> None:
    """Execute the files that whoever started this process has named."""
    if given := os.environ.get(VARIABLE):
        load_extensions(map(Path, given.split(os.pathsep)))


def _load(path: Path) -> None:
    held = LOADED.get(path.name)
    if held is not None and held.path == path:
        return
    if held is not None or os.pathsep in str(path):
        found = f"two called {path.name}" if held else f"{os.pathsep!r} in a path"
        raise ParameterError(f"{path}: expected extensions with names of their own, found {found}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ParameterError(f"{path}: expected a Python file, found: {error.strerror}") from None
    before = len(ADDED)
    try:
        _execute(path, content)
    except BaseException:
        forget(before)
        raise
    if len(ADDED) == before:
        raise ParameterError(f"{path}: expected an extension that adds something, found one that adds nothing")
    LOADED[path.name] = Extension(path, content, tuple(map(str, ADDED[before:])))


def _execute(path: Path, content: bytes) -> None:
    """Run the very bytes whose digest is recorded, as a module that pickles and annotations find again."""
    module = ModuleType(f"ehr_extension_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)  # noqa: S102 - what the user asked for
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
        kind = "" if isinstance(error, EhrError) else f"{type(error).__name__}: "
        raise ParameterError(f"{path}:{line or 1}: {kind}{error}") from error
