"""Collisions as pairs of files: the published ones, and a user's.  All are checked by computation as they are read."""

import hashlib
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from bench.errors import BenchError
from ehrcore.errors import ParameterError
from ehrcore.hashing import SUITES, HashSuite, find_suite

MAX_PAIR_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Pair:
    """Two messages with one digest under ``suite``; ``kind`` and ``source`` say what they are and whose."""

    name: str
    suite: str
    first: bytes
    second: bytes
    kind: str = "given by the user"
    source: str = ""

    @property
    def is_extensible(self) -> bool:
        """Whether the pair collides with anything appended to both, as it does if its last blocks have collided."""
        digest = find_suite(self.suite).hash
        return digest(self.first + b"more") == digest(self.second + b"more")


def load_published() -> list[Pair]:
    """The published pairs; `BenchError` if a file is not what its entry says."""
    folder = Path(str(resources.files("bench"))) / "attacks" / "data"
    pairs = []
    for name, entry in tomllib.loads((folder / "pairs.toml").read_text(encoding="utf-8")).items():
        first, second = (_read(folder / f"{name}.{side}") for side in "ab")
        for side, body in (("a", first), ("b", second)):
            if hashlib.sha256(body).hexdigest() != entry[f"sha256_{side}"]:
                raise BenchError(f"{name}.{side}: expected SHA-256 {entry[f'sha256_{side}']}, found other bytes")
        suite = find_suite(entry["suite"])
        _require_collision(name, suite, first, second)
        if suite.hash(first).hex() != entry["digest"]:
            raise BenchError(f"{name}: expected digest {entry['digest']}, found {suite.hash(first).hex()}")
        pairs.append(Pair(name, suite.name, first, second, entry["kind"], entry["source"]))
    return pairs


def load_costs() -> list[dict[str, Any]]:
    """What finding collisions costs, as published: suite, attack, logarithm to base 2 of the hashes, and source."""
    path = Path(str(resources.files("bench"))) / "attacks" / "data" / "costs.toml"
    costs: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["cost"]
    return costs


def load_folder(folder: Path) -> list[Pair]:
    """The pairs NAME.a and NAME.b of a folder, in order of name; `BenchError` names what is wrong with one.

    Under which suite they collide is found by trying all.
    """
    if not folder.is_dir():
        raise BenchError(f"{folder}: expected a folder of pairs NAME.a and NAME.b, found none")
    sides = {suffix: {path.stem for path in folder.glob(f"*{suffix}")} for suffix in (".a", ".b")}
    for stem in sorted(sides[".a"] ^ sides[".b"]):
        missing = ".b" if stem in sides[".a"] else ".a"
        raise BenchError(f"{folder / (stem + missing)}: expected the other half of a pair, found no file")
    if not sides[".a"]:
        raise BenchError(f"{folder}: expected pairs NAME.a and NAME.b, found none")
    return [_load_pair(folder, stem) for stem in sorted(sides[".a"])]


def _load_pair(folder: Path, stem: str) -> Pair:
    first, second = (_read(folder / f"{stem}{suffix}") for suffix in (".a", ".b"))
    if first == second:
        raise BenchError(f"{folder / stem}: expected two different messages, found the same twice")
    for suite in _installed():
        if suite.hash(first) == suite.hash(second):
            return Pair(stem, suite.name, first, second, source=str(folder))
    names = ", ".join(suite.name for suite in _installed())
    raise BenchError(f"{folder / stem}: expected a pair that collides under one of {names}, found none that does")


def _installed() -> list[HashSuite]:
    found = []
    for name in SUITES:
        try:
            found.append(find_suite(name))
        except ParameterError:  # an optional package is missing
            continue
    return found


def _require_collision(name: str, suite: HashSuite, first: bytes, second: bytes) -> None:
    if first == second or suite.hash(first) != suite.hash(second):
        raise BenchError(f"{name}: expected two messages with one {suite.name} digest, found others")


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_PAIR_BYTES:
            raise BenchError(f"{path}: expected at most {MAX_PAIR_BYTES} bytes, found {path.stat().st_size}")
        return path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path}: expected one half of a pair, found: {error.strerror}") from None
