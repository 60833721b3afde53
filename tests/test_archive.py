"""The archive: the same commit, the same bytes; nothing uncommitted gets in; unpacked, it knows what it is."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.measure.archive import describe_archive

ROOT = Path(__file__).parents[1]
REFERENCE = "results/reference"


@pytest.fixture(scope="module")
def archive() -> ModuleType:
    spec = importlib.util.spec_from_file_location("archive", ROOT / ".ci" / "archive.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(folder: Path, *words: str) -> str:
    names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": "2026-01-02T03:04:06Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:06Z"}
    environment = os.environ | names | dates
    done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(root: Path, **changes: Any) -> None:
    """A tree that has all that an archive needs."""
    raw = '{"case": "a"}\n'
    manifest = {"status": "complete", "files": {"raw/a.jsonl": hashlib.sha256(raw.encode()).hexdigest()}}
    files = {
        **dict.fromkeys(("README.md", "LICENSE", "THIRD-PARTY.md", "CITATION.cff", "ARTIFACT-APPENDIX.md"), "text\n"),
        **dict.fromkeys(("codemeta.json", ".zenodo.json"), "{}\n"),
        ".gitattributes": "* text=auto eol=lf\n.git_archival.txt export-subst\n", ".gitignore": "/dist/\n",
        **{name: (ROOT / name).read_text(encoding="utf-8") for name in (".git_archival.txt", ".ci/archive.py")},
        "ehrcore/__init__.py": '"""Text."""\n\n__version__ = "1.2.3"\n', "run": "#!/bin/sh\n",
        f"{REFERENCE}/manifest.json": json.dumps(manifest), f"{REFERENCE}/raw/a.jsonl": raw, **changes,
    }  # fmt: skip
    for name, text in files.items():
        path = root / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    (root / "run").chmod(0o755)


def commit(root: Path, **changes: Any) -> str:
    write(root, **changes)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    commit(root)
    return root


def unpack(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as packed:
        packed.extractall(folder)
    (found,) = folder.iterdir()
    return found


def test_the_same_commit_gives_the_same_bytes(archive: Any, repository: Path, tmp_path: Path) -> None:
    path = archive.build(repository)
    head = git(repository, "rev-parse", "HEAD")
    assert path == repository / "dist" / f"ehrbench-1.2.3-{head[:12]}.zip"
    first = path.read_bytes()
    git(tmp_path, "clone", "-q", str(repository), "other")
    environment = os.environ | {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    words = [sys.executable, str(tmp_path / "other" / ".ci" / "archive.py")]
    subprocess.run(words, env=environment, capture_output=True, check=True, umask=0o077)
    assert (tmp_path / "other" / "dist" / path.name).read_bytes() == first


def test_it_holds_the_commit_with_sums_that_hold_and_modes(archive: Any, repository: Path, tmp_path: Path) -> None:
    path = archive.build(repository)
    with zipfile.ZipFile(path) as packed:
        entries = {item.filename.partition("/")[2]: item for item in packed.infolist()}
        assert {item.date_time for item in entries.values()} == {(2026, 1, 2, 3, 4, 6)}
    assert {*entries} == {*git(repository, "ls-files").splitlines(), "SHA256SUMS"}
    assert (entries["run"].external_attr >> 16, entries["LICENSE"].external_attr >> 16) == (0o100755, 0o100644)
    folder = unpack(path, tmp_path / "unpacked")
    assert folder.name == "ehrbench-1.2.3"
    # As the artifact appendix says it, which names what was changed and needs no tool but Python.
    appendix = (Path(__file__).parents[1] / "bench" / "report" / "appendix.md").read_text(encoding="utf-8")
    check = re.search(r"^python3 - <<'END'.*?\n(.*?)^END$", appendix, re.MULTILINE | re.DOTALL)
    assert check
    for is_changed in (False, True):
        if is_changed:
            (folder / "LICENSE").write_text("another", encoding="utf-8")
        told = subprocess.run([sys.executable, "-c", check[1]], cwd=folder, capture_output=True, text=True, check=False)
        assert (told.returncode, told.stderr) == ((1, "LICENSE\n") if is_changed else (0, ""))


def test_what_is_unpacked_knows_its_commit_and_whether_it_was_changed(
    archive: Any, repository: Path, tmp_path: Path
) -> None:
    folder = unpack(archive.build(repository), tmp_path / "unpacked")
    head = git(repository, "rev-parse", "HEAD")
    known = describe_archive(folder)
    assert known["archive"].endswith(f" of commit {head}")
    assert known["is_dirty"] is False
    (folder / "results" / "20260101T000000Z-smoke").mkdir()
    (folder / REFERENCE / "report.html").write_text("made again")
    assert describe_archive(folder) == known
    (folder / "ehrcore" / "__init__.py").write_text("changed")
    assert describe_archive(folder)["is_dirty"] is True
    (folder / "SHA256SUMS").unlink()
    assert describe_archive(folder) == {**known, "is_dirty": None}
    assert describe_archive(repository) == {"archive": None, "is_dirty": None}, "git has not filled it in"


@pytest.mark.parametrize("name", ["LICENSE", "new"])
def test_what_is_not_committed_is_refused_unless_a_commit_is_named(archive: Any, repository: Path, name: str) -> None:
    clean = archive.build(repository).read_bytes()
    (repository / name).write_text("uncommitted")
    with pytest.raises(archive.RefusedError, match=rf"found 1 such \(first: {name}\)"):
        archive.build(repository)
    assert archive.build(repository, "HEAD").read_bytes() == clean


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"LICENSE": None}, "expected LICENSE in the commit"),
        ({f"{REFERENCE}/raw/a.jsonl": "{}\n"}, f"{REFERENCE}/raw/a.jsonl: expected the SHA-256"),
        ({f"{REFERENCE}/raw/a.jsonl": None}, f"{REFERENCE}/raw/a.jsonl: expected the SHA-256"),
        ({f"{REFERENCE}/manifest.json": '{"status": "interrupted"}'}, "found one that is interrupted"),
        ({"ehrcore/__init__.py": ""}, "expected __version__"),
    ],
)
def test_what_is_no_whole_artifact_is_refused(archive: Any, repository: Path, changes: Any, said: str) -> None:
    commit(repository, **changes)
    with pytest.raises(archive.RefusedError, match=said):
        archive.build(repository)
    assert not (repository / "dist").exists()


def test_a_link_is_refused(archive: Any, repository: Path) -> None:
    (repository / "link").symlink_to("/etc/passwd")
    commit(repository)
    with pytest.raises(archive.RefusedError, match="link: expected a file or a folder"):
        archive.build(repository)


def test_a_refusal_is_one_line_and_code_2(archive: Any, repository: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(archive, "ROOT", repository)
    assert archive.main(["--commit", "nowhere"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("archive: git rev-parse: expected it to succeed, found:")
    assert told.err.count("\n") == 1
    assert archive.main([]) == 0
    assert "dist/ehrbench-1.2.3-" in capsys.readouterr().out
