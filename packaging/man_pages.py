"""Write the man pages: python3 packaging/man_pages.py DIRECTORY. Each is made of what the program's --help says."""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path

import click

from home_agent.__main__ import main as monami6_ha
from mn_agent.__main__ import main as monami6d
from monami6.__main__ import main as monami6

PROGRAMS = {("monami6", 1): monami6, ("monami6d", 8): monami6d, ("monami6-ha", 8): monami6_ha}

SEE_ALSO = ".BR monami6 (1),\n.BR monami6d (8),\n.BR monami6\\-ha (8)"


def page(name: str, section: int, command: click.Command) -> str:
    """One man page, the program's own commands included (groff_man(7))."""
    context = click.Context(command, info_name=name)
    first = (command.help or "").split("\n\n")[0]
    parts = [
        f'.TH {_plain(name.upper())} {section} "" "monami6 {version("monami6")}"',
        f".SH NAME\n{_plain(name)} \\- {_plain(' '.join(first.split()).removesuffix('.'))}",
        f".SH SYNOPSIS\n{_usage(context)}",
        f".SH DESCRIPTION\n{_help(command)}",
        f".SH OPTIONS\n{_options(context)}",
    ]
    if isinstance(command, click.Group):
        parts.append(".SH COMMANDS")
        parts += _commands(command, context)
    return "\n".join([*parts, f".SH SEE ALSO\n{SEE_ALSO}"]) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        else:
            yield f".SS {_plain(inner.command_path)}\n{_usage(inner)}\n.PP\n{_help(command)}\n{_options(inner)}"


def _usage(context: click.Context) -> str:
    pieces = context.command.collect_usage_pieces(context)
    return f".B {_plain(context.command_path)}\n{_plain(' '.join(pieces))}"


def _help(command: click.Command) -> str:
    return "\n.PP\n".join(map(_paragraph, cleandoc(command.help or "").strip("\n").split("\n\n")))


def _paragraph(text: str) -> str:
    """What click is told to leave as it is has a backspace before it."""
    if text.startswith("\b"):
        lines = "\n".join(map(_plain, text.splitlines()[1:]))
        return f".nf\n{lines}\n.fi"
    return _plain(" ".join(text.split()))


def _options(context: click.Context) -> str:
    records = [parameter.get_help_record(context) for parameter in context.command.get_params(context)]
    return "\n".join(f".TP\n.B {_plain(names)}\n{_plain(told)}" for names, told in filter(None, records) if told)


def _plain(text: str) -> str:
    """Nothing in it is a request or an escape of groff's."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith((".", " ")) else text


def main(directory: Path) -> None:
    """Write them all."""
    directory.mkdir(parents=True, exist_ok=True)
    for (name, section), command in PROGRAMS.items():
        (directory / f"{name}.{section}").write_text(page(name, section, command))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
