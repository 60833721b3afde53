"""Published test vectors, and one small real chain that several tests look at."""

from collections.abc import Callable, Iterator

import cryptography_vectors
import pytest

Vector = dict[str, str]


def _blocks(path: str, section: str) -> Iterator[Vector]:
    """Blank-line separated blocks of `key = value` lines below `[section]` ('' takes the whole file)."""
    is_wanted, block = not section, Vector()
    with cryptography_vectors.open_vector_file(path, "r") as file:
        for line in [*file, "\n"]:
            text = line.strip()
            if text.startswith("[") and section:
                is_wanted = text == f"[{section}]"
            elif "=" in text and not text.startswith("#") and is_wanted:
                key, _, value = text.partition("=")
                block[key.strip()] = value.strip()
            elif not text and block:
                yield block
                block = Vector()


@pytest.fixture(scope="session")
def read_vectors() -> Callable[..., list[Vector]]:
    """Reader of a file of `cryptography_vectors` in the form of NIST's CAVP; an empty result is an error."""

    def read(path: str, section: str = "") -> list[Vector]:
        found = list(_blocks(path, section))
        assert found, f"expected vectors in {path} [{section}], found none"
        return found

    return read
