"""A folder of somebody else's files: read in one order, and never a hang or a traceback, whatever lies in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.workload import Skipped, load_folder

ROOT = Path(__file__).parents[2]
CLAIM = b'{"resourceType":"Claim","patient":{"reference":"Patient/p1"}}'
PATIENT = b'{"resourceType":"Patient","id":"p1","birthDate":"1970-01-01"}'
ORGANIZATION = b'{"resourceType":"Organization","id":"o1"}'


def _folder(where: Path, **files: bytes) -> Path:
    """A folder with files whose names have ``_`` for the dot of the ending."""
    for name, data in files.items():
        (where / name.replace("_", ".")).write_bytes(data)
    return where


def test_order_is_that_of_the_relative_paths(tmp_path):
    bodies = {}
    for name in ["b.json", "a/z.json", "a.ndjson", "a/B.JSON", "c/d/e.json"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        bodies[name] = CLAIM[:-1] + b',"id":"%s"}' % name.encode()
        (tmp_path / name).write_bytes(bodies[name])
    (tmp_path / "notes.txt").write_bytes(b"not read")
    workload = load_folder(tmp_path, strict=True)
    assert [record.body for record in workload.records] == [bodies[name] for name in sorted(bodies)]


def test_of_repeated_bodies_the_first_in_path_order_stays(tmp_path):
    claim = b'{"resourceType":"Claim","patient":{"reference":"urn:uuid:1"}}'
    other = CLAIM[:-1] + b',"id":"2"}'
    workload = load_folder(_folder(tmp_path, c_json=claim, a_json=other, b_json=claim), strict=True)
    assert [record.body for record in workload.records] == [other, claim]
    assert workload.left_out == {"Claim: repeated body": 1}


def test_digest_does_not_depend_on_where_the_folder_is_or_how_it_was_made(tmp_path):
    digests = set()
    for name, order in (("one", "ab"), ("two", "ba")):
        folder = tmp_path / name
        folder.mkdir()
        for letter in order:
            (folder / f"{letter}.json").write_bytes(CLAIM[:-1] + b',"id":"%s"}' % letter.encode())
        digests.add(load_folder(folder, strict=True).digest)
    assert len(digests) == 1


@pytest.mark.parametrize("strict", [True, False])
def test_a_folder_that_is_none(tmp_path, strict):
    (tmp_path / "file").write_bytes(CLAIM)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file", "missing", "loop", "file/below", "nul\0byte", "x" * 5_000):
        with pytest.raises(BenchError, match=r"expected a folder of records, found: [^\n]+\Z"):
            load_folder(tmp_path / name, strict=strict)


def test_a_folder_without_records(tmp_path):
    with pytest.raises(BenchError, match=r"expected FHIR R4 records \(.json or .ndjson\), found none"):
        load_folder(tmp_path, strict=False)
    _folder(tmp_path, a_json=ORGANIZATION, b_json=b"{", c_txt=CLAIM)
    with pytest.raises(BenchError, match=r"found none \(1 of other types, 1 unusable; first: b\.json: [^\n]+\)\Z"):
        load_folder(tmp_path, strict=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_permission_denied(tmp_path):
    _folder(tmp_path, a_json=CLAIM, b_json=CLAIM)
    (tmp_path / "a.json").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    workload = load_folder(tmp_path, strict=False)
    assert workload.skipped == (Skipped("a.json", "Permission denied"), Skipped("closed", "Permission denied"))


def test_a_file_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    _folder(tmp_path, a_json=CLAIM, b_json=PATIENT)
    read = Path.read_bytes

    def denied(path):
        if path.name == "a.json":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert load_folder(tmp_path, strict=False).skipped == (Skipped("a.json", "Permission denied"),)
    with pytest.raises(BenchError, match=r"/a\.json: Permission denied\Z"):
        load_folder(tmp_path, strict=True)


def test_a_folder_within_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (_folder(tmp_path, a_json=CLAIM) / "closed").mkdir()
    scan = os.scandir

    def denied(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert load_folder(tmp_path, strict=False).skipped == (Skipped("closed", "Permission denied"),)
    with pytest.raises(BenchError, match=r"/closed: Permission denied\Z"):
        load_folder(tmp_path, strict=True)


def test_links_that_lead_in_circles_or_nowhere_are_named(tmp_path):
    _folder(tmp_path, z_json=CLAIM)
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "missing")
    (tmp_path / "file.json").symlink_to(tmp_path / "z.json")
    workload = load_folder(tmp_path, strict=False)
    assert [record.body for record in workload.records] == [CLAIM]
    assert [skipped.path for skipped in workload.skipped] == ["again", "loop.json", "nowhere.json"]


def test_a_link_to_the_folder_itself_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    _folder(tmp_path / "real", a_json=CLAIM)
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert len(load_folder(tmp_path / "link", strict=True).records) == 1


def test_pipes_and_devices_are_never_opened(tmp_path):
    _folder(tmp_path, z_json=CLAIM)
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    # In a process of its own, so that a loader that waits for ever fails the test instead of stopping it.
    code = "import sys; from pathlib import Path; from bench.workload import load_folder; "
    code += "print(*(f'{s.path}: {s.reason}' for s in load_folder(Path(sys.argv[1]), strict=False).skipped), sep='\\n')"
    command = [sys.executable, "-c", code, str(tmp_path)]
    printed = subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, timeout=20)
    assert printed.splitlines() == ["endless.json: not a regular file", "pipe.json: not a regular file"]


def test_names_that_are_no_text_stay_printable(tmp_path):
    _folder(tmp_path, z_json=CLAIM)
    for name in (b"a\xff\n\x1b[31m.json", "患者.json".encode()):
        (tmp_path / os.fsdecode(name)).write_bytes(b"{")
    shown = [skipped.path for skipped in load_folder(tmp_path, strict=False).skipped]
    assert shown == ["a\\xff\\n\\x1b[31m.json", "患者.json"]


def test_other_spellings_of_the_folder_give_the_same_paths(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    _folder(tmp_path / "in", a_json=CLAIM, b_json=b"{")
    monkeypatch.chdir(tmp_path)
    for folder in (Path("in"), Path("in/../in"), tmp_path / "in"):
        workload = load_folder(folder, strict=False)
        assert [skipped.path for skipped in workload.skipped] == ["b.json"]
        assert workload.source == str(folder)
