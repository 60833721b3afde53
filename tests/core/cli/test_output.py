"""Output goes to a new file, whole and for its owner alone, or into what stands there and is no plain file."""

import os
import sys
from pathlib import Path

import pytest

from ehrcore.cli.output import check_output, move_output, write_output
from ehrcore.errors import DeploymentError


@pytest.fixture(params=["write", "move"])
def put(request: pytest.FixtureRequest, tmp_path: Path):
    def move(path: Path, data: bytes) -> None:
        (plain := tmp_path / "plain").write_bytes(data)
        move_output(plain, path)

    return write_output if request.param == "write" else move


def test_a_pipe_is_written_to_and_stays_one(put, tmp_path: Path) -> None:
    """As /dev/null has to: whoever may replace a device must not."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    put(path, b"content")
    assert os.read(reader, 64) == b"content"
    assert path.is_fifo()
    os.close(reader)


def test_a_link_is_followed(put, tmp_path: Path) -> None:
    (link := tmp_path / "link").symlink_to("target")
    put(link, b"content")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"content"
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600


def test_a_device_without_room_is_an_error_that_leaves_it(tmp_path: Path) -> None:
    device = Path("/dev/full")
    if not device.is_char_device():
        pytest.skip("no such device")  # not every kernel has it
    with pytest.raises(OSError, match="No space left"):
        write_output(device, b"content")
    assert device.is_char_device()


@pytest.mark.parametrize("name", [".", "missing/file"])
def test_what_cannot_become_a_file_is_refused_before_anything_is_asked(tmp_path: Path, name: str) -> None:
    for check in (check_output, lambda path: write_output(path, b"")):
        with pytest.raises(DeploymentError, match="expected a file"):
            check(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_standard_output_stays_open(put, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    put(None, b"content\n")
    assert not sys.stdout.closed
    assert capfdbinary.readouterr().out == b"content\n"
