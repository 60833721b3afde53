"""Where the records come from: synthetic patients, anybody's FHIR files, or simulated sensors."""

from bench.workload.cache import CACHE_VARIABLE, default_cache
from bench.workload.fhir import load_folder
from bench.workload.model import SizeRow, Skipped, Workload, build_workload, compute_digest
from bench.workload.sensor import vital_signs
from bench.workload.sources import add_source, find_source
from bench.workload.synthetic import synthesise
from ehrcore.records import make_record

__all__ = [
    "CACHE_VARIABLE",
    "SizeRow",
    "Skipped",
    "Workload",
    "add_source",
    "build_workload",
    "compute_digest",
    "default_cache",
    "find_source",
    "load_folder",
    "make_record",
    "synthesise",
    "vital_signs",
]
