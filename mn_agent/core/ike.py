"""The IKE SA with the home agent: whether it is there, and when and from where to make it anew (RFC 4877 section 7).

IKEv2 runs from one care-of address (RFC 5648 section 9.1). While the IKE SA lives, a change of that address is a matter
of registration: a Binding Update with the K bit. Here it is about the first one, and about those that are lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from math import inf

from mip6 import tunnels
from mip6.ike import MOBILITY, Connection, Lifetime, SharedKey, mobility_child, tunnel_child
from mip6.ike_sas import ChildSa, IkeSa
from mip6.ipsec import MOST_TUNNELS, RETURN_ROUTABILITY, Association, Side
from mip6.tunnels import Negotiated, Tunnels
from mn_agent.core.settings import Settings

CONNECTION = "monami6"
"""What charon calls it."""
CHILD_S, IKE_S, CHECK_S = 3600, 4 * 3600, 60
"""When security associations are rekeyed, and after what silence to see whether the home agent has its IKE SA still."""
TRY_S = 8.0
"""How long charon has to establish an IKE SA."""
TUNNEL_TRY_S = 2.0
"""How long until a tunnel that is not there is asked for again: over an IKE SA that is there it takes a round trip."""
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 32.0
LONGEST_SILENCE_S = 300.0
"""After a try that failed: twice as long each time."""


def connection(settings: Settings, care_of: IPv6Address) -> Connection:
    """What charon has to know. Only we rekey: if both did, packets would be lost."""
    ikev2, home = settings.ikev2, settings.home
    assert ikev2 is not None
    credential = ikev2.certificates or SharedKey(ikev2.secret or b"")
    lifetime = Lifetime(end_s=2 * CHILD_S, rekey_s=CHILD_S)
    ends = settings.association
    numbers = range(MOST_TUNNELS + 1 if ikev2.payload else 1)
    tunnels_ = (tunnel_child(ends, Side.MOBILE_NODE, number, lifetime) for number in numbers)
    return Connection(
        name=CONNECTION,
        local_address=care_of,
        remote_address=home.agent,
        local_id=ikev2.identity,
        remote_id=ikev2.home_agent_identity,
        credential=credential,
        children=(mobility_child(ends, Side.MOBILE_NODE, lifetime), *tunnels_),
        rekey_s=IKE_S,
        check_s=CHECK_S,
    )


@dataclass(frozen=True, slots=True)
class Try:
    """That a tunnel was asked for, how often since the IKE SA is up, and when last."""

    count: int
    asked_at: float

    @property
    def again_at(self) -> float:
        return self.asked_at + min(TUNNEL_TRY_S * 2.0 ** (self.count - 1), LONGEST_SILENCE_S)


@dataclass(frozen=True, slots=True)
class Ike:
    """What is known of our IKE SA, and what was tried."""

    charon: bool = False
    """Whether charon is there."""
    sa: IkeSa | None = None
    """What charon has, or had when it was there last."""
    given_up: int | None = None
    """Initiator's SPI of the one that is to be replaced: charon has it until it gets to that."""
    since_at: float = -inf
    """Since when the IKE SA has been up."""
    asked_from: IPv6Address | None = None
    """The care-of address of the last try."""
    asked_at: float = -inf
    ended_at: float = inf
    """When charon gave it up."""
    tries: int = 0
    """Since the IKE SA was up."""
    unheard: int = 0
    """How often it was made anew because nothing that it protected was answered."""
    tunnels: Tunnels = field(default_factory=dict)
    tunnel_tries: Mapping[int, Try] = field(default_factory=dict)
    """By number, of those that are not there yet."""

    @property
    def child(self) -> ChildSa | None:
        """The CHILD_SA that protects mobility messages, if it is installed."""
        children = self.sa.children if self.sa is not None else ()
        return next((one for one in children if one.name == MOBILITY and one.is_installed), None)

    @property
    def is_ready(self) -> bool:
        """Whether mobility messages can be protected: what was negotiated lives on without charon."""
        return self.child is not None

    @property
    def care_of(self) -> IPv6Address | None:
        """Where the IKE SA is."""
        address = self.sa.local_address if self.sa is not None else None
        return address if isinstance(address, IPv6Address) else None


