"""Records of one's own making: glucose monitors, as FHIR R4 Observations."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench.scenario import Workload
from bench.workload import add_source
from ehrcore.records import ClinicalRecord, RecordKind, make_record

START = datetime(2024, 1, 1, tzinfo=UTC)
INTERVAL = timedelta(minutes=5)
READINGS = 12


def monitor_glucose(plan: Workload) -> Iterator[ClinicalRecord]:
    """An hour of ``plan.population`` patients; the seed determines every byte."""
    for patient in range(plan.population):
        chance = random.Random(f"glucose/{plan.seed}/{patient}")
        level = chance.uniform(4.5, 7.5)
        for index in range(READINGS):
            level = min(max(level + chance.uniform(-0.4, 0.4), 2.5), 20.0)
            observation = {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "15074-8", "display": "Glucose"}]},
                "subject": {"reference": f"Patient/glucose-{patient}"},
                "effectiveDateTime": (START + index * INTERVAL).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "valueQuantity": {"value": round(level, 1), "unit": "mmol/L", "system": "http://unitsofmeasure.org"},
            }
            yield make_record(RecordKind.SENSOR, f"glucose-{patient}", "Observation", json.dumps(observation).encode())


add_source("glucose", monitor_glucose)
