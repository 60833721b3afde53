"""Atomic writing: the whole new content or the untouched old one, and nothing beside it."""

import os
import stat
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.files import find_packaged, write_atomic, write_output


def test_content_is_written_as_it_is_and_folders_are_made(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    write_atomic(path, "über\r\nzwei\n")
    assert path.read_bytes() == "über\r\nzwei\n".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [child.name for child in path.parent.iterdir()] == ["file.txt"]


def test_permissions_follow_the_umask(tmp_path):
    path = tmp_path / "file"
    before = os.umask(0o022)
    try:
        write_atomic(path, b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_old_content_stays_if_the_write_stops(tmp_path, monkeypatch, moment):
    path = tmp_path / "file"
    path.write_text("old")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync" if moment == "fsync" else "pathlib.Path.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    path = tmp_path / "file"
    with pytest.raises(BenchError, match="No space left on device") as caught:
        write_atomic(path, "new")
    assert str(caught.value).startswith(f"{path}: expected a file that can be written")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "tables").write_text("in the way")
    with pytest.raises(BenchError, match="tables/x.csv: expected a file that can be written"):
        write_atomic(tmp_path / "tables" / "x.csv", "")


def test_a_folder_in_place_of_the_file_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(BenchError, match="x.csv: expected a file that can be written"):
        write_atomic(tmp_path / "x.csv", "")
    assert [child.name for child in tmp_path.iterdir()] == ["x.csv"]


def test_a_null_byte_in_the_name_is_an_error_of_use(tmp_path):
    with pytest.raises(BenchError, match="null (byte|character)"):
        write_atomic(tmp_path / "a\0b" / "x", "")


@pytest.mark.parametrize("path", [".", "/"])
def test_what_has_no_name_is_no_file(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match=r"expected a file that can be written, found: .* has an empty name"):
        write_atomic(Path(path), "")


def test_what_a_user_names_stays_what_it_is(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "link").symlink_to("file")
    for name in ("null", "link", "plain"):
        write_output(tmp_path / name, "text")
    assert (tmp_path / "null").readlink() == Path("/dev/null")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == (tmp_path / "plain").read_text() == "text"
    (tmp_path / "lost").symlink_to("no/where")
    with pytest.raises(BenchError, match="lost: expected a file that can be written, found: No such file"):
        write_output(tmp_path / "lost", b"")


def test_half_of_a_surrogate_pair_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    for write in (write_atomic, write_output):
        with pytest.raises(BenchError, match=r"page.md: expected a file that can be written, found: .*surrogates"):
            write(tmp_path / "page.md", "a \ud800 b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_project_is_found_beside_the_package() -> None:
    assert find_packaged("citation.cff", "CITATION.cff").read_text().startswith("cff-version")
