"""What is drawn with rich: imported only by what draws.

Nothing is coloured for NO_COLOR or when the output is no terminal. What does not fit is folded, never cut.
"""

import os
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

GOOD, DOUBTFUL, BAD, QUIET = "green", "yellow", "red", "dim"


def console() -> Console:
    """On standard output."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, color_system=None if plain else "auto")


def table(*headings: str) -> Table:
    """Columns without lines between them."""
    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    return drawn


def cell(*lines: str | Text | None) -> Text:
    """Lines one below the other; None is left out."""
    return Text("\n").join(line if isinstance(line, Text) else Text(line) for line in lines if line is not None)


def notes(screen: Console, troubles: Mapping[str, str], counters: Mapping[str, int]) -> None:
    """What a daemon has to complain about: what the system refuses it, and what it dropped, the most frequent first."""
    drops = sorted((-count, name) for name, count in counters.items() if count and name != "tunnelled")
    for heading, lines in (
        ("Troubles", [f"{what}: {why}" for what, why in troubles.items()]),
        ("Dropped", [f"{-count} {name.replace('_', ' ')}" for count, name in drops]),
    ):
        if lines:
            screen.print()
            screen.print(Text(heading, style="bold"))
            screen.print(cell(*(f"  {line}" for line in lines)))
