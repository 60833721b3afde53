"""The page: well-formed, self-contained, escaped; the Markdown beside it likewise."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import experiments
from bench.errors import BenchError
from bench.report import build_report, page_sections, print_summary
from bench.report import page as page_module
from bench.report.build import read_report
from bench.report.page_tables import embed
from bench.report.summary import flatten, format_bytes, format_duration, format_time

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Checker(HTMLParser):
    """Follows every tag; collects what refers to something and what may be referred to."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.text = [], [], [], [], []
        self.scripts, self.policy = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        assert not [name for name in values if name.startswith("on")]
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [values[name] for name in ("href", "src") if name in values]
        if tag == "img":
            assert values["alt"]
        if tag == "script":
            assert set(values) <= {"type", "class"}
            self.scripts.append([values.get("type", ""), ""])
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1][1] += data
        elif not self.open or self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture
def build(fake_run):
    def build_page(**changes):
        fake_run.write_manifest(**changes)
        text = build_report(fake_run.folder, lambda _: None).read_text(encoding="utf-8")
        checker = Checker()
        checker.feed(text)
        checker.close()
        assert checker.open == []
        return text, checker

    return build_page


def test_page_is_well_formed_and_says_what_it_must(build):
    text, checker = build()
    shown = " ".join(" ".join(checker.text).split())
    for expected in (
        "20220719T000000Z-demo", "How fast is <it> & at what cost?", "C01", "C02", "Table 1.", "Figure 1.", "Native",
        "12300", "A <fast> CPU", "8 GiB", "a seed", "ab" * 32, "steal share", "c0ffee", "1 min 2 s", "How to read it",
        "Measured", "Simulated", "Calibrated", "Estimated", "latency us",
    ):  # fmt: skip
        assert expected in shown
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    assert checker.tags.count("h1") == 1


def test_an_answer_stands_before_the_tables_on_every_page(fake_run, monkeypatch, capsys):
    """It is made of the tables, and escaped as everything that comes from a run."""
    experiment = replace(
        experiments.find_experiment("demo"),
        answer=lambda tables: [f"<b> is the best of {len(tables['speeds'])} & so on."],
    )
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: experiment)
    fake_run.write_manifest()
    page = build_report(fake_run.folder, lambda _: None).read_text(encoding="utf-8")
    frame = read_report(fake_run.folder).sections[0].tables[0].frame
    said = f"&lt;b&gt; is the best of {len(frame)} &amp; so on."
    assert page.index("How fast is") < page.index(said) < page.index("<b>Table 1.</b>")
    assert f"- {said}" in (fake_run.folder / "report.md").read_text(encoding="utf-8")
    print_summary(fake_run.folder)
    assert f"* <b> is the best of {len(frame)} & so on." in capsys.readouterr().out


def test_page_needs_no_network(build):
    text, checker = build()
    assert checker.links
    assert all(link.startswith(("#", "data:")) for link in checker.links)
    assert {"link", "iframe", "object", "form", "base"}.isdisjoint(checker.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_the_policy_lets_our_scripts_run_and_nothing_else(build):
    """By their digests: what is not ours, or was changed, is not run, and nothing makes code of text."""
    _, checker = build()
    allowed = re.search(r"script-src ([^;]*)", checker.policy)[1].split()
    run = [code for kind, code in checker.scripts if kind != "application/json"]
    digests = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in run]
    assert allowed == [f"'sha256-{digest}'" for digest in digests]
    assert len(run) == 1, "without a chart there is no need of what draws them"
    for code in run:
        assert not re.search(r"<!--|</?script|\r", code), "a reader of HTML would take the code for something else"
    for rule in ("base-uri 'none'", "form-action 'none'", "img-src data:"):
        assert rule in checker.policy


def test_every_link_within_the_page_has_its_target_once(build):
    _, checker = build()
    targets = {link[1:] for link in checker.links if link.startswith("#")}
    assert targets <= set(checker.ids)
    assert {"abstract", "method", "experiment-demo", "overview", "threats", "errata", "environment"} <= targets
    assert len(checker.ids) == len(set(checker.ids))


def test_values_of_a_run_are_never_markup(build, fake_run):
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    fake_run.write_rows([
        {"case": attack, "status": "failed", "reason": attack},
        {"case": "a", "status": "ok", "library": attack, "is_native": True, "speed": 1.0, "note": attack, "extra": 1},
    ])  # fmt: skip
    text, checker = build(
        run_id=attack, profile=attack, seed=attack, machine={attack: attack}, scenario={attack: attack}
    )
    assert [kind for kind, _ in checker.scripts] == [""]
    assert checker.tags.count("img") == 1
    assert attack in "".join(checker.text)
    markdown = (fake_run.folder / "report.md").read_text()
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert text.count("<script") == 1


@pytest.mark.slow
def test_the_drawing_library_comes_with_its_terms_and_is_no_markup():
    bundle = page_module._bundle_vega()
    head, end, code = bundle.partition("*/\n")
    assert head.startswith("/*!\nVega, Vega-Lite")
    assert end
    assert {"BSD-3-Clause:", "ISC:", "MIT:"} <= set(head.split())
    assert code.startswith("(() => {\n")
    assert "window.vegaEmbed=" in code
    assert not re.search(r"<!--|</?script|\r", bundle)
    assert bundle == page_module._bundle_vega.__wrapped__()


@given(
    st.recursive(st.text() | st.integers() | st.none(), lambda some: st.lists(some) | st.dictionaries(st.text(), some))
)
def test_data_of_a_script_is_never_markup_and_comes_back_as_it_was(value):
    checker = Checker()
    checker.feed(embed(value, "rest"))
    checker.close()
    assert checker.tags == ["script"]
    assert json.loads(checker.scripts[0][1]) == value
    assert not re.search("[<>&]", checker.scripts[0][1])


