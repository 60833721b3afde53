"""A commit as one archive that can be deposited as it is; run by `nox -s archive`.

The same commit gives the same bytes, on any machine: files are sorted, dated by the commit and stored as they are, for
what a compressor makes of them depends on its version.  Uncommitted changes are never packed.  SHA256SUMS covers every
file, and a run that is made in the unpacked archive names its version and commit.
"""

import argparse
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = "results/reference/"
#: Without these it is no artifact.
NEEDED = (
    "README.md", "LICENSE", "THIRD-PARTY.md", "CITATION.cff", "codemeta.json", ".zenodo.json", "ARTIFACT-APPENDIX.md",
    ".git_archival.txt", f"{REFERENCE}manifest.json",
)  # fmt: skip


class RefusedError(Exception):
    """Why there is no archive, in one line."""


def git(root: Path, *words: str) -> bytes:
    """What a command of git prints; `RefusedError` if it fails."""
    try:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, check=True).stdout  # noqa: S603, S607
    except FileNotFoundError:
        raise RefusedError("expected git, found none") from None
    except subprocess.CalledProcessError as error:
        found = " ".join(error.stderr.decode(errors="replace").split())
        raise RefusedError(f"git {words[0]}: expected it to succeed, found: {found}") from None


def find_commit(root: Path, asked: str | None) -> str:
    """The commit to pack: the one asked for, or HEAD of a tree in which nothing has changed since."""
    if asked is None and (changed := git(root, "status", "--porcelain").decode().splitlines()):
        raise RefusedError(
            f"expected nothing that is not committed, found {len(changed)} such (first: {changed[0][3:]}); "
            "to pack a commit all the same, name it: nox -s archive -- --commit HEAD"
        )
    return git(root, "rev-parse", "--verify", f"{asked or 'HEAD'}^{{commit}}").decode().strip()


def read_files(root: Path, commit: str) -> dict[str, tuple[bytes, int]]:
    """Content and permissions of every file of a commit, by its sorted path."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(git(root, "archive", "--format=tar", commit))) as packed:
        for member in packed:
            if not (member.isfile() or member.isdir()):
                raise RefusedError(f"{member.name}: expected a file or a folder, found a link")
            if member.isfile() and (file := packed.extractfile(member)):
                found[member.name] = (file.read(), 0o755 if member.mode & 0o100 else 0o644)
    return dict(sorted(found.items()))


def validate(files: dict[str, tuple[bytes, int]]) -> None:
    """Raise `RefusedError` unless all is there, and the reference run is complete, as it was recorded."""
    if missing := [name for name in NEEDED if name not in files]:
        raise RefusedError(f"expected {missing[0]} in the commit, found none")
    manifest = json.loads(files[f"{REFERENCE}manifest.json"][0])
    if manifest["status"] != "complete":
        raise RefusedError(f"{REFERENCE}: expected a complete run, found one that is {manifest['status']}")
    for name, digest in manifest["files"].items():
        content, _ = files.get(REFERENCE + name, (b"", 0))
        if hashlib.sha256(content).hexdigest() != digest:
            raise RefusedError(f"{REFERENCE}{name}: expected the SHA-256 {digest[:16]}… of its manifest, found another")


def pack(files: dict[str, tuple[bytes, int]], folder: str, seconds: int) -> bytes:
    """A zip archive of the files and their SHA256SUMS below ``folder``, all of one date (seconds since 1970, UTC)."""
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, (content, _) in files.items())
    date, packed = time.gmtime(max(seconds, 315_532_800))[:6], io.BytesIO()  # zip begins in 1980
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, (content, mode) in {**files, "SHA256SUMS": (sums.encode(), 0o644)}.items():
            entry = zipfile.ZipInfo(f"{folder}/{name}", date)
            entry.create_system, entry.external_attr = 3, (0o100000 | mode) << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def build(root: Path, asked: str | None = None) -> Path:
    """Write the archive below ``dist/`` and return its path; `RefusedError` says why there is none."""
    commit = find_commit(root, asked)
    files = read_files(root, commit)
    validate(files)
    version = re.search(r'^__version__ = "([^"]+)"$', files["ehrcore/__init__.py"][0].decode(), re.MULTILINE)
    if version is None:
        raise RefusedError("ehrcore/__init__.py: expected __version__, found none")
    seconds = int(git(root, "show", "--no-patch", "--format=%ct", commit))
    content = pack(files, f"ehrbench-{version[1]}", seconds)
    path = root / "dist" / f"ehrbench-{version[1]}-{commit[:12]}.zip"
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return path


def main(words: list[str] | None = None) -> int:
    """Build and say what there is; 2 and one line if there is none."""
    parser = argparse.ArgumentParser(prog="nox -s archive --", description="A commit as one archive below dist/.")
    parser.add_argument("--commit", help="what to pack, whatever is not committed  [default: HEAD of a clean tree]")
    try:
        path = build(ROOT, parser.parse_args(words).commit)
    except RefusedError as reason:
        sys.stderr.write(f"archive: {reason}\n")
        return 2
    content = path.read_bytes()
    print(f"{hashlib.sha256(content).hexdigest()}  {path.relative_to(ROOT)} ({len(content):,} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
