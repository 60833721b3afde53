"""The claims of the paper and their rules as the page `paper/claims.md`: what is tested, by what, and why so."""

import re
from collections.abc import Iterator

from bench.analysis.claims import Claim, Decision, Rules, RuleTest
from bench.report.tables import escape_markdown

HEAD = """# Claims of the paper, and the rules that judge them

In our words, with the place. `ehrbench claims RUN` applies the rules to the tables of a run, and no verdict is typed. A
run records a digest of each rule when it begins; its report names those that have changed since. Decisions are tried in
order; if none applies, the claim is *not supported* by the run; where a table, a row or a value is missing, there is no
verdict. A test with an interval holds, or fails, with all of it, and is open in between.

This page is written from [`claims.toml`](claims.toml) by `ehrbench claims --rules`."""


def render_rules(rules: Rules) -> str:
    """The whole page; equal rules give equal text."""
    return "\n\n".join(_blocks(rules)) + "\n"


def _blocks(rules: Rules) -> Iterator[str]:
    yield HEAD
    rows = ["| id | claim | place | tested by |", "|---|---|---|---|"]
    for claim_id, claim in rules.claims.items():
        cells = (claim_id, escape_markdown(claim.says), escape_markdown(claim.place), _name_experiments(claim))
        rows.append(f"| {' | '.join(cells)} |")
    yield "\n".join(rows)
    for claim_id, claim in rules.claims.items():
        yield f"## {claim_id}: {escape_markdown(claim.says)}"
        yield _escape_prose(claim.why or f"Not testable here: {claim.untestable}.")
        if claim.tests:
            yield "\n".join(f"- `{name}`: {_describe_test(test)}" for name, test in claim.tests.items())
            yield "\n".join(f"{number}. {describe_decision(item)}" for number, item in enumerate(claim.decisions, 1))


def _escape_prose(text: str) -> str:
    """As `escape_markdown`, with code between backticks left as it is."""
    code = re.compile(r"\\`(.+?)\\`")
    return code.sub(lambda found: "`" + found[1].replace("\\", "") + "`", escape_markdown(text))


def _name_experiments(claim: Claim) -> str:
    fallback = "not testable here" if claim.untestable else "arithmetic"
    return ", ".join(f"`{name}`" for name in claim.experiments) or fallback


def _describe_test(test: RuleTest) -> str:
    parts = [escape_markdown(test.what)]
    if test.printed:
        figures = ", ".join(f"{name} {value:g}" for name, value in test.printed.items())
        parts.append(f"{test.rows} of {escape_markdown(figures)}")
    else:
        parts.append(f"`{test.table}.{test.column}`" + _describe_rows(test))
    needs = f"holds if `{test.holds}`"
    needs += f", by at least {test.effect:.0%}".replace("%", " %") if test.effect else ""
    needs += f", in at least {test.least} tries" if test.least > 1 else ""
    needs += " (with the whole interval)" if test.low else ""
    return "; ".join([*parts, needs])


def _describe_rows(test: RuleTest) -> str:
    words = [f"{column} = {value}" for column, value in test.where.items()]
    text = f" where {escape_markdown(', '.join(words))}" if words else ""
    text += f", {test.rows} of the rows" if test.rows != "one" else ""
    text += f", of `{test.of}`" if test.of else ""
    text += f", over `{test.per}`" if test.per else ""
    base = ", ".join(f"{column} = {value}" for column, value in test.over.items())
    return text + (f", over that where {escape_markdown(base)}" if base else "")


def describe_decision(decision: Decision) -> str:
    """A decision in words, as Markdown: the verdict, and of which tests it asks what."""
    kinds = (
        ("hold", "holds", decision.holds),
        ("fail", "fails", decision.fails),
        ("do not hold", "does not hold", decision.lacks),
    )
    asked = [
        f"{', '.join(f'`{name}`' for name in names)} {one if len(names) == 1 else many}"
        for many, one, names in kinds
        if names
    ]
    return f"**{decision.verdict}** if {'; '.join(asked)}"
