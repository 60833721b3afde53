"""Progress: plain lines where nobody watches, a bar where somebody does."""

import io
import re

import pytest

from bench import watching
from bench.watching import PlainProgress, watch_progress


def test_plain_progress_is_one_line_at_the_beginning_and_one_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with watch_progress() as progress:
        assert isinstance(progress, PlainProgress)
        progress.say("records [3] of <b>")
        progress.begin("table1", 2)
        progress.step("row-01")
        progress.step("row-02")
        progress.begin("framework", 1)
        progress.step("end-to-end")
    out, err = capsys.readouterr()
    assert out == ""
    assert [re.sub(r"\d+\.\d s", "N s", line) for line in err.splitlines()] == [
        "records [3] of <b>",
        "table1: 2 cases ...",
        "table1: done in N s",
        "framework: 1 case ...",
        "framework: done in N s",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_news_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with watch_progress() as progress:
        assert isinstance(progress, watching.BarProgress)
        progress.step("before any begin")
        progress.begin("table1", 2)
        progress.say("skipped [bold]a.json[/bold]: no JSON")
        progress.step("row-01")
        progress.step("row-02")
    shown = terminal.getvalue()
    assert "skipped [bold]a.json[/bold]: no JSON" in shown
    assert "table1" in shown
    assert "2/2" in shown
