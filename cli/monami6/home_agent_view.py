"""The home agent's status as a screen full of text."""

import socket

from rich.console import Console
from rich.table import Table
from rich.text import Text

from home_agent.core.status import SCHEMA, BindingStatus, FlowStatus, NodeStatus, Status
from monami6.answers import decode
from monami6.tables import BAD, DOUBTFUL, GOOD, QUIET, cell, console, notes, table
from monami6.times import since, until
from monami6.wording import association, traffic


def show(answer: bytes) -> None:
    """Print it. Raises Failure when it is not what this version understands."""
    status = decode(answer, Status, SCHEMA)
    screen = console()
    screen.print(Text.assemble(f"Home agent {status.address} on ", _interface(status.interface)))
    screen.print(f"  for home addresses in {', '.join(status.prefixes)}")
    for other in status.home_agents:
        how = "heard of on the home link" if other.heard else "named by the configuration"
        screen.print(f"  beside {other.address}, preference {other.preference}, {how}", overflow="ignore", crop=False)
    if status.nodes:
        screen.print()
        screen.print(_nodes(status))
    for node in status.nodes:
        if node.security != "auth-option":
            screen.print()
            screen.print(_protection(node))
        for one in node.associations:
            screen.print(association(one, status.at))
    for node in status.nodes:
        if node.flows:
            screen.print()
            screen.print(Text.assemble("Flows of ", (node.name, "bold")))
        for flow in node.flows:
            _show_flow(screen, node, flow)
    notes(screen, status.troubles, status.counters)


def _interface(index: int | None) -> Text:
    if index is None:
        return Text("no interface: none has that address", style=BAD)
    try:
        return Text(socket.if_indextoname(index))
    except OSError:
        return Text(f"interface {index}, which cannot be seen from here")


def _nodes(status: Status) -> Table:
    drawn = table("NODE", "ADDRESS", "")
    addresses = [node.home_address for node in status.nodes]
    addresses += [binding.care_of_address for node in status.nodes for binding in node.bindings]
    addresses += [one.prefix for node in status.nodes for one in node.prefixes]
    drawn.columns[1].width = max(map(len, addresses))  # an address is never folded, for somebody wants to copy it
    for node in status.nodes:
        bound = None if node.bindings else Text("not registered", style=QUIET)
        drawn.add_row(_name(node), cell(node.home_address, Text("home address", style=QUIET)), bound)
        for one in node.prefixes:
            told = ("forwarded", GOOD) if one.forwarded else ("not forwarded", QUIET)
            drawn.add_row("  network behind it", one.prefix, Text(*told))
        for binding in node.bindings:
            drawn.add_row(_binding(binding), binding.care_of_address, _times(binding, status.at))
    return drawn


def _protection(node: NodeStatus) -> Text:
    ike = {None: "", True: ", IKE SA established", False: ", no IKE SA"}[node.ike_sa]
    style = BAD if node.ike_sa is False else QUIET
    return Text.assemble(
        "Messages of ", (node.name, "bold"), f" are protected by IPsec ({node.security})", (ike, style)
    )


def _show_flow(screen: Console, node: NodeStatus, flow: FlowStatus) -> None:
    inactive = ("" if flow.active else ", not active", DOUBTFUL)
    line = Text.assemble(f"  priority {flow.priority}", inactive, f": {flow.packets}")
    screen.print(line, overflow="ignore", crop=False)  # an address is never folded
    bound = [binding.bid for binding in node.bindings]
    for bid in flow.bids:
        counted = flow.sent.get(str(bid))
        told = traffic(*counted) if counted else "unknown" if bid in bound else "not there"
        screen.print(Text(f"    to BID {bid}: {told}"))
    for former, (packets, size) in flow.sent.items():
        if packets and int(former) not in flow.bids:
            screen.print(Text(f"    to BID {former} before: {traffic(packets, size)}"))


def _name(node: NodeStatus) -> Text:
    return cell(Text(node.name, style="bold"), Text(node.identity, style=QUIET))


def _binding(binding: BindingStatus) -> Text:
    name = "  one binding" if binding.bid is None else f"  BID {binding.bid}"
    priority = None if binding.priority is None else Text(f"  priority {binding.priority}", style=QUIET)
    return cell(name, priority, Text("  preferred", style=GOOD) if binding.preferred else None)


def _times(binding: BindingStatus, now: float) -> Text:
    return cell(since(binding.since, now), until(binding.until, now))
