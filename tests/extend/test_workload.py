"""The examples of numbers of nodes and of records: a scenario, a generator, a folder."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.engines.framework import found, run_framework
from bench.errors import BenchError
from bench.experiments import find_experiment
from bench.experiments.base import Case
from bench.run import load_workload
from bench.scenario import load_scenario
from bench.workload import load_folder
from ehrcore.params import Topology
from ehrcore.records import RecordKind
from tests.extend.support import EXAMPLES, context


def test_a_topology_is_a_list_in_a_scenario(tmp_path) -> None:
    made = context(tmp_path, "topology.toml")
    topology = found(made).params.topology
    assert topology == Topology(5, 5, 10, 6, visitors=2)
    assert made.scenario.variants.topology == [5, 5, 10, 6]
    cells = [case for case in find_experiment("variants").cases(made.scenario) if "topology" in case.settings]
    assert {tuple(case.settings["topology"]) for case in cells} == {(2, 2, 4, 1), (3, 3, 7, 2), (5, 5, 10, 6)}
    assert [2, 2, 7, 3] in made.scenario.load.topologies


@pytest.mark.slow
def test_the_larger_network_works_end_to_end(tmp_path) -> None:
    made = context(tmp_path, "topology.toml")
    few = msgspec.structs.replace(made.scenario.framework, transactions=6)
    made.scenario = msgspec.structs.replace(made.scenario, framework=few)
    rows = run_framework(made, Case("end-to-end", "framework"))
    assert all(row["holds"] for row in rows if row["kind"] == "check")


def load_records(scenario: Any, records: Path | None = None) -> Any:
    experiments = [find_experiment("framework")]
    return load_workload(scenario, experiments, records, is_strict=True, say=lambda _: None)


def test_a_generator_gives_the_records_of_its_seed(load) -> None:
    load("workload")
    scenario = load_scenario("smoke", EXAMPLES / "workload.toml")
    found = [load_records(scenario) for _ in range(2)]
    assert found[0].digest == found[1].digest
    assert found[0].source.startswith("glucose: seed 7; simulated vital signs")
    own = [record for record in found[0].records if record.patient_id.startswith("glucose-")]
    assert len(own) == 20 * 12
    assert {json.loads(record.body)["resourceType"] for record in own} == {"Observation"}
    with pytest.raises(BenchError, match="--records: expected it without a source in"):
        load_records(scenario, EXAMPLES / "records")


def test_a_source_without_its_extension_is_named() -> None:
    with pytest.raises(BenchError, match="workload.toml: workload source: expected one of none, for no extension"):
        load_scenario("smoke", EXAMPLES / "workload.toml")


def test_a_folder_of_fhir_is_a_workload() -> None:
    found = load_folder(EXAMPLES / "records", strict=True)
    kinds = {record.kind for record in found.records}
    assert kinds == {RecordKind.BIRTH, RecordKind.DIAGNOSTIC_REPORT, RecordKind.MEDICATION, RecordKind.BILL}
