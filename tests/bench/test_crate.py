"""A run's crate: it describes every file of the run, rightly, refers to nothing that is not there, and has no clock."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.record import RunDirectory
from bench.report.crate import CONTEXT, FILE, PAPER, PROFILE, render_crate

ROOT = Path(__file__).parents[2]
CONTENT = {
    "seed": "a seed",
    "machine": {"cpu": "A <fast> CPU", "cpu_flags": ["aes", "sha_ni"], "governor": None},
    "versions": {
        "python": "3.11.7",
        "python_build": {"has_gil": True},
        "packages": {"ehrbench": "0.1.0", "numpy": "2"},
    },
    "git": {"commit": "c0ffee" * 6 + "c0de", "is_dirty": True, "code_sha256": "cd" * 32},
    "workload": {"source": "three patients", "digest": "ab" * 32, "records": 3},
    "experiments": {"demo": {"status": "complete", "cases": 1, "artefacts": {"a": ["ledgers/c d.db"]}}},
}


@pytest.fixture
def run(tmp_path: Path, demo: Any, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A complete run of the experiment `demo`, with a table, a figure and a ledger."""
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: demo)
    made = RunDirectory.create(tmp_path, "smoke", json.loads(json.dumps(CONTENT)))
    made.append("demo", "a", [{"value": 1}])
    names = (
        "ledgers/c d.db",
        "tables/speeds.csv",
        "tables/speeds.tex",
        "figures/speeds.svg",
        "report.html",
        "claims.json",
    )
    for name in names:
        path = made.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    made.finish("complete")
    made.seal_derived()
    yield made
    made.release()


