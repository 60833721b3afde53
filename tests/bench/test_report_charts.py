"""Charts and the switch of engines: from tables of kept runs, valid, the same each time, and of what is declared."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import experiments
from bench.report import page
from bench.report.chart_captions import CAPTIONS
from bench.report.charts import CHARTS
from bench.report.engines import COLUMNS, ENGINES, PAIRS, column_engines, row_engines
from bench.report.model import BuiltTable
from bench.report.page_sections import _fold
from bench.report.page_tables import fold

RESULTS = Path(__file__).parents[2] / "results"
DECLARED = [experiments.find_experiment(name) for name in experiments.QUESTIONS]
TABLES = {table.name: table for experiment in DECLARED for table in experiment.tables}


@pytest.fixture(scope="module")
def frames():
    """Tables as kept runs have them, as far as today's columns are in them."""
    found = {}
    for run in ("reference", "network", "attacks"):
        for path in sorted((RESULTS / run / "tables").glob("*.csv")):
            frame = pd.read_csv(path)
            if path.stem in TABLES and len(frame) and list(frame) == list(TABLES[path.stem].columns):
                found.setdefault(path.stem, frame)
    return found


def _unfold(columns):
    full = [column if isinstance(column, list) else [column["of"][at] for at in column["at"]] for column in columns]
    return list(zip(*full, strict=True))


@given(st.lists(st.lists(st.integers(0, 3) | st.none(), min_size=12, max_size=12), min_size=1, max_size=4))
def test_what_is_folded_comes_back(columns):
    folded = json.loads(json.dumps(fold(columns)))
    assert _unfold(folded) == list(zip(*columns, strict=True))
    assert isinstance(fold([["a"] * 8])[0], dict), "few values are named once"


def test_every_chart_has_a_caption_of_its_own_that_names_no_panel_of_the_printed_figure():
    assert {*CAPTIONS} == {*CHARTS}
    assert not any(word in text for text in CAPTIONS.values() for word in ("Left", "Right", "Above", "Below"))


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_of_a_declared_figure_and_of_its_tables(frames, name):
    assert name in {figure.name for experiment in DECLARED for figure in experiment.figures}
    spec = CHARTS[name](frames)
    assert spec is not None
    assert json.dumps(spec, allow_nan=False) == json.dumps(CHARTS[name](frames), allow_nan=False)
    values = spec["data"]["values"]
    data = _fold(spec)["data"]
    assert [row.get(name) for row in values for name in data["names"]] == [
        value for row in _unfold(data["columns"]) for value in row
    ]
    for param in spec["params"]:
        field = param["name"].removeprefix("chosen_")
        assert field in values[0]
        assert f"datum.{field} == {param['name']}" in json.dumps(spec["transform"])
        assert param["value"] == "all" or any(row[field] == param["value"] for row in values), "it begins with data"


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_without_its_tables_is_not_drawn(name):
    assert CHARTS[name]({}) is None


@pytest.mark.parametrize("name", CHARTS)
def test_every_field_of_a_chart_is_in_its_data_or_made_of_it(frames, name):
    spec = CHARTS[name](frames)
    made = {"from", "to", "offered"}
    text = json.dumps({key: value for key, value in spec.items() if key != "data"})
    fields = {part.split('"')[0] for part in text.split('"field": "')[1:]}
    assert fields <= {field for row in spec["data"]["values"] for field in row} | made


@pytest.mark.slow
@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_valid_vega_lite(frames, name):
    import altair as alt

    spec = CHARTS[name](frames)
    alt.Chart.from_dict({**spec, "data": {"values": spec["data"]["values"][:3]}}, validate=True)


#: The bundle in a place that looks like a browser as far as it asks; expressions are interpreted, as on the page.
DRAW = """
globalThis.window = globalThis;
globalThis.document = { createElement: () => ({ getContext: () => null, style: {} }), addEventListener() {} };
const read = (name) => require("fs").readFileSync(name, "utf8");
require("vm").runInThisContext(read(process.argv[1]));
const said = [];
const logger = { level: () => logger, error: (...all) => logger.warn(...all), info: () => logger, debug: () => logger,
                 warn: (...all) => { said.push(all.join(" ")); return logger; } };
(async () => {
  const lengths = {};
  for (const [name, spec] of Object.entries(JSON.parse(read(0)))) {
    const compiled = lite.compile({ ...spec, width: 600 }, { logger });
    const view = new vega.View(vega.parse(compiled.spec, null, { ast: true }), { renderer: "none", expr, logger });
    lengths[name] = (await view.toSVG()).split("<path").length;
  }
  console.log(JSON.stringify({ lengths, said }));
})();
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on the path")
def test_every_chart_is_drawn_without_a_word(frames, tmp_path):
    specs = json.dumps({name: draw(frames) for name, draw in CHARTS.items()})
    code, bundle = page._bundle_vega(), tmp_path / "vega.js"
    places = (r"{vega:(\w+)\.version", r"=>(\w+)\.compile\(", r"\.expr\?\?(\w+)}")
    vega, lite, expr = (re.search(place, code)[1] for place in places)
    within = f"globalThis.vega = {vega}; globalThis.lite = {lite}; globalThis.expr = {expr};"
    bundle.write_text(f"{code.removesuffix('})();')}{within}}})();", encoding="utf-8")
    done = subprocess.run(["node", "-e", DRAW, bundle], input=specs, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert [line for line in told["said"] if 'Dropping "fit-y"' not in line] == []
    assert min(told["lengths"].values()) > 10, "marks, not axes alone"


def test_columns_and_tables_of_engines_are_declared():
    for table, engines in COLUMNS.items():
        for engine, begins in engines.items():
            assert engine in ENGINES
            for begin in begins:
                assert any(column.startswith(begin) for column in TABLES[table].columns), (table, begin)
    assert {name for pair in PAIRS for name in pair} <= {*TABLES}


def test_a_table_has_engines_where_it_has_values_of_two(frames):
    table = TABLES["table1"]
    frame = frames["table1"].assign(net_tx_per_s=float("nan"))
    found = column_engines(BuiltTable(1, table, frame))
    assert found["calibrated_tx_per_6min"] == "calibrated"
    assert found["cpu_ms_per_tx"] == "simulated"
    assert "agents" not in found
    assert "paper_tx_per_6min" not in found
    only = frame.assign(calibrated_tx_per_6min=float("nan"), net_bottleneck=None)
    only[[name for name in only if name.startswith("net_")]] = None
    assert column_engines(BuiltTable(1, table, only)) == {}, "nothing to switch to"


def test_rows_have_engines_where_a_column_tells(frames):
    name, begins = row_engines(BuiltTable(1, TABLES["faults_course"], frames["faults_course"]))
    assert (name, begins["simulated"], begins["real"]) == ("engine", "simulated", "real")
    simulated = frames["faults_course"][frames["faults_course"]["engine"] == "simulated"]
    assert row_engines(BuiltTable(1, TABLES["faults_course"], simulated)) is None
