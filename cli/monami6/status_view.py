"""The agent's status as a screen full of text."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from mn_agent.core.status import (
    SCHEMA,
    CorrespondentStatus,
    FlowStatus,
    IkeStatus,
    LinkStatus,
    PathStatus,
    RouterStatus,
    Status,
)
from monami6.answers import decode
from monami6.tables import BAD, DOUBTFUL, GOOD, QUIET, cell, console, notes, table
from monami6.times import since, until
from monami6.whereabouts import pinned, place
from monami6.wording import association, bound, is_refused

_STYLES = {"registered": GOOD, "at home": GOOD, "refused": BAD, "unusable": BAD, "no link": BAD}
"""Of states; all others are on their way from one to another."""

_WITH_HOME_AGENT = {
    "registered": "Registered with",
    "partly registered": "Partly registered with",
    "registering": "Registering with",
    "refused": "Refused by",
    "no link": "No link to",
    "coming home": "Coming home, to",
    "at home": "At home, without bindings at",
}

_ADDRESS_WIDTH = 32
"""At least; an address is never folded, for somebody wants to copy it."""

_SECURITY = {
    "auth-option": "authenticated by a shared key (RFC 4285)",
    "manual": "protected by IPsec with keys that never change",
    "ikev2": "protected by IPsec, with keys from IKEv2",
}


def show(answer: bytes) -> None:
    """Print it. Raises Failure when it is not what this version understands."""
    status = decode(answer, Status, SCHEMA)
    screen = console()
    for line in (*_registration(status), *_traffic(status)):
        screen.print(line)
    if status.links:
        screen.print()
        screen.print(_links(status))
    notes(screen, status.troubles, status.counters)


def _registration(status: Status) -> Iterator[Text]:
    registered, now = status.registration, status.at
    state = _WITH_HOME_AGENT.get(registered.state, f"{registered.state}:")
    others = f" (others: {', '.join(status.alternatives)})" if status.alternatives else ""
    home_agent = f"{_home_agent(status)}{others}"
    yield Text.assemble((state, _STYLES.get(registered.state, DOUBTFUL)), f" home agent {home_agent}")
    if registered.since is not None or registered.state == "registered":
        yield Text(f"  {since(registered.since, now)}; {until(registered.until, now)}")
    if registered.problem:
        yield Text(f"  {registered.problem}", style=BAD)
    if registered.care_of_addresses == "one":
        yield Text("  one link at a time: this home agent takes a single care-of address", style=DOUBTFUL)
    security = _SECURITY.get(status.security, status.security)
    yield Text(f"Home address {status.home_address} of {status.identity},\n  {security}")
    for what, at in (("preferred", status.preferred_until), ("valid", status.valid_until)):
        if at is not None:
            yield Text(f"  {what} {until(at, now)}", style=DOUBTFUL)
    if status.router is not None:
        yield from _router(status.router)


def _home_agent(status: Status) -> str:
    """With its name and where its address comes from, where the DNS has to do with it."""
    if status.lookup is None:
        return str(status.home_agent)
    if status.home_agent is None:
        return f"of which the DNS is asked ({status.lookup.question})"
    if status.home_agent_name is None:
        return status.home_agent
    return f"{status.home_agent_name}, {status.home_agent} by {status.home_agent_from}"


def _router(router: RouterStatus) -> Iterator[Text]:
    """`monami6 flows` says more."""
    mode = ("as a host only", BAD) if router.mode == "host" else (f"in {router.mode} mode", QUIET)
    networks = ", ".join(one.prefix for one in router.networks)
    inwards = (", ".join(router.interfaces), "") if router.interfaces else ("no interface that is there", BAD)
    yield Text.assemble(f"Mobile router for {networks}\n  behind ", inwards, ", served ", mode)
    if router.problem:
        yield Text(f"  {router.problem}", style=BAD if router.mode == "host" else DOUBTFUL)


def _traffic(status: Status) -> Iterator[Text]:
    default, ike, now = status.default, status.ike, status.at
    yield Text(f"Policy {status.policy}")
    yield place("Default traffic", _only(default.link), default.why, when=since(default.since, now))
    if default.pinned is not None:
        yield pinned(default.pinned)
    yield from map(_flow, status.flows)
    yield place("IKEv2 care-of address", _only(ike.link), ike.why, when=since(ike.since, now))
    if ike.pinned is not None:
        yield pinned(ike.pinned, ike=True)
    if ike.strongswan is not None:
        yield _ike_sa(ike, now)
    yield from (_correspondent(one, now) for one in status.correspondents)
    names = {link.bid: link.name for link in status.links}
    yield from (Text(association(one, now, names)) for one in status.associations)


def _ike_sa(ike: IkeStatus, now: float) -> Text:
    if ike.sa is None:
        return Text(f"  no IKE SA{'' if ike.strongswan else ': strongSwan is not there'}", style=BAD)
    there = ("" if ike.strongswan else "; strongSwan is not there", DOUBTFUL)
    address = ike.sa.care_of_address or "an unknown address"
    return Text.assemble(f"  IKE SA at {address} {since(ike.sa.since, now)}", there)


def _only(link: str | None) -> list[str]:
    return [] if link is None else [link]


def _flow(flow: FlowStatus) -> Text:
    """One line; `monami6 flows` says more."""
    links = (", ".join(flow.links), GOOD) if flow.links else ("carried by no link", BAD)
    pin = ""
    if flow.pinned is not None:
        pin = ", pinned" if flow.pinned in flow.links else f", pinned to {flow.pinned}"
    style = BAD if is_refused(flow.bound) else DOUBTFUL
    binding = (f"; {bound(flow.bound)}", style) if flow.bound != "yes" else ""
    return Text.assemble(f"Flow {flow.name}: ", links, (pin, DOUBTFUL), binding)


def _correspondent(one: CorrespondentStatus, now: float) -> Text:
    """How packets get there."""
    told = f"Correspondent {one.address}: "
    if one.link is not None:
        return Text.assemble(told, (f"directly over {one.link}", GOOD), f"\n  {until(one.until, now)}")
    why = "" if one.problem is None else f"\n  {one.problem}; left alone {until(one.again_at, now)}"
    return Text.assemble(told, (f"through the tunnel{why}", DOUBTFUL))


def _links(status: Status) -> Table:
    drawn = table("LINK", "CARE-OF ADDRESS", "STATE")
    drawn.columns[1].width = max(_ADDRESS_WIDTH, *(len(link.care_of_address or "") for link in status.links))
    for link in status.links:
        drawn.add_row(_name(link), _address(link, status.at), _state(link, status.at))
    return drawn


def _name(link: LinkStatus) -> Text:
    interface = link.interface if link.interface != link.name else None
    metered = "metered" if link.metered else None
    told = ", ".join(filter(None, (interface, link.kind, metered)))
    return cell(Text(link.name, style="bold"), Text(told, style=QUIET), *_connection(link))


def _connection(link: LinkStatus) -> Iterator[Text]:
    """What NetworkManager calls it; a Wi-Fi network and the connection to it mostly have the same name."""
    names = dict.fromkeys(filter(None, (link.connection, link.ssid)))
    if names:
        yield Text(", ".join(names), style=QUIET)
    if link.signal_percent is not None:
        yield Text(f"signal {link.signal_percent} %", style=QUIET)


def _address(link: LinkStatus, now: float) -> Text:
    bound_until = f", {until(link.until, now)}" if link.until is not None else ""
    identifier = Text(f"BID {link.bid}{bound_until}", style=QUIET)
    path = _path(link.path) if link.state != "unusable" else None
    problem = Text(link.problem, style=DOUBTFUL) if link.problem else None
    return cell(link.care_of_address or "none", identifier, path, _obstacle(link), problem)


def _obstacle(link: LinkStatus) -> Text | None:
    """Between it and the Internet, as NetworkManager says; a path that is alive tells more than `none`."""
    if link.captive:
        return Text("behind a captive portal", style=BAD)
    return Text("limited connectivity", style=DOUBTFUL) if link.connectivity == "limited" else None


def _path(path: PathStatus) -> Text:
    """How good it is, as far as anybody knows."""
    if path.state != "alive":
        return Text(f"path {path.state}", style=BAD if path.state == "dead" else QUIET)
    rtt = "unknown" if path.rtt_ms is None else f"{path.rtt_ms:.1f} ms"
    lost = (f", {max(1, round(100 * path.loss))} % lost", DOUBTFUL) if path.loss else ""
    return Text.assemble((f"rtt {rtt}", QUIET), lost)


def _state(link: LinkStatus, now: float) -> Text:
    state = Text(link.state, style=_STYLES.get(link.state, DOUBTFUL))
    carries = Text("default traffic", style=GOOD) if link.carries_default else None
    waits = None
    if link.waits_until is not None:
        waits = Text(f"has to prove itself\n{until(link.waits_until, now)}", style=DOUBTFUL)
    return cell(state, since(link.since, now), carries, waits)
