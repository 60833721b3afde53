"""The example of an experiment, from its cases to report and verification, with its extension and without."""

import hashlib
import json
import re

import pytest

from tests.extend.support import EXAMPLES, exit_code, loaded

TINY = "[paired]\nprocesses = 1\nblocks = 1\n[noise]\nsteal_share = 1.0\nforeign_cpu_share = 1.0\n"


@pytest.mark.slow
def test_an_experiment_is_run_reported_and_verified(load, write, tmp_path, capsys) -> None:
    scenario, results = write(TINY, "tiny.toml"), tmp_path / "results"
    with loaded(EXAMPLES / "experiment.py"):
        assert exit_code("list") == 0
        assert "pieces       What does hashing" in capsys.readouterr().out
        assert exit_code("run", "pieces", "--profile", "smoke", "--config", scenario, "--results", results) == 0
        (run,) = results.iterdir()
        page = (run / "report.html").read_bytes()
        assert b"Of a record of " in page
        assert "2 A/A controls" in (run / "report.md").read_text(encoding="utf-8")
        assert (run / "figures" / "pieces.svg").exists()
        capsys.readouterr()
        assert exit_code("verify", run, "--against", run) == 1, "of one process there is no interval"
        assert re.search(r"^ratios +0 +0 +6 ", capsys.readouterr().out, re.MULTILINE)
    table = (run / "tables" / "pieces.csv").read_text(encoding="utf-8")
    assert table.count("\n") == 1 + 2 * (4 + 1), "two records, at once and in three sizes of pieces, and a control"
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    kept = run / "extensions" / "experiment.py"
    assert manifest["extensions"]["experiment.py"]["sha256"] == hashlib.sha256(kept.read_bytes()).hexdigest()
    assert manifest["files"]["extensions/experiment.py"] == manifest["extensions"]["experiment.py"]["sha256"]
    capsys.readouterr()
    assert exit_code("report", run) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "expected the extension experiment.py (measured suite pieces, experiment pieces), found none" in said
    with loaded(kept):  # whoever has looked at it names it himself
        assert exit_code("report", run) == 0
        assert (run / "report.html").read_bytes() == page
