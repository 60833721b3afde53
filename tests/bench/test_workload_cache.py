"""The cache: filled once, checked at each use, whole or not there at all, shared by processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.workload import default_cache
from bench.workload.cache import cached_folder, compute_folder_digest

ROOT = Path(__file__).parents[2]


class Generator:
    """Counts how often it is asked, and writes what it is told."""

    def __init__(self, content=b"records"):
        self.calls = 0
        self.content = content

    def __call__(self, folder):
        self.calls += 1
        (folder / "fhir").mkdir()
        (folder / "fhir" / "a.json").write_bytes(self.content)


@pytest.fixture
def generator():
    return Generator()


@pytest.fixture
def warnings():
    return []


def _use(cache, generator, warnings):
    with cached_folder(cache, "key", generator, warnings.append) as data:
        return (data / "fhir" / "a.json").read_bytes()


def test_an_entry_is_generated_once(tmp_path, generator, warnings):
    cache = tmp_path / "not" / "yet"
    assert [_use(cache, generator, warnings) for _ in range(3)] == [b"records"] * 3
    assert (generator.calls, warnings) == (1, [])
    assert sorted(path.name for path in cache.iterdir()) == ["key", "key.lock"]


def _change_byte(entry):
    (entry / "data/fhir/a.json").write_bytes(b"Records")


def _rename_file(entry):
    (entry / "data/fhir/a.json").rename(entry / "data/fhir/b.json")


def _remove_file(entry):
    (entry / "data/fhir/a.json").unlink()


def _add_file(entry):
    (entry / "data/new.json").write_bytes(b"")


def _add_link(entry):
    (entry / "data/link").symlink_to(entry, target_is_directory=True)


def _add_broken_link(entry):
    (entry / "data/link.json").symlink_to(entry / "missing")


def _add_pipe(entry):
    os.mkfifo(entry / "data/pipe.json")


def _remove_stamp(entry):
    (entry / "sha256").unlink()


def _change_stamp(entry):
    (entry / "sha256").write_text("0" * 64)


def _remove_data(entry):
    _remove_file(entry)
    (entry / "data/fhir").rmdir()
    (entry / "data").rmdir()


def _replace_by_file(entry):
    entry.rename(entry.with_name("away"))
    entry.write_bytes(b"")


def _replace_by_link(entry):
    entry.rename(entry.with_name("away"))
    entry.symlink_to(entry.with_name("missing"))


TAMPERINGS = [
    _change_byte,
    _rename_file,
    _remove_file,
    _add_file,
    _add_link,
    _add_broken_link,
    _add_pipe,
    _remove_stamp,
    _change_stamp,
    _remove_data,
    _replace_by_file,
    _replace_by_link,
]


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_a_tampered_entry_is_generated_again_and_the_user_told(tmp_path, generator, warnings, tamper):
    _use(tmp_path, generator, warnings)
    tamper(tmp_path / "key")
    assert _use(tmp_path, generator, warnings) == b"records"
    assert generator.calls == 2
    assert warnings == [f"{tmp_path / 'key'}: the cached records differ from their stamp; generating them again"]
    assert _use(tmp_path, generator, warnings) == b"records"
    assert generator.calls == 2


def test_an_interrupted_generation_leaves_no_entry(tmp_path, generator, warnings):
    def interrupted(folder):
        generator(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _use(tmp_path, interrupted, warnings)
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]
    assert _use(tmp_path, generator, warnings) == b"records"
    assert warnings == []


def test_what_a_killed_process_left_behind_is_not_mixed_in(tmp_path, generator, warnings):
    (tmp_path / "key.partial/data").mkdir(parents=True)
    (tmp_path / "key.partial/data/half.json").write_bytes(b"{")
    _use(tmp_path, generator, warnings)
    assert [path.name for path in (tmp_path / "key/data").iterdir()] == ["fhir"]


def test_a_failed_generation_keeps_its_own_error(tmp_path, warnings):
    def failing(_folder):
        raise BenchError("generator: no")

    with pytest.raises(BenchError, match=r"\Agenerator: no\Z"):
        _use(tmp_path, failing, warnings)


def _below_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "cache"


def _a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file"


def _a_link_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return tmp_path / "loop"


def _a_folder_in_place_of_the_lock(tmp_path):
    (tmp_path / "key.lock").mkdir()
    return tmp_path


@pytest.mark.parametrize("place", [_below_a_file, _a_file, _a_link_to_itself, _a_folder_in_place_of_the_lock])
def test_a_cache_that_cannot_be_written_is_one_clear_line(tmp_path, generator, warnings, place):
    with pytest.raises(BenchError, match=r"\Acache /[^\n]+: expected a folder that can be written, found: [^\n]+\Z"):
        _use(place(tmp_path), generator, warnings)
    assert generator.calls == 0


def test_a_full_disk_is_one_clear_line_and_leaves_no_entry(tmp_path, warnings):
    def full(_folder):
        raise OSError(28, "No space left on device", "a.json")

    with pytest.raises(BenchError, match=r"found: a\.json: No space left on device\Z"):
        _use(tmp_path, full, warnings)
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


RACER = """
import sys, time
from pathlib import Path
from bench.workload.cache import cached_folder

cache, log = Path(sys.argv[1]), Path(sys.argv[2])

def generate(folder):
    with log.open("a") as lines:
        lines.write("generated\\n")
    for name in "abc":
        (folder / f"{name}.json").write_text(name)
        time.sleep(0.05)  # long enough for the other process to come in between, if the lock let it

for _ in range(3):
    with cached_folder(cache, "key", generate, print) as data:
        found = "".join(sorted(path.read_text() for path in data.iterdir()))
        assert found == "abc", found
"""


@pytest.mark.parametrize("tampered", [False, True])
def test_of_processes_that_race_one_generates_and_all_find_it_whole(tmp_path, tampered):
    cache, log = tmp_path / "cache", tmp_path / "log"
    if tampered:
        (cache / "key/data").mkdir(parents=True)
    command = [sys.executable, "-c", RACER, str(cache), str(log)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    racers = [subprocess.Popen(command, env=env) for _ in range(4)]
    assert [racer.wait(timeout=60) for racer in racers] == [0] * 4
    assert log.read_text() == "generated\n"


def test_folder_digest_is_of_names_and_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"1")
    first = compute_folder_digest(tmp_path)
    (tmp_path / "a/b").write_bytes(b"2")
    second = compute_folder_digest(tmp_path)
    (tmp_path / "a/b").rename(tmp_path / "a/c")
    assert len({first, second, compute_folder_digest(tmp_path)}) == 3


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"EHRBENCH_CACHE": "/chosen", "XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "/chosen"),
        ({"EHRBENCH_CACHE": "", "XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "/xdg/ehrbench"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.cache/ehrbench"),
        ({"HOME": "/home/me"}, "/home/me/.cache/ehrbench"),
    ],
)
def test_default_cache(monkeypatch, env, expected):
    for name in ("EHRBENCH_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert default_cache() == Path(expected)


def test_default_cache_without_a_home(monkeypatch):
    monkeypatch.delenv("EHRBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(BenchError, match="EHRBENCH_CACHE"):
        default_cache()
