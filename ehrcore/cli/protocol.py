"""`ehrcore protocol`: the rules of proof of stake as a page of Markdown, drawn from the table that runs them."""

import argparse
from collections import defaultdict

from ehrcore.consensus.pos import RULES, Phase, Rule

#: Where the page keeps what `show` prints.
BEGIN, END = "<!-- begin: ehrcore protocol -->", "<!-- end: ehrcore protocol -->"


def show(options: argparse.Namespace) -> None:
    """Print the diagram and the table."""
    del options
    print(build_page())


def build_page() -> str:
    """Diagram and table, between the markers that the page has them in."""
    return f"{BEGIN}\n{build_diagram()}\n\n{build_table()}\n{END}"


def build_diagram() -> str:
    """A Mermaid state diagram: what holds in every phase of a round is drawn around it, time-outs are marked."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    stays: dict[str, list[str]] = defaultdict(list)
    for rule in RULES:
        begin = rule.phases[0].name if len(rule.phases) == 1 else "ROUND"
        text = f"{rule.name}{' (time-out)' if rule.timer else ''}"
        if rule.to is None:
            stays[begin].append(text)
        else:
            arrows[begin, "ROUND" if rule.to is Phase.PROPOSE else rule.to.name].append(text)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> IDLE", "    IDLE --> ROUND: start"]
    for name, texts in stays.items():
        # The title of what is around the phases has room for one line.
        place = "any phase, " if name == "ROUND" else f"{name}<br>"
        lines += [f'    state "{place}<i>stays: {", ".join(texts)}</i>" as {name}']
    drawn = [f"{begin} --> {end}: {'<br>'.join(texts)}" for (begin, end), texts in arrows.items()]
    lines += ["    state ROUND {", "        [*] --> PROPOSE"]
    lines += [f"        {line}" for line in drawn if not line.startswith("ROUND")]
    lines += ["    }", *(f"    {line}" for line in drawn if line.startswith("ROUND"))]
    return "\n".join((*lines, "```"))


def build_table() -> str:
    """A row for each rule, in the order in which they are tried."""
    lines = ["| rule | in | on | does | then in | lines |", "|---|---|---|---|---|---|"]
    lines.append("| start | IDLE | a batch is ready, or a word of this height | enters the round; proposes if it is "
                 "one's turn | PROPOSE | 10-21 |")  # fmt: skip
    return "\n".join((*lines, *map(_row, RULES)))


def _row(rule: Rule) -> str:
    begin = ", ".join(phase.name for phase in rule.phases)
    end = "the same" if rule.to is None else rule.to.name
    if rule.to is Phase.PROPOSE:
        end += ", a later round"
    elif rule.to is Phase.IDLE:
        end += ", the next height"
    return f"| {rule.name} | {begin} | {rule.when} | {rule.then} | {end} | {rule.lines} |"
