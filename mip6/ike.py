"""IKEv2 as we want it from charon, strongSwan's daemon, and what to ask of charon for it. Pure.

`mip6.vici` carries the requests, `mip6.ike_sas` reads what charon has. IKEv2 runs between a care-of address and the
home agent (RFC 4877 section 4.4). The first CHILD_SA protects mobility messages between home address and home agent;
each of the others is a tunnel (mip6.tunnels): one for return routability, and for payload one per binding. The latter
have the same traffic selectors: a label tells them apart, which IKEv2 carries beside the selectors and no kernel sees.
The policies are ours; the reqid is what ties charon's states to them.
"""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address, IPv6Network
from typing import TypeAlias

from mip6.form import Certificate, PrivateKey
from mip6.ipsec import REPLAY_WINDOW, RETURN_ROUTABILITY, Association, Side, Use, tunnel_use
from mip6.kernel import ANYWHERE, host
from mip6.wire.registry import NextHeader

Value: TypeAlias = "str | bytes | list[str] | list[bytes] | dict[str, Value]"
Section: TypeAlias = dict[str, Value]
"""A vici message, or a part of one. In what charon says, values are text."""

ANSWER_S = 10.0
"""How long charon may take for what waits for nothing but charon."""


class Mode(Enum):
    """What a CHILD_SA does to packets, by charon's names."""

    TUNNEL = "tunnel"
    TRANSPORT_PROXY = "transport_proxy"
    """Transport mode between the addresses of the selectors, whatever IKEv2 runs between."""


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """Packets of one side of a CHILD_SA. `protocol` 0: any."""

    network: IPv6Network
    protocol: int = 0

    def __str__(self) -> str:
        return f"{self.network}[{self.protocol}]" if self.protocol else str(self.network)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an SA is used. Of two peers one should have no `rekey_s`, so that they never rekey at once."""

    end_s: int
    """When it ends, rekeyed or not."""
    rekey_s: int | None = None
    """About when we rekey it; None: only the peer does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A CHILD_SA as we want it."""

    name: str
    mode: Mode
    local: tuple[TrafficSelector, ...]
    remote: tuple[TrafficSelector, ...]
    reqid: int
    """Charon finds by it what a MIGRATE is about: the one that tells of IKE's addresses names that of the mobility
    messages."""
    lifetime: Lifetime
    label: str | None = None
    """Tells it from others with the same selectors; the same at both ends."""
    replay_window: int = REPLAY_WINDOW
    proposals: tuple[str, ...] = ("aes128-sha256", "aes256-sha256")
    """None with a combined mode: a state of ours that somebody deletes is put back, and begins anew with its sequence
    numbers; in those modes that is to use a nonce twice."""


MOBILITY = "mobility"
"""What charon calls the child that protects mobility messages, and mobile prefix discovery."""


def mobility_child(association: Association, side: Side, lifetime: Lifetime) -> Child:
    """It, as either end has it: SAs between home address and home agent, whatever IKEv2 runs between (RFC 4877 section
    4.4). They would take any protocol; the policies say for which they are (section 4.3 leaves that choice).
    """
    home_address, home_agent = (
        (TrafficSelector(host(address)),) for address in (association.home_address, association.home_agent)
    )
    is_mobile_node = side is Side.MOBILE_NODE
    return Child(
        name=MOBILITY,
        mode=Mode.TRANSPORT_PROXY,
        local=home_address if is_mobile_node else home_agent,
        remote=home_agent if is_mobile_node else home_address,
        reqid=association.reqid(Use.MOBILITY),
        lifetime=lifetime,
    )


def tunnel_child(association: Association, side: Side, number: int, lifetime: Lifetime) -> Child:
    """The tunnel with this number, as either end has it: whatever it is for, between the mobile node, with the networks
    behind it, and anywhere.
    """
    use = tunnel_use(number)
    protocol = NextHeader.MOBILITY if use is Use.RETURN_ROUTABILITY else 0
    ours = tuple(TrafficSelector(network, protocol) for network in association.mobile_end(use))
    others = (TrafficSelector(ANYWHERE, protocol),)
    is_mobile_node = side is Side.MOBILE_NODE
    return Child(
        name=tunnel_name(number),
        mode=Mode.TUNNEL,
        local=ours if is_mobile_node else others,
        remote=others if is_mobile_node else ours,
        reqid=association.reqid(use),
        lifetime=lifetime,
        label=None if use is Use.RETURN_ROUTABILITY else tunnel_name(number),
    )


def tunnel_name(number: int) -> str:
    """What charon calls the CHILD_SA of a tunnel."""
    return "return-routability" if number == RETURN_ROUTABILITY else f"binding-{number}"


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key that both ends have."""

    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """X.509, each as PEM or DER. The peer's certificate must be issued by `authority`."""

    own: Certificate
    private_key: PrivateKey = field(repr=False)
    authority: Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An IKE_SA with one peer as we want it, and its CHILD_SAs."""

    name: str
    local_address: IPv6Address
    """Where IKEv2 runs from until the IKE_SA is moved. Never "any": charon might choose the home address."""
    remote_address: IPv6Address | None
    """None: wherever the peer is."""
    local_id: str
    remote_id: str
    """Identities: a domain name, user@domain, or an address (RFC 4877 section 7.3)."""
    credential: SharedKey | Certificates
    children: tuple[Child, ...]
    rekey_s: int | None
    """About when we rekey it; None: only the peer does."""
    check_s: int | None
    """After how long a silence to look whether the peer lives (RFC 7296 section 2.4); None: never."""
    proposals: tuple[str, ...] = ()
    """Charon's own when there are none."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask of charon. The message may have secrets, which no repr shows."""

    command: str
    message: Section = field(default_factory=dict, repr=False)
    answer_s: float = ANSWER_S
    """How long the answer may take."""