def read(folder: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    assert content["@context"] == CONTEXT
    found = {item["@id"]: item for item in content["@graph"]}
    assert len(found) == len(content["@graph"]), "no two entities of one id"
    return found


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {value["@id"]} if [*value] == ["@id"] else set().union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def check(folder: Path) -> dict[str, dict[str, Any]]:
    """What has to hold of any crate; returns its entities."""
    graph = read(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    listed = {item["@id"].replace("%20", " "): item for item in graph.values() if item["@type"] == "File"}
    assert {*listed, FILE} == {*files}
    for name, item in listed.items():
        if name != "manifest.json":
            assert item["sha256"] == hashlib.sha256(files[name].read_bytes()).hexdigest() == manifest["files"][name]
            assert item["contentSize"] == str(files[name].stat().st_size)
        assert item["encodingFormat"] != "application/octet-stream"
        assert len(item["description"]) > 10
    dangling = set().union(*(references(item) for item in graph.values())) - {*graph}
    assert dangling == {"https://w3id.org/ro/crate/1.1"}
    parts = {item["@id"] for item in graph["./"]["hasPart"]}
    assert parts == {item["@id"] for item in listed.values()} == {item["@id"] for item in graph["#run"]["result"]}
    return graph


def test_every_file_is_described_with_its_digest_and_nothing_dangles(run: RunDirectory) -> None:
    graph = check(run.folder)
    assert graph["ledgers/c%20d.db"]["description"] == "Kept by case a of demo besides its rows."
    assert graph["figures/speeds.svg"]["description"] == "Speed of each library (measured)."
    assert graph["raw/demo.jsonl"]["description"].startswith("Raw rows of demo")
    assert graph["manifest.json"]["identifier"] == run.manifest["record_sha256"]


def test_the_run_is_an_action_of_the_software_upon_scenario_and_records(run: RunDirectory) -> None:
    graph = read(run.folder)
    root, action = graph["./"], graph["#run"]
    assert graph[FILE]["about"] == {"@id": "./"}
    assert (root["conformsTo"], root["mentions"]) == ({"@id": PROFILE}, {"@id": "#run"})
    assert root["datePublished"] == run.manifest["finished"] == action["endTime"]
    assert action["startTime"] == run.manifest["started"]
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert "agent" not in action
    software = graph[action["instrument"]["@id"]]
    assert (software["@id"], software["version"]) == (f"swh:1:rev:{CONTENT['git']['commit']}", "0.1.0")
    assert "tracked files were changed since" in software["description"]
    assert [graph[item["@id"]]["name"] for item in action["object"]] == ["scenario", "the records of the run"]
    assert graph["#workload"]["sha256"] == "ab" * 32
    environment = {graph[item["@id"]]["name"]: graph[item["@id"]]["value"] for item in action["environment"]}
    assert environment == {
        "machine.cpu": "A <fast> CPU", "machine.cpu_flags": "aes, sha_ni", "versions.python": "3.11.7",
        "versions.python_build.has_gil": "True",
    }  # fmt: skip
    assert {graph[graph[PAPER]["license"]["@id"]]["name"], graph[root["license"]["@id"]]["name"]} == {
        "CC BY 4.0", "Apache License 2.0",
    }  # fmt: skip


def test_columns_have_names_and_units(run: RunDirectory) -> None:
    graph = read(run.folder)
    columns = [graph[item["@id"]] for item in graph["tables/speeds.csv"]["variableMeasured"]]
    assert [item["name"] for item in columns] == ["library", "is_native", "speed", "note"]
    assert columns[2] == {
        "@id": "#tables/speeds.csv/speed", "@type": "PropertyValue", "name": "speed", "description": "Speed",
        "unitText": "MB/s",
    }  # fmt: skip
    assert "variableMeasured" not in graph["tables/speeds.tex"]


def test_it_is_sealed_and_made_again_with_the_same_bytes(run: RunDirectory) -> None:
    before = (run.folder / FILE).read_bytes()
    assert run.manifest["files"][FILE] == hashlib.sha256(before).hexdigest()
    (run.folder / FILE).unlink()
    run.seal_derived()
    assert (run.folder / FILE).read_bytes() == before
    record = run.manifest["record_sha256"]
    (run.folder / "tables" / "speeds.tex").unlink()
    (run.folder / "tables" / "speeds.csv").write_text("other")
    run.seal_derived()
    assert "tables/speeds.tex" not in check(run.folder)
    assert run.manifest["record_sha256"] == record


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [("interrupted", "FailedActionStatus", "interrupted"), ("failed", "FailedActionStatus", "failed"),
     ("running", "ActiveActionStatus", None)],
)  # fmt: skip
def test_a_run_that_stopped_says_so(run: RunDirectory, status: str, said: str, error: str | None) -> None:
    if status == "running":
        run.reopen()  # as a run that was killed: nothing is sealed
    else:
        run.finish(status)  # type: ignore[arg-type]
    run.seal_derived()
    graph = read(run.folder)
    assert graph["#run"]["actionStatus"].endswith(said)
    assert graph["#run"].get("error") == error
    assert {"raw/demo.jsonl", "ledgers/c%20d.db", "report.html"} <= {*graph}


def test_a_copy_without_git_is_no_commit(run: RunDirectory) -> None:
    text = render_crate(run.manifest | {"git": {"commit": None, "archive": "ehrbench 0.1.0 of commit abc"}}, {}, {})
    (software,) = (item for item in json.loads(text)["@graph"] if item["@type"] == "SoftwareApplication")
    assert software["@id"] == "#software"
    assert software["description"].startswith("ehrbench 0.1.0 of commit abc")


SCRIPT = """
import json, sys
from bench.report.crate import render_crate
manifest = json.load(open(sys.argv[1]))
sys.stdout.reconfigure(encoding="utf-8")
print(render_crate(manifest, manifest["files"], dict.fromkeys(manifest["files"], 1)), end="")
"""


@pytest.mark.slow
def test_hash_seed_locale_and_time_zone_change_nothing() -> None:
    """Of the reference run, whose experiments are the suite's own."""
    words = [sys.executable, "-c", SCRIPT, str(ROOT / "results" / "reference" / "manifest.json")]
    settings = ({"PYTHONHASHSEED": "1", "TZ": "UTC"}, {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C"})
    made = [
        subprocess.run(words, cwd=ROOT, env={"PYTHONPATH": str(ROOT), **each}, capture_output=True, check=True).stdout
        for each in settings
    ]
    assert made[0] == made[1]
    assert b"#tables/hashes.csv/ratio_low" in made[0]


def test_the_crate_of_the_reference_is_right(tmp_path: Path) -> None:
    """As it is kept: nobody has to make it again to trust it."""
    shutil.copytree(ROOT / "results" / "reference", tmp_path / "run")
    assert {"framework", "hashes"} <= {Path(name).stem for name in check(tmp_path / "run") if name.startswith("raw/")}
