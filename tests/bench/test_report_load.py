"""Reading a run back: whole cases only, wherever a crash has cut, and one line for whatever else is wrong."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.record import RunDirectory
from bench.report.load import parse_cases, read_manifest, read_rows, validate_record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ROWS = st.dictionaries(st.text(min_size=1).filter(lambda key: key not in {"case", "status", "part", "parts"}), JSON)
CASES = st.lists(st.lists(ROWS, min_size=1, max_size=4), max_size=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return RunDirectory.create(tmp_path_factory.mktemp("results"), "smoke", {"experiments": {}})


def write(run: RunDirectory, cases: list[list[dict[str, Any]]]) -> tuple[bytes, list[list[dict[str, Any]]]]:
    """What a run writes of these cases, and their rows as it keeps them."""
    path = run.folder / "raw" / "demo.jsonl"
    path.unlink(missing_ok=True)
    kept = [run.append("demo", f"case {number}", rows) for number, rows in enumerate(cases)]
    return (path.read_bytes() if path.exists() else b""), kept


def check_cuts(data: bytes, kept: list[list[dict[str, Any]]], cuts: Iterable[int]) -> None:
    """The definition: of a file cut at any byte, exactly the cases are read that end before the cut."""
    ends = [0]
    for rows in kept:
        ends.append(ends[-1] + sum(len(json.dumps(row)) + 1 for row in rows))
    assert ends[-1] == len(data)
    for cut in cuts:
        whole = sum(end <= cut for end in ends) - 1
        found = parse_cases(data[:cut], "demo", is_strict=False)
        assert found.rows == [row for rows in kept[:whole] for row in rows]
        assert found.size_bytes == ends[whole]
        assert bool(found.notice) == (cut != ends[whole])
        if found.notice:
            with pytest.raises(BenchError, match="demo:"):
                parse_cases(data[:cut], "demo", is_strict=True)


def test_a_file_cut_at_any_byte_gives_its_whole_cases(run: RunDirectory) -> None:
    rows = [{"text": "Müller\n", "value": 1.5}, {"status": "void", "reason": "others"}, {"nested": {"a": [1, None]}}]
    data, kept = write(run, [rows, rows[:1], rows[:2], [{}]])
    check_cuts(data, kept, range(len(data) + 1))


@given(cases=CASES, shares=st.lists(st.floats(0, 1), max_size=5))
def test_the_same_for_any_rows(run: RunDirectory, cases: list[list[dict[str, Any]]], shares: list[float]) -> None:
    data, kept = write(run, cases)
    check_cuts(data, kept, [round(share * len(data)) for share in shares])


@given(cases=CASES.filter(bool), junk=st.binary(min_size=1, max_size=40))
def test_junk_after_the_last_case_is_left_out_and_said(
    run: RunDirectory, cases: list[list[dict[str, Any]]], junk: bytes
) -> None:
    data, kept = write(run, cases)
    found = parse_cases(data + b"\x00" + junk, "demo", is_strict=False)
    assert found.rows == [row for rows in kept for row in rows]
    assert found.size_bytes == len(data)
    assert found.notice


def lines_of(*cases: tuple[str, int]) -> list[bytes]:
    return [
        json.dumps({"case": name, "status": "ok", "part": part, "parts": parts}).encode() + b"\n"
        for name, parts in cases
        for part in range(1, parts + 1)
    ]


ALL = lines_of(("a", 2), ("b", 3), ("c", 1))
NOT_WHOLE = {
    "a row lost in the middle": ([*ALL[:3], *ALL[4:]], "demo:4: expected part 2 of 3 of case 'b', found part 3 of 3"),
    "the first row lost": (ALL[1:], "demo:1: expected part 1 of 2 of case 'a', found part 2 of 2"),
    "the last row of a case lost": ([*ALL[:4], ALL[5]], "demo:5: expected part 3 of 3 of case 'b', found part 1 of 1"),
    "a row twice": ([*ALL[:3], ALL[2], *ALL[3:]], "demo:4: expected part 2 of 3 of case 'b', found part 1 of 3"),
    "rows that changed places": ([ALL[1], ALL[0], *ALL[2:]], "demo:1: expected part 1 of 2"),
    "a row of another case": ([*ALL[:3], ALL[3].replace(b'"b"', b'"x"'), *ALL[4:]], "of case 'b', found part 2 of 3"),
    "half a line in the middle": ([ALL[0], ALL[1][:9], *ALL[2:]], "demo:2: expected JSON"),
    "an empty line in the middle": ([*ALL[:2], b"\n", *ALL[2:]], "demo:3: expected JSON"),
    "a part of no case": ([*ALL[:2], b'{"case":"b","status":"ok","part":1,"parts":0}\n', *ALL], "found part 1 of 0"),
    "a part that is a word": ([*ALL[:2], b'{"case":"b","status":"ok","part":"1"}\n', *ALL], "demo:3: expected part"),
    "an unknown status": ([*ALL[:2], b'{"case":"b","status":"good"}\n', *ALL[2:]], "demo:3: expected a status of ok, "),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_WHOLE)
@pytest.mark.parametrize("is_strict", [True, False])
def test_what_no_crash_leaves_is_refused_with_its_line(name: str, is_strict: bool) -> None:
    lines, message = NOT_WHOLE[name]
    with pytest.raises(BenchError) as caught:
        parse_cases(b"".join(lines), "demo", is_strict=is_strict)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_of_version_1_are_cases_of_their_own() -> None:
    data = b'{"case":"a","status":"ok"}\n{"case":"a","status":"ok"}\n{"case":"b","sta'
    found = parse_cases(data, "demo", is_strict=False)
    assert [row["case"] for row in found.rows] == ["a", "a"]
    assert found.notice == "from line 3 on a case was cut off when the run stopped"


def test_the_notice_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "demo.jsonl").write_bytes(b"".join(ALL)[:-3])
    found = read_rows(tmp_path / "demo.jsonl", may_be_cut=True)
    assert found.notice == "demo.jsonl: from line 6 on a case was cut off when the run stopped, and is left out"
    with pytest.raises(BenchError, match=r"demo.jsonl:6: expected JSON"):
        read_rows(tmp_path / "demo.jsonl", may_be_cut=False)


# -- records that were changed -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete run with raw rows, an artefact and a table."""
    run = RunDirectory.create(tmp_path, "smoke", {"machine": {"cpu": "A"}, "experiments": {"demo": {"cases": 2}}})
    for name in ("a", "b"):
        run.append("demo", name, [{"value": 1}, {"value": 2}])
    for name in ("ledgers/a.db", "tables/a.csv"):
        (run.folder / name).parent.mkdir()
        (run.folder / name).write_text(name)
    run.finish("complete")
    run.seal_derived()
    run.release()
    return run.folder


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut_raw(folder: Path, lines: int, more: int = 0) -> None:
    path = folder / "raw" / "demo.jsonl"
    parts = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(parts[:lines]) + parts[lines][:more])


