"""Drift: whether what a run keeps of its report is what its rows give today, file by file.

Everything that is derived is made again in a temporary place, from the measured files alone, and held against what the
run keeps; nothing of the run is touched.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.record import is_derived, seal
from bench.report.build import PDF_FILE, build_report
from bench.report.load import Manifest, read_manifest

#: Characters that are shown of a line, around the first that differs.
_SHOWN: Final = 60


def find_drift(folder: Path) -> tuple[list[str], int]:
    """A line for each derived file that differs, is missing or is too much, and how many files there should be.

    Raises `BenchError` for what is no run, and for a run whose measured files were changed.
    """
    manifest = read_manifest(folder)
    with TemporaryDirectory() as place:
        again = Path(place) / "run"
        _mirror(folder, again)
        build_report(again, lambda _: None)
        seal(again)
        made, kept = _read_derived(again), _read_derived(folder)
    return [*_compare(kept, made), *_find_strangers(folder, manifest)], len(made) - 1  # but for the manifest


def _mirror(folder: Path, again: Path) -> None:
    """The measured files of a run as links, and an empty file for the PDF if it is there."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        target = again / name
        if path.is_dir() or (is_derived(name) and name != PDF_FILE):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if name == PDF_FILE:
            target.touch()
        else:
            target.symlink_to(path.resolve())


def _read_derived(folder: Path) -> dict[str, bytes]:
    """The derived files, and the manifest, which has their digests."""
    names = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in names.items() if is_derived(name) or name == "manifest.json"}


def _compare(kept: Mapping[str, bytes], made: Mapping[str, bytes]) -> Iterator[str]:
    for name in sorted({*kept, *made}):
        if name not in kept:
            yield f"{name}: missing"
        elif name not in made:
            yield f"{name}: too much, nothing of the run makes it"
        elif kept[name] != made[name]:
            yield f"{name}: differs{_describe(kept[name], made[name])}"


def _describe(kept: bytes, made: bytes) -> str:
    """Where two files part, if they are text."""
    try:
        found, expected = kept.decode().splitlines(), made.decode().splitlines()
    except UnicodeDecodeError:
        return f", expected {len(made):,} bytes, found {len(kept):,} others"
    for number, (old, new) in enumerate(zip(found, expected, strict=False), start=1):
        if old != new:
            place = next((i for i, pair in enumerate(zip(old, new, strict=False)) if len({*pair}) > 1), len(old))
            start = max(place - _SHOWN // 3, 0)
            return f" in line {number}: expected {new[start:][:_SHOWN]!r}, found {old[start:][:_SHOWN]!r}"
    return f", expected {len(expected)} lines, found {len(found)}"


def _find_strangers(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Files that are neither derived nor recorded, of a run that has recorded any."""
    recorded = {"manifest.json", *manifest.files}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if manifest.files and path.is_file() and not is_derived(name) and name not in recorded:
            yield f"{name}: too much, the run did not record it"
