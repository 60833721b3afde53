"""Simulated vital signs: the sensor streams that the paper's abstract has signed with ECDSA.

Each patient has a baseline and a state of six numbers that wander around it.  A reading moves every sign towards
its target (a mean-reverting walk) and shakes it by noise of which a part, the patient's momentary strain, is common
to all signs: heart rate, breathing and pressure rise together while oxygen saturation falls.  Now and then an
episode (fever, desaturation, hypertension) shifts the targets for a while.

Only sums, products and square roots of `random.random` enter, which IEEE 754 rounds exactly, and no logarithm, sine or
power of the platform's mathematics library: the same seed gives the same bytes on every machine.  Signing is left to
whoever submits the readings.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from bench.workload.model import Workload, build_workload, require_range
from ehrcore.records import ClinicalRecord, RecordKind, make_record

#: Instant of the first reading of each patient, and the time between two.
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
INTERVAL: Final = timedelta(seconds=10)

#: Share of the way to its target that a sign goes in one reading.
_REVERSION: Final = 0.08
_EPISODE_CHANCE: Final = 1 / 250
_EPISODE_READINGS: Final = (30, 120)


@dataclass(frozen=True, slots=True)
class VitalSign:
    """One sign as FHIR codes it (LOINC, UCUM), its resting mean and spread, and how it moves.

    ``noise`` is the standard deviation of one step; ``strain`` in [-1, 1] is the share of the noise that it has in
    common with the others (negative: falls when they rise).  Values stay within ``low`` to ``high`` and are
    reported as whole multiples of ``1 / per_unit``.
    """

    loinc: str
    display: str
    unit: str
    ucum: str
    mean: float
    spread: float
    noise: float
    strain: float
    low: float
    high: float
    per_unit: int = 1


#: Resting means and limits for adults, as in the usual early-warning charts (NEWS2, Royal College of Physicians 2017).
HEART_RATE: Final = VitalSign("8867-4", "Heart rate", "beats/minute", "/min", 74, 8, 1.6, 0.8, 30, 210)
SATURATION: Final = VitalSign(
    "59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", "%", "%", 97, 0.8, 0.35, -0.6, 70, 100
)
BREATHING: Final = VitalSign("9279-1", "Respiratory rate", "breaths/minute", "/min", 15, 1.5, 0.5, 0.7, 6, 45)
SYSTOLIC: Final = VitalSign(
    "8480-6", "Systolic blood pressure", "millimeter of mercury", "mm[Hg]", 122, 11, 1.8, 0.75, 70, 230
)
DIASTOLIC: Final = VitalSign(
    "8462-4", "Diastolic blood pressure", "millimeter of mercury", "mm[Hg]", 77, 6, 1.3, 0.7, 40, 130
)
TEMPERATURE: Final = VitalSign("8310-5", "Body temperature", "degree Celsius", "Cel", 36.7, 0.2, 0.03, 0.2, 34, 42, 10)
SIGNS: Final = (HEART_RATE, SATURATION, BREATHING, SYSTOLIC, DIASTOLIC, TEMPERATURE)

#: By how much an episode moves the targets, in the order of `SIGNS`.
_EPISODES: Final = (
    (22.0, -1.5, 5.0, -4.0, -3.0, 2.1),  # fever
    (18.0, -10.0, 9.0, 6.0, 3.0, 0.0),  # desaturation
    (8.0, -0.5, 1.0, 48.0, 22.0, 0.0),  # hypertensive crisis
    (-24.0, -1.0, -1.0, -22.0, -12.0, 0.0),  # vasovagal faint
)
_REST: Final = (0.0,) * len(SIGNS)
#: Two pressures nearer than this are no pulse but a slipped cuff.
_LEAST_PULSE_PRESSURE: Final = 12


def vital_signs(patients: int, readings: int, seed: int) -> Workload:
    """``readings >= 1`` of each of ``patients >= 1``, as they arrive: all of one instant, then those of the next.

    Patient i's stream depends on the seed and i alone, so more patients or readings never change those before.
    Raises `BenchError` for a count below 1.
    """
    require_range("patients", patients, 1)
    require_range("readings", readings, 1)
    streams = [_stream(patient, random.Random(f"vital-signs/{seed}/{patient}")) for patient in range(patients)]
    records = (next(stream) for _ in range(readings) for stream in streams)
    source = f"simulated vital signs: {patients} patients, {readings} readings, seed {seed}"
    return build_workload(records, source)


def _stream(patient: int, rng: random.Random) -> Iterator[ClinicalRecord]:
    """Readings of one patient, without end."""
    baseline = [sign.mean + sign.spread * _normal(rng) for sign in SIGNS]
    values = list(baseline)
    shift, left, index = _REST, 0, 0
    while True:
        yield _record(patient, index, _reported(values))
        if left == 0:
            shift = _REST
            if rng.random() < _EPISODE_CHANCE:
                shift, left = rng.choice(_EPISODES), rng.randint(*_EPISODE_READINGS)
        left = max(0, left - 1)
        values = _step(values, [rest + by for rest, by in zip(baseline, shift, strict=True)], rng)
        index += 1


def _step(values: list[float], targets: list[float], rng: random.Random) -> list[float]:
    """One step of the walk of all signs towards their targets, within their limits."""
    common = _normal(rng)
    moved = []
    for sign, value, target in zip(SIGNS, values, targets, strict=True):
        own = math.sqrt(1 - sign.strain * sign.strain)
        noise = sign.noise * (sign.strain * common + own * _normal(rng))
        moved.append(min(sign.high, max(sign.low, value + _REVERSION * (target - value) + noise)))
    return moved


def _reported(values: list[float]) -> list[int]:
    """Values as an instrument reports them: whole multiples of each sign's resolution."""
    whole = {
        sign: round(min(sign.high, max(sign.low, value)) * sign.per_unit)
        for sign, value in zip(SIGNS, values, strict=True)
    }
    whole[DIASTOLIC] = min(whole[DIASTOLIC], whole[SYSTOLIC] - _LEAST_PULSE_PRESSURE)
    return [whole[sign] for sign in SIGNS]


