"""A small run on disk, of an experiment that is not one of the suite's."""

import json

import pytest

from bench.experiments.base import Column, Experiment, Figure, Table


def _build_speeds(raw):
    return raw[["library", "is_native", "speed", "note"]]


def _build_means(raw):
    return raw.groupby("library", as_index=False, sort=True)["extra"].mean()


def _draw_speeds(tables):
    from bench.report import markers, new_figure, palette

    frame = tables["speeds"]
    figure, axes = new_figure("column", 2.2)
    names = list(frame["library"])
    for position, name in enumerate(names):
        axes.plot(position, frame["speed"].iloc[position], marker=markers(names)[name], color=palette(names)[name])
    axes.set_xlabel("Library")
    axes.set_ylabel("Speed [MB / s]")
    return figure


DEMO = Experiment(
    "demo",
    "How fast is <it> & at what cost?",
    ("C01", "C02"),
    lambda _: [],
    (
        Table(
            "speeds",
            "Speed by library, 100 % measured_here.",
            {
                "library": Column("Library"),
                "is_native": Column("Native"),
                "speed": Column("Speed", "MB/s", ".3g"),
                "note": Column("Note & remark"),
            },
            _build_speeds,
            ("library", "is_native", "speed"),
        ),
        Table("means", "Means (measured).", {"library": Column("Library"), "extra": Column("Extra")}, _build_means),
    ),
    (Figure("speeds", "Speed of each library (measured).", _draw_speeds),),
)

ROWS = [
    {"case": "a", "status": "ok", "library": "a_lib", "is_native": True, "speed": 12345.678, "note": "", "extra": 1},
    {"case": "b", "status": "ok", "library": "<script>alert(1)</script>", "is_native": False, "speed": None,
     "note": "50% of $x_1 & #2", "extra": 2},
    {"case": "c", "status": "ok", "library": "c|d", "is_native": True, "speed": 0.25, "note": "*_`", "extra": 3},
]  # fmt: skip


class FakeRun:
    """A run's directory that a test may spoil."""

    def __init__(self, folder):
        self.folder = folder
        self.raw = folder / "raw" / "demo.jsonl"
        self.raw.parent.mkdir(parents=True)
        self.write_rows(ROWS)
        self.write_manifest()

    def write_rows(self, rows, tail=""):
        self.raw.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail, encoding="utf-8")

    def write_manifest(self, **changes):
        manifest = {
            "schema_version": 1,
            "run_id": "20220719T000000Z-demo",
            "status": "complete",
            "started": "2022-07-19T00:00:00+00:00",
            "finished": "2022-07-19T00:01:00+00:00",
            "profile": "smoke",
            "scenario": {"name": "smoke", "network": {"latency_us": 100.0}},
            "seed": "a seed",
            "workload": {"source": "none", "digest": "ab" * 32, "records": 0},
            "machine": {"cpu": "A <fast> CPU", "memory_bytes": 8 << 30},
            "noise": {"steal_share": 0.01},
            "versions": {"python": "3.11.7", "packages": {f"package-{n}": "1.0" for n in range(40)}},
            "git": {"commit": "c0ffee", "is_dirty": False},
            "experiments": {"demo": {"status": "complete", "cases": 3, "failed": 0, "seconds": 61.5}},
            "files": {},
            **changes,
        }
        (self.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture
def fake_run(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: DEMO)
    return FakeRun(tmp_path / "a run")


@pytest.fixture
def demo():
    return DEMO