SPOILED = {
    "a row changed": (
        lambda f: (f / "raw/demo.jsonl").write_text((f / "raw/demo.jsonl").read_text().replace("2}", "3}")),
        "demo.jsonl: expected the SHA-256 ", "found another content: it was changed",
    ),
    "a row made no JSON": (
        lambda f: (f / "raw/demo.jsonl").write_text((f / "raw/demo.jsonl").read_text().replace("{", "(", 1)),
        "demo.jsonl: expected the SHA-256 ", "it was changed",
    ),
    "cut in a line": (lambda f: cut_raw(f, 2, 10), "demo.jsonl: expected the SHA-256", "found a truncated file"),
    "cut in a case": (lambda f: cut_raw(f, 3), "demo.jsonl: expected the SHA-256", "found a truncated file"),
    "cut between cases": (lambda f: cut_raw(f, 2), "demo.jsonl: expected the SHA-256", "found a truncated file"),
    "emptied": (lambda f: (f / "raw/demo.jsonl").write_bytes(b""), "demo.jsonl: expected", "found a truncated file"),
    "raw rows gone": (lambda f: (f / "raw/demo.jsonl").unlink(), "demo.jsonl: expected a file", "No such file"),
    "an artefact changed": (lambda f: (f / "ledgers/a.db").write_text("x"), "a.db: expected", "it was changed"),
    "an artefact gone": (lambda f: (f / "ledgers/a.db").unlink(), "a.db: expected a file of a run", "No such file"),
    "raw rows added": (lambda f: (f / "raw/more.jsonl").touch(), "more.jsonl: expected a file that", "it did not"),
    "machine changed": (lambda f: edit_manifest(f, machine={"cpu": "B"}), "manifest.json: expected", "it was changed"),
    "a digest changed": (lambda f: edit_manifest(f, files={}), "manifest.json: expected", "it was changed"),
    "the record's digest gone": (lambda f: edit_manifest(f, record_sha256=None), "expected the record_sha256", "none"),
    "status changed": (lambda f: edit_manifest(f, status="interrupted"), "manifest.json: expected", "it was changed"),
    "newer": (lambda f: edit_manifest(f, schema_version=3), "expected schema_version up to 2, found 3", "newer"),
}  # fmt: skip


def test_a_run_as_it_was_recorded_is_read(folder: Path) -> None:
    validate_record(folder, read_manifest(folder))


def test_what_is_derived_may_change(folder: Path) -> None:
    (folder / "tables" / "a.csv").unlink()
    (folder / "report.md").write_text("new")
    validate_record(folder, read_manifest(folder))


@pytest.mark.parametrize("name", SPOILED)
def test_a_run_that_was_changed_is_refused_with_file_and_reason(folder: Path, name: str) -> None:
    spoil, place, reason = SPOILED[name]
    spoil(folder)
    with pytest.raises(BenchError) as caught:
        validate_record(folder, read_manifest(folder))
    assert str(caught.value).startswith(str(folder))
    assert place in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_single_byte_of_a_measured_file_matters(folder: Path) -> None:
    path = folder / "raw" / "demo.jsonl"
    whole, manifest = path.read_bytes(), read_manifest(folder)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BenchError, match=r"demo\.jsonl: expected the SHA-256"):
            validate_record(folder, manifest)


def test_noise_of_several_sittings_is_the_worst_of_each(folder: Path) -> None:
    noises = [{"steal_share": 0.1, "load_average": [1.0]}, {"steal_share": None}, {"steal_share": 0.05, "more": 2}]
    sittings = [{"noise": noise} for noise in noises]
    calibrations = {"start": {"costs": {"sha256": {}}}, "repeat 0": {"costs": {}}}
    edit_manifest(
        folder, status="running", record_sha256=None, sittings=sittings, calibrations=calibrations, drift={"sign": 1.5}
    )
    manifest = read_manifest(folder)
    assert manifest.noise == {"steal_share": 0.1, "load_average": [1.0], "more": 2}
    assert manifest.calibration == {"costs": {"sha256": {}}, "drift": {"sign": 1.5}}


@pytest.mark.parametrize("sittings", [[1], "many", {"a": 1}])
def test_sittings_that_are_none_are_one_line(folder: Path, sittings: Any) -> None:
    edit_manifest(folder, status="running", record_sha256=None, sittings=sittings)
    with pytest.raises(BenchError, match=r"manifest.json: expected the manifest of a run"):
        read_manifest(folder)
