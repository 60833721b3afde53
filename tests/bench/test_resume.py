"""A run that was stopped goes on: wherever it was stopped, nothing is lost, done twice or mixed."""

import json
import os
import re
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import run as module
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments.base import Case, Row
from bench.measure.calibrate import Calibration, Measured
from bench.record import RunDirectory
from bench.report.load import parse_cases, read_manifest, validate_record
from ehrcore.drive.cost import EXAMPLE

ENVIRONMENT = {
    "machine": {"cpu": "A", "cpu_flags": ["aes", "sha_ni"], "clock_step_ns": 50},
    "versions": {"python": "3.11.7", "packages": {"numpy": "2.0", "scipy": "1.0"}},
    "git": {"commit": "c0ffee" * 7, "is_dirty": False, "lock_sha256": "ab" * 32},
}


class Site:
    """Two experiments that use all that a run keeps: files, shared unit costs, failures, a follow-up."""

    def __init__(self, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lab, self.executed, self.costs = lab, Counter[str](), iter(range(1, 10_000))
        self.environment = json.loads(json.dumps(ENVIRONMENT))
        lab.add("a", self.keep, cases=3, follow_up=self.follow)
        lab.add("b", self.price, cases=4)
        monkeypatch.setattr(module, "describe_environment", lambda: self.environment)
        monkeypatch.setattr("bench.measure.calibrate.calibrate", self.calibrate)

    def calibrate(self, *_: Any) -> Calibration:
        """Other costs each time, as on a real machine."""
        return Calibration({"sha256": EXAMPLE}, EXAMPLE, (Measured("sign", float(next(self.costs)), 0.1),))

    def keep(self, context: Context, case: Case) -> list[Row]:
        self.executed[case.label] += 1
        (context.folder / "kept").mkdir(exist_ok=True)
        with (context.folder / "kept" / f"{case.label}.bin").open("xb") as file:  # refuses what an earlier try has left
            file.write(case.label.encode())
        return [{"value": case.settings["number"] + part / 10} for part in range(3)]

    def follow(self, scenario: Any, rows: list[Row]) -> list[Case]:
        return [Case(f"follow-{row['value']}", "a", {"number": 10 * row["value"]}) for row in rows if row["part"] == 2]

    def price(self, context: Context, case: Case) -> list[Row]:
        """Two cases per label share unit costs; one case fails, always."""
        self.executed[case.label] += 1
        if case.settings["number"] == 1:
            raise BenchError("blocks that split")
        label = f"repeat {case.settings['number'] // 2}"
        return [{"label": label, "cost": context.calibrate(label).measured[0].median_ns}]

    def check(self, folder: Path, *, of: dict[str, int] | None = None) -> None:
        """The run in ``folder`` is complete and whole, and each case (``of`` those that were executed) ran once."""
        manifest = read_manifest(folder)
        validate_record(folder, manifest)
        assert manifest.is_complete
        rows = {name: self.lab.rows(name, folder) for name in "ab"}
        follow = ["follow-0.1", "follow-1.1", "follow-2.1"]
        assert [row["case"] for row in rows["a"]] == [c for c in ["a-0", "a-1", "a-2", *follow] for _ in range(3)]
        assert [row["status"] for row in rows["b"]] == ["ok", "failed", "ok", "ok"]
        for label in ("repeat 0", "repeat 1"):
            costs = {row["cost"] for row in rows["b"] if row.get("label") == label}
            held = json.loads((folder / "manifest.json").read_text())["calibrations"][label]
            assert costs == {held["measured"][0]["median_ns"]}, "one calibration per label, before and after the stop"
        found = {name: (item.cases, item.failed, item.status) for name, item in manifest.experiments.items()}
        assert found == {"a": (6, 0, "complete"), "b": (4, 1, "complete")}
        kept = {path.stem: path.read_text() for path in (folder / "kept").iterdir()}
        assert kept == {name: name for name in ["a-0", "a-1", "a-2", *follow]}
        assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
        if of is not None:
            assert dict(self.executed) == of


@pytest.fixture
def site(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(lab, monkeypatch)


def whole_cases(folder: Path) -> Counter[str]:
    """Cases whose rows are all in the raw files."""
    files = (folder / "raw").glob("*.jsonl")
    return Counter({row["case"] for path in files for row in parse_cases(path.read_bytes(), "", is_strict=False).rows})


ALL = dict.fromkeys(("a-0", "a-1", "a-2", "follow-0.1", "follow-1.1", "follow-2.1", "b-0", "b-1", "b-2", "b-3"), 1)


def test_a_run_that_is_not_stopped(site: Site) -> None:
    site.lab.run("a", "b")
    site.check(site.lab.folder, of=ALL)


# -- every moment at which a run can be killed -------------------------------------------------------------------


def test_a_run_killed_at_any_moment_goes_on(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on the disk at each durable write, and in each engine, is what a kill -9 then would leave."""
    shots, sync = tmp_path / "shots", os.fsync

    def shoot() -> None:
        shutil.copytree(site.lab.folder, shots / f"{len(list(shots.glob('*'))):03d}")

    def sync_and_shoot(descriptor: int) -> None:
        sync(descriptor)
        if (site.lab.folder / "manifest.json").exists():
            shoot()

    def shoot_after(engine: Any, *given: Any) -> list[Row]:
        found: list[Row] = engine(*given)
        shoot()
        return found

    for name, engine in list(site.lab.engines.items()):
        site.lab.engines[name] = partial(shoot_after, engine)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sync_and_shoot)
        site.lab.run("a", "b").run.release()
    taken = sorted(shots.iterdir())
    assert len(taken) > 40
    complete = [shot for shot in taken if json.loads((shot / "manifest.json").read_text())["status"] == "complete"]
    for shot in taken:
        if shot in complete:
            with pytest.raises(BenchError, match="expected a run of this version that was stopped, found a complete"):
                site.lab.resume(shot)
            continue
        done = whole_cases(shot)
        site.executed.clear()
        site.lab.resume(shot).run.release()
        site.check(shot, of={name: count for name, count in ALL.items() if name not in done})


def stop_at(engine: Any, number: int, error: BaseException | None = None) -> Any:
    def stopping(context: Context, case: Case) -> list[Row]:
        if case.settings["number"] == number:
            raise error or KeyboardInterrupt
        found: list[Row] = engine(context, case)
        return found

    return stopping


def spoil(folder: Path, **changes: Any) -> None:
    """Make the manifest that of a run that was killed, with changes by section."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content |= {"status": "running", "finished": None, "record_sha256": None, "files": {}}
    for name, change in changes.items():
        content[name] = content[name] | change if isinstance(change, dict) else change
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", ["a", "b"])
def test_rows_that_were_cut_are_cut_off_and_measured_again(site: Site, name: str, share: float) -> None:
    site.lab.engines["b"] = stop_at(site.price, 3)
    site.lab.run("a", "b").run.release()
    spoil(site.lab.folder)
    path = site.lab.folder / "raw" / f"{name}.jsonl"
    data = path.read_bytes()
    last = parse_cases(data, "", is_strict=True).rows[-1]
    begin = len(b"".join(line for line in data.splitlines(keepends=True) if json.loads(line)["case"] != last["case"]))
    path.write_bytes(data[: begin + max(round(share * (len(data) - begin)), 1)])
    site.executed.clear()
    site.lab.engines["b"] = site.price
    site.lab.resume().run.release()
    site.check(site.lab.folder, of={last["case"]: 1, "b-3": 1})
    assert any(line.startswith(f"{name}.jsonl: from line ") for line in site.lab.notes.lines), "it is said"
    if name == "a":
        assert "kept/follow-2.1.bin is removed: the case that wrote it was cut off" in site.lab.notes.lines


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("a bug")])
@pytest.mark.parametrize("number", range(4))
def test_an_interrupt_or_a_bug_is_no_end(site: Site, number: int, error: BaseException) -> None:
    site.lab.engines["b"] = stop_at(site.price, number, error)
    if isinstance(error, KeyboardInterrupt):
        outcome = site.lab.run("a", "b")
        assert outcome.is_interrupted
        outcome.run.release()
    else:
        with pytest.raises(ZeroDivisionError):
            site.lab.run("a", "b")
    assert site.lab.manifest["status"] == ("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
    site.lab.engines["b"] = site.price
    site.lab.resume()
    site.check(site.lab.folder, of=ALL)
    assert len(site.lab.manifest["sittings"]) == 2
    assert all(sitting["noise"]["load_average"] for sitting in site.lab.manifest["sittings"])


def test_a_run_may_be_stopped_many_times(site: Site) -> None:
    for number in range(4):
        site.lab.engines["b"] = stop_at(site.price, number)
        outcome = site.lab.resume() if number else site.lab.run("a", "b")
        outcome.run.release()
    site.lab.engines["b"] = site.price
    site.lab.resume()
    site.check(site.lab.folder, of=ALL)
    assert len(site.lab.manifest["sittings"]) == 5


def test_drift_is_that_of_all_sittings(site: Site) -> None:
    site.lab.engines["b"] = stop_at(site.price, 2)
    site.lab.run("b").run.release()
    site.lab.engines["b"] = site.price
    site.lab.resume()
    costs = [item["measured"][0]["median_ns"] for item in site.lab.manifest["calibrations"].values()]
    assert site.lab.manifest["drift"] == {"sign": max(costs) / min(costs)}
    assert len(costs) == 2


def test_a_note_of_the_users_stays(site: Site) -> None:
    site.lab.engines["b"] = stop_at(site.price, 2)
    site.lab.run("a", "b").run.release()
    (site.lab.folder / "notes.txt").write_text("mine")
    spoil(site.lab.folder)
    site.lab.engines["b"] = site.price
    site.lab.resume()
    assert (site.lab.folder / "notes.txt").read_text() == "mine"


# -- what does not go on -----------------------------------------------------------------------------------------


@pytest.fixture
def stopped(site: Site) -> Site:
    site.lab.engines["b"] = stop_at(site.price, 2)
    site.lab.run("a", "b").run.release()
    site.lab.engines["b"] = site.price
    site.executed.clear()
    return site


UNLIKE = {
    "another processor": ({"machine": {"cpu": "B"}}, "machine.cpu: B -> A"),
    "a flag less": ({"machine": {"cpu_flags": ["aes", "avx2", "sha_ni"]}}, "machine.cpu_flags: -avx2"),
    "a flag more": ({"machine": {"cpu_flags": ["aes"]}}, "machine.cpu_flags: +sha_ni"),
    "another Python": ({"versions": {"python": "3.12.0"}}, "versions.python: 3.12.0 -> 3.11.7"),
    "another package": ({"versions": {"packages": {"numpy": "1.0", "scipy": "1.0"}}}, "numpy: 1.0 -> 2.0"),
    "a package more": ({"versions": {"packages": {"numpy": "2.0"}}}, "scipy: nothing -> 1.0"),
    "another commit": ({"git": {"commit": "d" * 42}}, "git.commit: dddddddddddd… -> c0ffeec0ffee…"),
    "a changed tree": ({"git": {"is_dirty": True}}, "git.is_dirty: True -> False"),
    "another lock": ({"git": {"lock_sha256": "cd" * 32}}, "git.lock_sha256: cdcdcdcdcdcd… -> abababababab…"),
    "other records": ({"workload": {"digest": "ef" * 32}}, "workload.digest: efefefefefef… -> "),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_other_conditions_are_refused_and_named(stopped: Site, name: str) -> None:
    changes, expected = UNLIKE[name]
    spoil(stopped.lab.folder, **changes)
    refuse(stopped, f"expected to go on under the conditions of its begin, found: .*{re.escape(expected)}")


def refuse(site: Site, message: str) -> None:
    """Going on is refused in one line, and nothing is changed."""
    before = {path: path.read_bytes() for path in site.lab.folder.rglob("*") if path.is_file()}
    with pytest.raises(BenchError, match=message) as caught:
        site.lab.resume()
    assert "\n" not in str(caught.value)
    assert not site.executed
    assert {path: path.read_bytes() for path in site.lab.folder.rglob("*") if path.is_file()} == before


def test_the_code_itself_must_be_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tree that was changed twice, commit and dirty bit are the same."""
    monkeypatch.setattr(module, "__file__", str(tmp_path / "bench" / "run.py"))
    digests = []
    for name, content in (
        ("bench/a.py", "1"),
        ("bench/a.py", "2"),
        ("ehrcore/b.toml", ""),
        ("bench/a.pyc", ""),
        ("c.py", ""),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
        digests.append(module._digest_code())
    assert len(set(digests)) == 3
    assert len(set(digests[2:])) == 1, "neither byte code nor what is outside counts"


def test_many_differences_are_one_line(stopped: Site) -> None:
    packages = {f"package-{number}": "1.0" for number in range(40)}
    spoil(stopped.lab.folder, versions={"packages": packages}, machine={"cpu": "B"})
    refuse(stopped, r"found: machine.cpu: B -> A; .*; and \d+ more$")


def test_what_is_measured_anew_each_time_is_no_difference(stopped: Site) -> None:
    spoil(stopped.lab.folder, machine={"clock_step_ns": 51})
    stopped.lab.resume()
    stopped.check(stopped.lab.folder)


def test_a_run_at_work_is_refused(stopped: Site) -> None:
    held = RunDirectory.load(stopped.lab.folder)
    refuse(stopped, "expected a run that nobody writes, found another process at work on it")
    held.release()
    stopped.lab.resume()


def test_a_refusal_does_not_hold_the_run(stopped: Site) -> None:
    stopped.environment["machine"]["cpu"] = "B"
    refuse(stopped, "machine.cpu: A -> B")
    stopped.environment["machine"]["cpu"] = "A"
    stopped.lab.resume()
    stopped.check(stopped.lab.folder)


def test_a_run_of_version_1_is_refused(stopped: Site) -> None:
    spoil(stopped.lab.folder, schema_version=1)
    refuse(stopped, "expected a run of this version that was stopped, found one of schema_version 1")


def test_rows_changed_after_the_interrupt_are_refused(stopped: Site) -> None:
    path = stopped.lab.folder / "raw" / "a.jsonl"
    path.write_bytes(path.read_bytes().replace(b"1.1", b"1.2"))
    refuse(stopped, r"a\.jsonl: expected the SHA-256 .* found another content: it was changed")


def test_rows_that_no_crash_leaves_are_refused(stopped: Site) -> None:
    path = stopped.lab.folder / "raw" / "a.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    spoil(stopped.lab.folder)
    refuse(stopped, r"a\.jsonl:1: expected part 1 of 3 of case 'a-0', found part 2 of 3")


@pytest.mark.parametrize("what", [{"start": {"costs": 1}}, {"repeat 0": {}}, ["repeat 0"]])
def test_unit_costs_that_are_none_are_refused(stopped: Site, what: Any) -> None:
    spoil(stopped.lab.folder, calibrations=what)
    refuse(stopped, "manifest.json: ")


def test_a_scenario_that_cannot_be_is_refused(stopped: Site) -> None:
    spoil(stopped.lab.folder, scenario={"budget_s": -1})
    refuse(stopped, r"manifest.json: scenario: Expected `float` > 0.0 - at `\$.budget_s`")


def test_an_artefact_that_is_gone_is_refused(stopped: Site) -> None:
    (stopped.lab.folder / "kept" / "a-1.bin").unlink()
    spoil(stopped.lab.folder)
    refuse(stopped, r"kept/a-1.bin: expected a file of a run, found nothing")
