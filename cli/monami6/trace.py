"""monami6 trace."""

import json
from functools import partial
from pathlib import Path

import click

from monami6 import dissection


@click.command()
@click.option("--interface", metavar="IF", help="Listen on this interface only.")
@click.option(
    "--read",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read a capture (pcap or pcapng) instead of listening.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def trace(interface: str | None, file: Path | None, *, as_json: bool) -> None:
    """Show mobility messages, decoded, until Ctrl-C or the end of the file."""
    if interface is not None and file is not None:
        raise click.UsageError("say either --interface or --read")
    from monami6 import capture  # scapy takes a while

    show = partial(_show, as_json=as_json)
    if file is not None:
        capture.read(file, show)
        return
    capture.watch(interface, show, lambda: click.echo(f"listening on {interface or 'all interfaces'}", err=True))


def _show(at: float, interface: str | None, packet: bytes, *, as_json: bool) -> None:
    found = dissection.dissect(packet)
    if found is None:
        return
    shown = {"at": at, **({"interface": interface} if interface else {}), **found}
    click.echo(json.dumps(shown) if as_json else dissection.text(shown))
