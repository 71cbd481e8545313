"""monami6 policy explain."""

from collections.abc import Callable
from typing import Any

import click

from monami6 import client


def _number(alias: str) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """Reads a number as a policy file spells it; `alias` is its type in mn_agent.core.policy_file."""

    def read(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        from mip6.wire.traffic_selectors import Span
        from mn_agent.core import policy_file

        (spelled,) = getattr(policy_file, alias).__metadata__
        try:
            found = spelled.read(text)
        except ValueError:
            raise click.BadParameter(f"{text!r}: must be {spelled}") from None
        if not isinstance(found, Span):
            return int(found)
        if found.first != found.last:
            raise click.BadParameter(f"{text!r}: a packet has one, not a range")
        return int(found.first)

    return read


def _address(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    from ipaddress import IPv6Address

    try:
        return str(IPv6Address(text)) if text is not None else None
    except ValueError:
        raise click.BadParameter(f"{text!r}: must be an IPv6 address") from None


_PORT = click.IntRange(0, 0xFFFF)


@click.command()
@click.argument("protocol", required=False, callback=_number("Protocol"))
@click.argument("to", metavar="[ADDRESS]", required=False, callback=_address)
@click.argument("port", required=False, type=_PORT)
@click.option("--local-port", type=_PORT, metavar="N", help="The packet's port on this side.")
@click.option("--dscp", metavar="X", callback=_number("Dscp"), help='Its DSCP, such as "ef" or 46.')
@click.option("--spi", metavar="N", callback=_number("Spi"), help="Its SPI, if it is of IPsec.")
@click.option("--flow-label", metavar="N", callback=_number("Label"), help="Its flow label.")
@click.option("--json", "as_json", is_flag=True, help="Print the agent's answer as it is.")
@click.pass_context
def explain(context: click.Context, /, *, as_json: bool, **packet: int | str | None) -> None:
    """Why everything is where it is, and where a packet would go.

    PROTOCOL, by its name or number, ADDRESS and PORT are those that a packet of this machine is sent to, such as: udp
    2001:db8::1 5060. A protocol without ports has no PORT.
    """
    asked = {name: value for name, value in packet.items() if value is not None}
    _expect_packet(asked)
    answer = client.agent(context).ask("explain", packet=asked or None)
    if as_json:
        click.echo(answer)
        return
    from monami6.policy_view import show_explanation

    show_explanation(answer)


def _expect_packet(asked: dict[str, Any]) -> None:
    """Raises UsageError unless it is nothing, or enough to tell the flow."""
    if not asked:
        return
    if not {"protocol", "to"} <= asked.keys():
        raise click.UsageError("say of a packet at least PROTOCOL and ADDRESS")
    from mip6.protocols import WITH_PORTS

    has_ports = asked.get("protocol") in WITH_PORTS
    if has_ports and "port" not in asked:
        raise click.UsageError("say to which PORT: this protocol has some")
    if not has_ports and asked.keys() & {"port", "local_port"}:
        raise click.UsageError("this protocol has no ports")
