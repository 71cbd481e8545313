"""Where traffic goes and why, as lines of text: `status`, `flows` and `policy explain` say it in the same way."""

from collections.abc import Sequence

from rich.text import Text

from monami6.tables import BAD, DOUBTFUL, GOOD
from monami6.wording import back_to_auto


def place(what: str, links: Sequence[str], why: str, *, when: str = "") -> Text:
    """The links that carry something, and why; `when`: since when."""
    if not links:
        return Text.assemble(f"{what}: ", ("carried by no link", BAD), f": {why}")
    since = f", {when}" if when else ""
    return Text.assemble(f"{what}: ", (", ".join(links), GOOD), f"{since}\n  because {why}")


def pinned(link: str, flow: str | None = None, *, ike: bool = False) -> Text:
    """That somebody asked for it, and how to take that back."""
    return Text(f"  pinned to {link}; {back_to_auto(flow, ike=ike)} gives the choice back", style=DOUBTFUL)
