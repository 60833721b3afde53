"""How the commands read ids, and write times, numbers and tables."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from ehrcore.errors import DeploymentError
from ehrcore.types import Digest


def show_time(at_ns: int) -> str:
    """An instant in UTC, to the second."""
    try:
        return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{at_ns} ns"


def show_number(value: float | None, digits: int = 0) -> str:
    """A number, or a dash for what is not known."""
    return "–" if value is None else f"{value:,.{digits}f}"


def align(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of a table whose first ``left`` columns stand to the left and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if index < left else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def parse_digest(name: str, text: str) -> bytes:
    """A digest in hexadecimal; `DeploymentError` names the argument that is none."""
    try:
        return msgspec.convert(bytes.fromhex(text), Digest)
    except (ValueError, msgspec.ValidationError):
        raise DeploymentError(f"{name}: expected 32 to 64 hexadecimal digits, found {text[:80]!r}") from None
