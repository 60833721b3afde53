"""The schema of results: every table of every experiment with its columns, as the experiments declare them."""

import json
from functools import cache
from typing import Any, Final

from bench.experiments import QUESTIONS, Experiment, Table, find_experiment
from ehrdocs.files import ROOT
from ehrdocs.markdown import code, slugify, table
from ehrdocs.source import link_to

REFERENCE: Final = "results/reference"


def make_experiments() -> str:
    """Each experiment's question, the claims that it bears on, and where it is declared."""
    rows = []
    for name, question in QUESTIONS.items():
        found = find_experiment(name)
        tables = f"[`{name}`](tables.md#{slugify(name)})"
        rows.append((tables, question, ", ".join(map(link_claim, found.claims)) or "–"))
    return table(("experiment", "question", "claims"), rows)


def make_tables() -> str:
    """A section for each experiment, and in it one for each table, with every column."""
    parts: list[str] = []
    for name in QUESTIONS:
        experiment = find_experiment(name)
        claims = ", ".join(map(link_claim, experiment.claims)) or "none of the paper's"
        source = f"[`bench/experiments/{name}.py`]({link_to(f'bench.experiments.{name}')})"
        parts += [f"## {name}", f"**{experiment.question}**", f"Claims: {claims}. Declared in {source}; run it with"]
        parts += [f"```console\n$ ehrbench run {name}\n```"]
        parts += [_describe(each) for each in experiment.tables]
        if experiment.figures:
            parts += [_list_figures(experiment)]
    return "\n\n".join(parts)


def make_finding(claim: str) -> str:
    """What the kept reference run says of a claim: the sentence, the verdict, and why, all from its claims.json."""
    found = _read_verdicts().get(claim)
    if found is None:
        raise LookupError(f"{REFERENCE}/claims.json: expected the claim {claim}, found none")
    finding = found["finding"].replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return (
        f"> The reference run on {link_claim(claim)}, “{found['claim']}” **{found['verdict']}**: {finding}.\n>\n"
        f"> It is shown by `{found['command']}`."
    )


def link_claim(claim: str) -> str:
    """A claim's id as a link to its rule."""
    return f"[{claim}](claims.md#{slugify(f'{claim}: {_read_claims()[claim]}')})"


def _describe(item: Table) -> str:
    rows = [(code(name), each.title, each.unit or "–") for name, each in item.columns.items()]
    lines = [f"### {item.name}", f"{_escape(item.caption)} File: `tables/{item.name}.csv`."]
    if item.comparisons:
        names = "; ".join(f"`{each.ratio}` by {', '.join(map(code, each.keys))}" for each in item.comparisons)
        lines.append(f"Compares, with intervals, verdicts and A/A controls: {names}.")
    for words, names_of in (("Determined by the seed alone", item.exact), ("Compared by order", item.ordered)):
        if names_of:
            keys = ", ".join(map(code, item.keys))
            lines.append(f"{words}: {', '.join(map(code, names_of))}; rows are named by {keys}.")
    return "\n\n".join([*lines, table(("column", "meaning", "unit"), rows)])


def _list_figures(experiment: Experiment) -> str:
    rows = [(code(f"figures/{each.name}.svg"), _escape(each.caption)) for each in experiment.figures]
    return f"### Figures of {experiment.id}\n\n{table(('figure', 'what it shows'), rows)}"


def _escape(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;").replace("_", "\\_")


@cache
def _read_claims() -> dict[str, str]:
    import tomllib

    rules = tomllib.loads((ROOT / "paper" / "claims.toml").read_text(encoding="utf-8"))
    return {name: rule["says"] for name, rule in rules.items()}


@cache
def _read_verdicts() -> dict[str, dict[str, Any]]:
    content = json.loads((ROOT / REFERENCE / "claims.json").read_text(encoding="utf-8"))
    return {item["id"]: item for item in content["claims"]}