def _record(patient: int, index: int, values: list[int]) -> ClinicalRecord:
    name = f"sensor-{patient:06d}"
    body = msgspec.json.encode(_observation(name, index, values))
    return make_record(RecordKind.SENSOR, name, "Observation", body)


def _observation(name: str, index: int, values: list[int]) -> dict[str, Any]:
    """A FHIR R4 `Observation` with one component a sign, members in the order of the specification."""
    return {
        "resourceType": "Observation",
        "id": f"{name}-{index:08d}",
        "status": "final",
        "category": [{"coding": [_coding("vital-signs", "Vital Signs", _CATEGORY)]}],
        "code": {"coding": [_coding("85353-1", _PANEL)]},
        "subject": {"reference": f"Patient/{name}"},
        "effectiveDateTime": (START + index * INTERVAL).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": {"reference": f"Device/monitor-{name}"},
        "component": [_component(sign, value) for sign, value in zip(SIGNS, values, strict=True)],
    }


_PANEL: Final = "Vital signs, weight, height, head circumference, oxygen saturation and BMI panel"
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"


def _component(sign: VitalSign, value: int) -> dict[str, Any]:
    amount = value if sign.per_unit == 1 else value / sign.per_unit
    quantity = {"value": amount, "unit": sign.unit, "system": "http://unitsofmeasure.org", "code": sign.ucum}
    return {"code": {"coding": [_coding(sign.loinc, sign.display)]}, "valueQuantity": quantity}


def _coding(code: str, display: str, system: str = "http://loinc.org") -> dict[str, str]:
    return {"system": system, "code": code, "display": display}


def _normal(rng: random.Random) -> float:
    """Nearly normal, mean 0 and deviation 1: the sum of twelve uniform numbers less six (Irwin and Hall, 1927)."""
    total = -6.0
    for _ in range(12):
        total += rng.random()
    return total
