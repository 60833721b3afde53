"""A small run on disk, of an experiment that is not one of the suite's, and experiments that a test makes up."""

import gc
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest

from bench.analysis.claims import read_rules
from bench.errors import BenchError
from bench.experiments.base import Case, Column, Comparison, Experiment, Figure, Table
from bench.files import write_atomic
from bench.record import SCHEMA_VERSION, RunDirectory
from bench.report import build_report, read_report
from bench.report.load import read_content, read_rows
from bench.run import execute, resume_run
from bench.scenario import load_scenario


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

    def seal(self):
        """Make it a complete run of today's version."""
        self.write_manifest(schema_version=SCHEMA_VERSION)
        run = RunDirectory.load(self.folder)
        run.finish("complete")
        run.release()


@pytest.fixture
def fake_run(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: DEMO)
    return FakeRun(tmp_path / "a run")


def write_tables(folder):
    """What a report writes of a run, but for its figures and pages, which take a second."""
    from bench.report.claims import judge_report, write_json
    from bench.report.schema import FILE, write_package
    from bench.report.tables import write_table

    report, rules = read_report(folder), read_rules()
    for section in report.sections:
        for built in section.tables:
            write_table(built.table, built.frame, folder / "tables")
    write_atomic(folder / FILE, write_package(report))
    write_atomic(folder / "claims.json", write_json(report, judge_report(report, rules), rules))
    held = RunDirectory.load(folder)
    held.seal_derived()
    held.release()


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory):
    """A sealed run of the demonstration with its tables; whoever changes it copies it first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.experiments.find_experiment", lambda _: DEMO)
        run = FakeRun(tmp_path_factory.mktemp("demo") / "built")
        run.seal()
        write_tables(run.folder)
    return run.folder


@pytest.fixture
def demo():
    return DEMO


def _draw_line(tables):
    """A figure without text, which takes most of the time that drawing takes."""
    from bench.report import new_figure

    figure, axes = new_figure("column", 1.0)
    axes.plot(tables["speeds"]["speed"].fillna(0))
    axes.set_axis_off()
    return figure


PLAIN = replace(DEMO, figures=(replace(DEMO.figures[0], draw=_draw_line),))


@pytest.fixture(scope="session")
def _reported_run(tmp_path_factory):
    run = FakeRun(tmp_path_factory.mktemp("reported") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.experiments.find_experiment", lambda _: PLAIN)
        run.seal()
        (run.folder / "report.pdf").touch()
        build_report(run.folder, lambda _: None)
        held = RunDirectory.load(run.folder)
        held.seal_derived()
        held.release()
    return run.folder


@pytest.fixture
def reported_run(_reported_run, tmp_path, monkeypatch):
    """A complete run with everything that can be derived, which a test may spoil."""
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: PLAIN)
    monkeypatch.setattr("os.fsync", lambda _: None)  # no test pulls the plug
    return Path(shutil.copytree(_reported_run, tmp_path / "a run"))


# -- a part of the reference run ---------------------------------------------------------------------------------

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.fixture(scope="session")
def table1_run(tmp_path_factory):
    """The folder of a complete run of table1 alone, from the rows of the reference run, with its report."""
    known = read_content(REFERENCE)
    content = {key: known[key] for key in ("scenario", "seed", "workload", "machine", "versions", "git", "sittings")}
    content["rules"] = {name: claim.digest for name, claim in read_rules().claims.items()}
    content["experiments"] = {"table1": {"status": "complete", "cases": 1}}
    made = RunDirectory.create(tmp_path_factory.mktemp("results"), "paper", content)
    rows = read_rows(REFERENCE / "raw" / "table1.jsonl", may_be_cut=False).rows
    for case, group in groupby(rows, key=lambda row: row["case"]):
        made.append("table1", case, [{k: v for k, v in row.items() if k not in {"part", "parts"}} for row in group])
    made.finish("complete")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.report.build._draw_figure", lambda *_: (b"<svg/>", b"", 3.0))
        build_report(made.folder, print)
    made.seal_derived()
    made.release()
    return made.folder


class Notes:
    """Progress that remembers."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)

    def begin(self, experiment, cases):
        self.lines.append(f"{experiment}: {cases}")

    def step(self, label):
        self.lines.append(label)


class Lab:
    """Experiments of a test's own, and runs of them; ``clock`` stands still unless the test moves it."""

    def __init__(self, results):
        self.results, self.notes = results, Notes()
        self.experiments, self.engines = {}, {}
        self.scenario, self.now_s = load_scenario("smoke"), 0.0

    def add(self, name, engine, cases=2, **more):
        self.engines[name] = engine
        declared = [Case(f"{name}-{number}", name, {"number": number}) for number in range(cases)]
        self.experiments[name] = Experiment(name, "?", (), lambda _: declared, (), **more)

    def find(self, name):
        if name not in self.experiments:
            raise BenchError(f"experiment: expected one of {', '.join(self.experiments)}, found {name!r}")
        return self.experiments[name]

    def run(self, *names):
        return execute(
            self.scenario, names, records=None, is_strict=False, results=self.results, progress=self.notes,
            clock=lambda: self.now_s,
        )  # fmt: skip

    def resume(self, folder=None):
        return resume_run(folder or self.folder, records=None, progress=self.notes, clock=lambda: self.now_s)

    @property
    def folder(self):
        (folder,) = self.results.iterdir()
        return folder

    @property
    def manifest(self):
        return json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))

    def rows(self, name, folder=None):
        path = (folder or self.folder) / "raw" / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    made = Lab(tmp_path / "results")
    monkeypatch.setattr("os.fsync", lambda _: None)  # no test pulls the plug, and it takes milliseconds
    monkeypatch.setattr("bench.run.find_experiment", made.find)
    monkeypatch.setattr("bench.sitting.find_engine", lambda name: made.engines[name])
    return made