def loading(connection: Connection) -> list[Request]:
    """What charon has to be told, in this order, for it to know the connection; repeated, it replaces. An IKE_SA that
    exists stays as it is.
    """
    match connection.credential:
        case SharedKey(key):
            owners = [connection.local_id, connection.remote_id]
            shared: Section = {"id": connection.name, "type": "IKE", "data": key, "owners": owners}
            credentials = [Request("load-shared", shared)]
            local: Section = {"auth": "psk"}
            remote: Section = {"auth": "psk"}
        case Certificates(own=own, private_key=private_key, authority=authority):
            credentials = [Request("load-key", {"type": "any", "data": private_key})]
            local = {"auth": "pubkey", "certs": [own]}
            remote = {"auth": "pubkey", "cacerts": [authority]}
    body: Section = {
        "version": "2",
        "local_addrs": [str(connection.local_address)],
        "remote_addrs": ["%any6" if connection.remote_address is None else str(connection.remote_address)],
        # It is we who move the IKE_SA (RFC 4877 section 7.4), not charon
        "mobike": "no",
        # A peer that was started anew replaces what it had
        "unique": "replace",
        "send_cert": "always",
        "rekey_time": _seconds(connection.rekey_s),
        "dpd_delay": _seconds(connection.check_s),
        "local": {**local, "id": connection.local_id},
        "remote": {**remote, "id": connection.remote_id},
        "children": {child.name: _child(child) for child in connection.children},
    }
    if connection.proposals:
        body["proposals"] = list(connection.proposals)
    return [*credentials, Request("load-conn", {connection.name: body})]


def _child(child: Child) -> Section:
    section: Section = {
        "mode": child.mode.value,
        "policies": "no",
        "local_ts": [str(one) for one in child.local],
        "remote_ts": [str(one) for one in child.remote],
        "reqid": str(child.reqid),
        "replay_window": str(child.replay_window),
        "esp_proposals": list(child.proposals),
        "rekey_time": _seconds(child.lifetime.rekey_s),
        "life_time": _seconds(child.lifetime.end_s),
        # Subtracted, at random, from the time to rekey. Charon's own choice is all between that and the end; and it
        # subtracts from 0, too, which makes it rekey without end
        "rand_time": _seconds((child.lifetime.rekey_s or 0) // 10),
    }
    if child.label is not None:
        section |= {"label": child.label, "label_mode": "simple"}
    return section


def _seconds(duration_s: int | None) -> str:
    return f"{duration_s or 0}s"


def initiation(connection: str, child: str, timeout_s: float) -> Request:
    """Negotiate a CHILD_SA, and the IKE_SA if there is none. The answer comes when it is there, cannot be, or after
    `timeout_s`; charon still goes on trying then. One that is there already is refused.
    """
    message: Section = {"ike": connection, "child": child, "timeout": str(round(1000 * timeout_s))}
    return Request("initiate", message, timeout_s + ANSWER_S)


def termination(connection: str) -> Request:
    """End the IKE_SA and its CHILD_SAs at once; the peer is told but not waited for."""
    return Request("terminate", {"ike": connection, "force": "yes"})
