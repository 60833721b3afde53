"""Extensions that a test loads or writes, and everything as it was after it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ehrcore.drive.extensions import load_extensions
from tests.extend.support import EXAMPLES, loaded


@pytest.fixture
def load() -> Iterator[Callable[..., None]]:
    """Loads examples by name, or files."""
    with loaded():
        yield lambda *names: load_extensions(
            name if isinstance(name, Path) else EXAMPLES / f"{name}.py" for name in names
        )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes an extension that a test makes up."""

    def _write(text: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write