# -- runs that are held against each other -----------------------------------------------------------------------

_RATIO_COLUMNS = ("library", "size_bytes", "is_control", "time_ns", "time_ns_low", "time_ns_high", "ratio", "ratio_low",
                  "ratio_high", "verdict")  # fmt: skip
_FACT_COLUMNS = ("row", "count", "speed")


def _build_part(kind, columns, raw):
    return raw[raw["kind"] == kind][list(columns)].reset_index(drop=True)


PAIR = Experiment(
    "pair",
    "?",
    (),
    lambda _: [],
    (
        Table(
            "ratios",
            "Ratios.",
            {name: Column(name) for name in _RATIO_COLUMNS},
            partial(_build_part, "ratio", _RATIO_COLUMNS),
            comparisons=(Comparison(("library", "size_bytes")),),
        ),
        Table(
            "facts",
            "Facts.",
            {name: Column(name) for name in _FACT_COLUMNS},
            partial(_build_part, "fact", _FACT_COLUMNS),
            keys=("row",),
            exact=("count",),
            ordered=("speed",),
        ),
    ),
)


_RATIOS = {("fast", 64): (0.5, 0.49, 0.51), ("slow", 64): (2.0, 1.9, 2.1), ("slow", 1024): (3.0, 2.9, 3.1),
           ("same", 64): (1.0, 0.99, 1.01)}  # fmt: skip
_FACTS = {row: (10 * row, 7.0 * row) for row in range(1, 7)}


class PairOfRuns:
    """Complete runs of one experiment with ratios (library, size -> ratio, low, high) and facts (row -> count, speed).

    The base of the ratios and its control are there besides; times are a thousand times the ratios.
    """

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, ratios=None, facts=None, control=(1.0, 0.99, 1.01), scale=1000, **changes):
        rows = [self._row(*key, *values, scale=scale) for key, values in (_RATIOS | (ratios or {})).items() if values]
        rows.append(self._row("A/A control", 64, *control, scale=scale, is_control=True))
        base = self._row("base", 64, 1.0, None, None, scale=scale) | {"verdict": "base"}
        every = {row: values for row, values in (_FACTS | (facts or {})).items() if values}
        rows += [base, *({"kind": "fact", "row": row, "count": a, "speed": b} for row, (a, b) in every.items())]
        content = {
            "scenario": {"pair": {"size": 1}, "hashes": {"suites": ["md5"]}}, "seed": "a seed",
            "workload": {"digest": "ab" * 32}, "machine": {"cpu": "A", "cpu_flags": ["aes", "sha_ni"]},
            "versions": {"python": "3.11.7", "openssl_hashlib": "OpenSSL 3.0.0", "packages": {"numpy": "2.0"}},
            "git": {"commit": "c0ffee" * 7, "is_dirty": False},
            "experiments": {"pair": {"status": "complete", "cases": 1}},
        }  # fmt: skip
        run = RunDirectory.create(self.folder, name, content | changes)
        run.append("pair", "all", rows)
        run.finish("complete")
        run.release()
        return run.folder

    def write_tables(self, name):
        write_tables(folder := self.write(name))
        return folder

    def _row(self, library, size_bytes, ratio, low, high, *, scale, is_control=False):
        is_known = low is not None
        verdict = "slower" if is_known and low > 1 else "faster" if is_known and high < 1 else "unresolved"
        if is_control:
            verdict = "holds" if verdict == "unresolved" else "violated"
        times = {
            f"time_ns{end}": value and value * scale for end, value in (("", ratio), ("_low", low), ("_high", high))
        }
        return {"kind": "ratio", "library": library, "size_bytes": size_bytes, "is_control": is_control, **times,
                "ratio": ratio, "ratio_low": low, "ratio_high": high, "verdict": verdict}  # fmt: skip


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: PAIR)
    return PairOfRuns(tmp_path / "results")


@pytest.fixture
def print_of():
    """What a program prints in a fresh interpreter, by its code, its arguments and further variables."""

    def run(code, *words, **variables):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
        return subprocess.check_output([sys.executable, "-c", code, *words], env=environment, text=True)

    return run


@pytest.fixture
def short_turns(monkeypatch):
    """The limits of real processes take the shortest turns that measure anything."""
    from bench.limits import etcd, nodes, pingpong, roundtrip, saturation, throughput
    from ehrcore.drive.net.plan import NetworkConfig

    for module in (nodes, roundtrip, throughput):
        monkeypatch.setattr(module, "BLOCKS", 1)
    for module in (roundtrip, pingpong):
        monkeypatch.setattr(module, "TRIPS", 5)
    for module in (nodes, throughput):
        monkeypatch.setattr(module, "OUTSTANDING", 60)
    for name, value in (("SECONDS", 0.8), ("WARM_S", 0.2)):
        monkeypatch.setattr(saturation, name, value)
    monkeypatch.setattr(etcd, "WARM_S", 0.1)
    monkeypatch.setattr(throughput, "SECONDS", {9: 0.3, 1: 0.2})
    monkeypatch.setattr(nodes, "STARTS", 1)
    monkeypatch.setattr(nodes, "CONFIG", NetworkConfig())
    monkeypatch.setattr(nodes, "p256_ns", lambda: (20_000.0, 50_000.0))


@pytest.fixture(scope="module")
def _few_objects():
    """What other tests have left in memory is not for the collector, which the engine calls before each block."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
