"""Simulated vital signs: the same seed gives the same bytes, the values are those of a living patient."""

import itertools
import json
import statistics
from collections import defaultdict

import pytest

from bench.errors import BenchError
from bench.workload import vital_signs
from bench.workload.sensor import (
    DIASTOLIC,
    HEART_RATE,
    INTERVAL,
    SATURATION,
    SIGNS,
    START,
    SYSTOLIC,
    TEMPERATURE,
    _reported,
)
from ehrcore.records import RecordKind

#: python -c "from bench.workload import vital_signs; print(vital_signs(3, 40, 7).digest)"
GOLDEN = "17a36634b3ad1dc1b03ace4b4f1e21022dacc052c1072a2dd6e97a997c9f6eba"


def _values(workload):
    """Values by LOINC code, in order."""
    found = defaultdict(list)
    for record in workload.records:
        for part in json.loads(record.body)["component"]:
            found[part["code"]["coding"][0]["code"]].append(part["valueQuantity"]["value"])
    return found


@pytest.fixture(scope="module")
def long_run():
    return vital_signs(8, 2_000, 3)


def test_same_seed_same_digest_on_every_machine():
    assert vital_signs(3, 40, 7).digest == GOLDEN


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_digest_does_not_depend_on_the_hash_seed(hash_seed, print_of):
    code = "from bench.workload import vital_signs; print(vital_signs(3, 40, 7).digest)"
    assert print_of(code, PYTHONHASHSEED=hash_seed).strip() == GOLDEN


def test_seed_changes_the_readings():
    assert vital_signs(1, 5, 1).digest != vital_signs(1, 5, 2).digest


def test_more_patients_and_readings_leave_the_first_ones_alone():
    few = vital_signs(2, 10, 5).records
    many = vital_signs(4, 20, 5).records
    assert [r for r in many if r.patient_id in {"sensor-000000", "sensor-000001"}][:20] == list(few)


def test_readings_arrive_by_instant_and_then_by_patient():
    times = [json.loads(record.body)["effectiveDateTime"] for record in vital_signs(2, 3, 1).records]
    expected = [(START + i * INTERVAL).strftime("%Y-%m-%dT%H:%M:%SZ") for i in range(3)]
    assert times == [moment for moment in expected for _ in range(2)]


def test_each_reading_is_an_observation_of_its_patient_with_every_sign():
    for record in vital_signs(2, 5, 1).records:
        body = json.loads(record.body)
        assert (record.kind, record.resource_type, body["resourceType"]) == (
            RecordKind.SENSOR,
            "Observation",
            "Observation",
        )
        assert body["subject"] == {"reference": f"Patient/{record.patient_id}"}
        assert record.location.startswith("/hospital/report-store/sensor/")
        assert [part["code"]["coding"][0]["code"] for part in body["component"]] == [sign.loinc for sign in SIGNS]


def test_readings_are_valid_fhir():
    from fhir.resources.R4B.observation import Observation

    for record in vital_signs(1, 3, 1).records:
        Observation.model_validate_json(record.body)


def test_bodies_never_repeat(long_run):
    assert len({record.body for record in long_run.records}) == len(long_run.records) == 16_000


def test_values_stay_within_their_limits(long_run):
    values = _values(long_run)
    for sign in SIGNS:
        assert sign.low <= min(values[sign.loinc])
        assert max(values[sign.loinc]) <= sign.high
    pairs = zip(values[SYSTOLIC.loinc], values[DIASTOLIC.loinc], strict=True)
    assert all(upper - lower >= 12 for upper, lower in pairs)
    assert all(round(value, 1) == value for value in values[TEMPERATURE.loinc])


def test_an_instrument_never_reports_a_pulse_pressure_below_its_least():
    assert _reported([74.4, 97.2, 15, 80, 100, 36.66]) == [74, 97, 15, 80, 68, 367]
    assert _reported([500, 500, 500, 500, 500, 500]) == [210, 100, 45, 230, 130, 420]


def test_values_rest_near_their_means(long_run):
    values = _values(long_run)
    for sign in SIGNS:
        assert abs(statistics.median(values[sign.loinc]) - sign.mean) < 1.5 * sign.spread


def test_strain_moves_the_signs_together():
    values = _values(vital_signs(1, 4_000, 3))
    # Over ten readings, so that rounding to whole beats and percents does not drown the movement.
    moved = {sign: [b - a for a, b in zip(series, series[10:], strict=False)] for sign, series in values.items()}
    heart = moved[HEART_RATE.loinc]
    assert statistics.correlation(heart, moved[SYSTOLIC.loinc]) > 0.3
    assert statistics.correlation(heart, moved[SATURATION.loinc]) < -0.3


def test_the_walk_is_a_walk_and_not_noise():
    series = _values(vital_signs(1, 2_000, 3))[HEART_RATE.loinc]
    assert statistics.correlation(series[:-1], series[1:]) > 0.9
    assert max(abs(b - a) for a, b in itertools.pairwise(series)) < 15


def test_episodes_happen(long_run):
    values = _values(long_run)
    assert min(values[SATURATION.loinc]) < 92
    assert max(values[TEMPERATURE.loinc]) > 38


@pytest.mark.parametrize(
    ("patients", "readings", "name"), [(0, 1, "patients"), (1, 0, "readings"), (-5, 1, "patients")]
)
def test_counts_below_one_are_refused_by_name(patients, readings, name):
    with pytest.raises(BenchError, match=f"^{name}: expected at least 1, found"):
        vital_signs(patients, readings, 0)