def looked(ike: Ike, association: Association, sas: Iterable[IkeSa] | None, negotiated: Negotiated, now: float) -> Ike:
    """Charon was asked; None: it is not there."""
    if sas is None:
        return replace(ike, charon=False)
    ours = [sa for sa in sas if sa.connection == CONNECTION and sa.is_up and sa.initiator_spi != ike.given_up]
    sa = max(ours, key=lambda sa: sa.unique_id, default=None)
    found = tunnels.looked(ike.tunnels, association, Side.MOBILE_NODE, ours, negotiated, now)
    seen = replace(ike, charon=True, sa=sa, tunnels=found)
    if not seen.is_ready:
        return replace(seen, tunnel_tries={})
    tries = {number: one for number, one in ike.tunnel_tries.items() if number not in found}
    since_at = ike.since_at if ike.is_ready else now
    return replace(seen, since_at=since_at, tries=0, asked_from=None, tunnel_tries=tries)


def start_anew(ike: Ike) -> Ike:
    """What was tried in vain is no reason to wait."""
    return replace(ike, asked_from=None, tries=0, unheard=0, tunnel_tries={})


def adopt(ike: Ike, now: float) -> Ike:
    """Send with new keys whose time has come."""
    adopted = tunnels.adopt(ike.tunnels, now)
    return ike if adopted is ike.tunnels else replace(ike, tunnels=adopted)


def missing(ike: Ike, bids: Sequence[int], *, payload: bool) -> list[int]:
    """The tunnels that have to be negotiated, in this order. `bids`: of the links that could use one."""
    wanted = [*(bid for bid in bids if payload and bid <= MOST_TUNNELS), RETURN_ROUTABILITY]
    can_ask = ike.charon and ike.is_ready
    return [number for number in wanted if number not in ike.tunnels] if can_ask else []


def tunnel_due_at(ike: Ike, number: int) -> float:
    """When to ask for a tunnel that is missing."""
    tried = ike.tunnel_tries.get(number)
    return -inf if tried is None else tried.again_at


def asked_tunnel(ike: Ike, number: int, now: float) -> Ike:
    """It is tried."""
    tried = ike.tunnel_tries.get(number)
    return replace(ike, tunnel_tries={**ike.tunnel_tries, number: Try(tried.count + 1 if tried else 1, now)})


def next_care_of(ike: Ike, candidates: Sequence[IPv6Address]) -> IPv6Address:
    """From where to try next. `candidates`: at least one, the best first; each gets its turn."""
    place = candidates.index(ike.asked_from) + 1 if ike.asked_from in candidates else 0
    return candidates[place % len(candidates)]


def asked(ike: Ike, care_of: IPv6Address, now: float) -> Ike:
    """It is tried."""
    given_up = _given_up(ike)
    return replace(ike, sa=None, given_up=given_up, asked_from=care_of, asked_at=now, ended_at=inf, tries=ike.tries + 1)


def unheard(ike: Ike) -> Ike:
    """Nothing that it protects is answered: it does not count any more."""
    return replace(ike, sa=None, given_up=_given_up(ike), asked_from=None, unheard=ike.unheard + 1)


def left(ike: Ike) -> Ike:
    """Another home agent is to have one."""
    return Ike(charon=ike.charon, given_up=_given_up(ike))


def _given_up(ike: Ike) -> int | None:
    return ike.sa.initiator_spi if ike.sa is not None else ike.given_up


def unheard_at(ike: Ike) -> float:
    """When silence is a reason to make it anew."""
    return ike.asked_at + min(TRY_S * 2.0**ike.unheard, LONGEST_SILENCE_S)


def ended(ike: Ike, care_of: IPv6Address, now: float) -> Ike:
    """A try from there is over, well or not."""
    return replace(ike, ended_at=min(ike.ended_at, now)) if care_of == ike.asked_from else ike


def due_at(ike: Ike, candidates: Sequence[IPv6Address]) -> float:
    """When to try next: at once from a new address when the one of the last try is no candidate any more."""
    if not ike.charon or ike.is_ready:
        return inf
    if ike.asked_from not in candidates:
        return -inf
    return min(ike.asked_at + TRY_S, ike.ended_at) + min(FIRST_PAUSE_S * 2.0 ** (ike.tries - 1), LAST_PAUSE_S)