def test_downloads_are_the_written_csv(build, fake_run):
    _, checker = build()
    links = [link for link in checker.links if link.startswith("data:text/csv")]
    held = [unquote_to_bytes(link.partition(",")[2]) for link in links]
    assert held == [(fake_run.folder / "tables" / f"{name}.csv").read_bytes() for name in ("speeds", "means")]


def test_figures_are_the_written_drawings(build, fake_run, monkeypatch):
    def embedded(checker, kind):
        (link,) = [link for link in checker.links if link.startswith(f"data:image/{kind}")]
        head, _, data = link.partition(",")
        return base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)

    _, checker = build()
    assert embedded(checker, "svg+xml") == (fake_run.folder / "figures" / "speeds.svg").read_bytes()
    monkeypatch.setattr(page_sections, "SVG_LIMIT_BYTES", 10)
    _, checker = build()
    assert embedded(checker, "png") == (fake_run.folder / "figures" / "speeds.png").read_bytes()


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_a_run_that_is_not_complete_says_so_first(build, fake_run, status):
    text, _ = build(status=status, finished=None)
    assert text.index('class="banner"') < text.index("Overview</h2>")
    assert (fake_run.folder / "report.md").read_text().splitlines()[2].startswith("> **This run")


def test_a_complete_run_has_no_banner(build):
    assert 'class="banner"' not in build()[0]


def test_long_tables_are_cut_and_the_download_is_whole(build, fake_run):
    row = {"status": "ok", "library": "one", "is_native": True, "speed": 1.0, "extra": 1}
    fake_run.write_rows([{"case": str(n), "note": f"note-{n}", **row} for n in range(250)])
    text, checker = build()
    assert "The first 200 of 250 rows." in text
    assert "note-199" in checker.text
    assert "note-200" not in checker.text
    (rest,) = [json.loads(code) for kind, code in checker.scripts if kind]
    assert rest[3] == [f"note-{n}" for n in range(200, 250)], "a script shows the others"
    assert len(pd.read_csv(fake_run.folder / "tables" / "speeds.csv")) == 250
    assert "The first 200 of 250 rows." in (fake_run.folder / "report.md").read_text()


def test_other_runs_are_beside_where_asked_and_only_there(build, fake_run, tmp_path):
    """What is beside waits in a template, which is neither shown nor run until a script takes it."""
    alone, _ = build()
    other = tmp_path / "other"
    shutil.copytree(fake_run.folder, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"run_id": "<b>other", "profile": "paper"}))
    both = build_report(fake_run.folder, lambda _: None, [other]).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(both)
    assert checker.open == []
    assert '<option value="1">&lt;b&gt;other (paper)</option>' in both
    shown, _, beside = both.partition('<template class="run" data-run="1">')
    assert shown.count("<main") == beside.count("<main") == 1
    assert "<h1>&lt;b&gt;other</h1>" in beside
    assert "<h1>&lt;b&gt;other</h1>" not in shown
    build_report(fake_run.folder, lambda _: None)
    assert (fake_run.folder / "report.html").read_text(encoding="utf-8") == alone


def test_a_run_beside_itself_or_without_its_report_is_refused(fake_run, tmp_path):
    fake_run.seal()
    build_report(fake_run.folder, lambda _: None)
    with pytest.raises(BenchError, match="--beside: expected another run than .*, found the same"):
        build_report(fake_run.folder, lambda _: None, [fake_run.folder / "raw" / ".."])
    other = tmp_path / "other"
    shutil.copytree(fake_run.folder, other)
    (other / "figures" / "speeds.svg").unlink()
    before = (fake_run.folder / "report.html").read_bytes()
    with pytest.raises(BenchError, match=r"speeds\.svg: expected a file of a run, found"):
        build_report(fake_run.folder, lambda _: None, [other])
    assert (fake_run.folder / "report.html").read_bytes() == before


def test_markdown_refers_to_files_that_exist(build, fake_run):
    build()
    text = (fake_run.folder / "report.md").read_text()
    for name in ("tables/speeds.csv", "tables/means.csv", "figures/speeds.svg"):
        assert f"]({name})" in text
        assert (fake_run.folder / name).exists()


def test_environment_is_flattened_into_words():
    values = {
        "memory_bytes": 1 << 34,
        "nested": {"is_on": True, "nothing": None, "empty": ""},
        "flags": ["a", "b"],
        "kinds": [{"kind": "bill", "count": 51, "max_bytes": 1012}],
        "many": {str(n): n for n in range(20)},
        "long": list(range(60)),
        "none": [],
    }
    pairs = dict(flatten(values))
    assert pairs["memory"] == "16 GiB"
    assert (pairs["nested is on"], pairs["nested nothing"], pairs["nested empty"]) == ("yes", "–", "–")
    assert pairs["flags"] == "a, b"
    assert pairs["kinds bill"] == "count 51, max 1012 B"
    assert pairs["many"].startswith("0 0, 1 1, ")
    assert pairs["long"].endswith("49, and 10 more")
    assert pairs["none"] == "none"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (format_bytes(1012), "1012 B"),
        (format_bytes(1023 * 1024), "1020 KiB"),
        (format_bytes(1 << 50), "1020 TiB"),
        (format_duration(0.04), "0.0 s"),
        (format_duration(61.5), "1 min 2 s"),
        (format_duration(7322), "2 h 2 min"),
        (format_time("2022-07-19T00:00:00+00:00"), "2022-07-19 00:00:00 UTC"),
    ],
)
def test_quantities_are_written_for_people(found, expected):
    assert found == expected
