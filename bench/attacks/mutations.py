"""Every field and every byte of what is stored, each changed by itself."""

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

import msgspec

Path = tuple[str | int, ...]
#: Fields that say the same of a node, so that a changed name is another node's and not only a name that nobody has.
_NEIGHBOURS: Final = {"0": "1", "1": "0"}


def list_fields(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Path and value of every field of a struct that holds no further one, in order; empty tuples have none."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from list_fields(getattr(value, name), (*path, name))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from list_fields(item, (*path, index))
    else:
        yield path, value


def name_field(path: Path) -> str:
    """The field's name without the places in tuples: the same for all transactions of a block."""
    return ".".join(str(step) for step in path if isinstance(step, str))


def replace(value: Any, path: Path, new: Any) -> Any:
    """``value`` with what stands at ``path`` replaced."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return (*value[:step], replace(value[step], rest, new), *value[step + 1 :])
    return msgspec.structs.replace(value, **{step: replace(getattr(value, step), rest, new)})


def change(value: Any) -> Any:
    """Another value of the same kind: the nearest one, which is the hardest to notice."""
    if isinstance(value, Enum):
        members = list(type(value))
        return members[(members.index(value) + 1) % len(members)]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"\0"
    last = value[-1:]
    return value[:-1] + _NEIGHBOURS[last] if last in _NEIGHBOURS else value + "x"


def flip(content: bytes, index: int, mask: int) -> bytes:
    """``content`` with the bits of ``mask`` (1 to 255) flipped in the byte at ``index``."""
    return content[:index] + bytes([content[index] ^ mask]) + content[index + 1 :]
