"""The page about the rules shows the rules."""

from pathlib import Path

import pytest

import ehrcore.consensus
from ehrcore.__main__ import main
from ehrcore.cli.protocol import BEGIN, END, build_diagram
from ehrcore.consensus.pos import RULES, Phase

PAGE = Path(ehrcore.consensus.__file__).with_name("README.md")


def test_the_page_holds_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(["protocol"])
    printed = capsys.readouterr().out.strip()
    page = PAGE.read_text()
    assert page[page.index(BEGIN) : page.index(END) + len(END)] == printed


def test_the_diagram_shows_every_rule_and_every_phase() -> None:
    diagram = build_diagram()
    assert all(rule.name in diagram for rule in RULES)
    assert all(phase.name in diagram for phase in Phase)
