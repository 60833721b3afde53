"""The command lines as reference, from the parsers themselves: `ehrbench` (click) and `ehrcore` (argparse)."""

import argparse
import inspect
from collections.abc import Iterator
from typing import Final

import click

from bench.__main__ import app
from ehrcore.cli.parser import build_parser
from ehrdocs.markdown import code, table

#: Options that every command on a network has; they are described once.
COMMON: Final = ("folder", "passphrase_file", "passphrase_fd")


def make_ehrbench() -> str:
    """A section per command of `ehrbench`; what stands before a command comes first."""
    # With the settings that `app` itself runs under: a command remembers by what names its help goes.
    parent = click.Context(app, info_name="ehrbench", **app.context_settings)
    records = [param.get_help_record(parent) for param in app.params]
    rows = [(code(record[0]), _plain(record[1])) for record in records if record is not None]
    parts = ["Before a command may stand:", table(("option", "meaning"), rows)]
    for name, command in sorted(app.commands.items()):
        context = click.Context(command, info_name=name, parent=parent)
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts += [f"## ehrbench {name}", f"```text\n{usage}\n```", _say(inspect.cleandoc(command.help or ""))]
        records = [param.get_help_record(context) for param in command.params]
        rows = [(code(record[0]), _plain(record[1])) for record in records if record is not None and record[1]]
        if rows:
            parts.append(table(("option", "meaning"), rows))
    return "\n\n".join(parts)


def make_ehrcore() -> str:
    """A section per command of `ehrcore`, in the order of its help; what all have in common stands before them."""
    (status,) = (parser for parser, _ in _walk(build_parser(), "") if parser.prog == "ehrcore status")
    shared = [action for action in status._actions if action.dest in COMMON]  # noqa: SLF001 - as above
    rows = [(code(_spell(action, is_whole=True)), _plain(_help(action))) for action in shared]
    common = f"Commands on a network take these, too:\n\n{table(('option', 'meaning'), rows)}\n\n"
    return common + "\n\n".join(part for command in _walk(build_parser(), "") for part in _describe(*command))


def list_ehrcore() -> list[str]:
    """The names of all commands that do something, with the groups that they are in."""
    return [parser.prog for parser, _ in _walk(build_parser(), "")]


def _walk(parser: argparse.ArgumentParser, about: str) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Every parser below that carries out something, with its line of help."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001 - argparse tells of its actions in no other way
    for group in groups:
        texts = {item.dest: item.help or "" for item in group._choices_actions}  # noqa: SLF001 - as above
        for name, child in group.choices.items():
            yield from _walk(child, texts.get(name, about))
    if not groups:
        yield parser, about


def _describe(parser: argparse.ArgumentParser, about: str) -> list[str]:
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS and action.dest != "help"]  # noqa: SLF001 - as above
    places = [_spell(action) for action in actions if not action.option_strings]
    needed = [_spell(action) for action in actions if action.option_strings and action.required]
    has_options = any(action.option_strings and not action.required for action in actions)
    usage = " ".join([parser.prog, *(["[OPTIONS]"] if has_options else []), *needed, *places])
    text = _plain((about or parser.description or "").rstrip("."))
    told = [action for action in actions if action.help and action.dest not in COMMON]
    rows = [(code(_spell(action, is_whole=True)), _plain(_help(action))) for action in told]
    parts = [f"## {parser.prog}", f"```text\n{usage}\n```", f"{text[:1].upper()}{text[1:]}."]
    return [*parts, table(("argument or option", "meaning"), rows)] if rows else parts


def _spell(action: argparse.Action, *, is_whole: bool = False) -> str:
    """An argument as one writes it; of an option every spelling if ``is_whole``."""
    values = "|".join(map(str, action.choices)) if action.choices and not action.metavar else ""
    metavar = action.metavar or (f"{{{values}}}" if values else action.dest.upper())
    word = metavar if isinstance(metavar, str) else " ".join(metavar)
    word += " ..." if action.nargs == "+" else ""
    if not action.option_strings:
        return word
    names = ", ".join(action.option_strings) if is_whole else action.option_strings[-1]
    return names if action.nargs == 0 else f"{names} {word}"


def _help(action: argparse.Action) -> str:
    choices = f" (one of: {', '.join(map(str, action.choices))})" if action.choices and action.metavar else ""
    return f"{action.help or ''}{choices}"


def _say(text: str) -> str:
    """The help of a click command: what it marks as set line by line stays so."""
    parts = text.split("\n\n")
    return "\n\n".join(f"```text{part[1:]}\n```" if part.startswith("\b") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    """Help as Markdown: what looks like marks of it stays as it is."""
    return text.replace("``", "`").replace("<", "&lt;").replace("*", "\\*")
