"""What a valid Binding Update does to a mobile node's bindings (RFC 5648 section 6.2)."""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address
from math import inf

from home_agent.core.cache import PLAIN, Binding
from home_agent.core.home_binding import is_return, remaining
from home_agent.core.settings import SLOTS, HomeAgent
from mip6.wire.extension import is_routable
from mip6.wire.messages import BindingUpdate, lifetime_seconds, lifetime_units
from mip6.wire.options import BindingIdentifier, MalformedBindingIdentifier
from mip6.wire.registry import BindingUpdateFlag, Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """The bindings from now on, the status of each binding identifier in the update, and the granted lifetime in units
    of 4 s. `statuses` has PLAIN as its only key when the update had no binding identifier.
    """

    bindings: Mapping[int, Binding]
    statuses: Mapping[int, Status]
    lifetime: int


def change(
    held: Mapping[int, Binding],
    message: BindingUpdate,
    *,
    home_address: IPv6Address,
    packet_source: IPv6Address,
    takes_home: bool,
    settings: HomeAgent,
    now: float,
    left_s: float = inf,
) -> Outcome | Status:
    """The outcome, or the status with which the whole update is refused. `takes_home`: there can be a home binding.
    `left_s`: for how long the home address is valid.
    """
    if any(isinstance(option, MalformedBindingIdentifier) for option in message.options):
        return Status.MCOA_MALFORMED
    options = [option for option in message.options if isinstance(option, BindingIdentifier)]
    if any(count > 1 for count in Counter(option.bid for option in options).values()):
        return Status.MCOA_MALFORMED
    if sum(option.home for option in options) > 1:
        return Status.MCOA_MALFORMED
    if message.lifetime == 0 or is_return(options, home_address, packet_source):
        return _delete(held, options)
    lifetime = _granted(message, settings, left_s)
    if not lifetime:
        return Status.NOT_HOME_SUBNET
    if not options:
        return _replace_all(lifetime, packet_source, now)
    if not settings.several_care_of_addresses:
        return Status.MCOA_PROHIBITED
    if len(options) > 1 and not settings.bulk_registration:
        return Status.MCOA_BULK_REGISTRATION_PROHIBITED
    overwrite = bool(message.flags & BindingUpdateFlag.OVERWRITE)
    if PLAIN in held and not overwrite:
        return Status.MCOA_NON_MCOA_BINDING_EXISTS
    left = {} if overwrite else remaining(held, options, home_address)
    known = {binding.care_of for binding in held.values()}
    proved = None if settings.bulk_registration else known | {packet_source, home_address}
    judge = partial(_status, home_address=home_address, takes_home=takes_home, proved=proved)
    return _add(held, left, options, judge, lifetime, settings, now)


def _granted(message: BindingUpdate, settings: HomeAgent, left_s: float) -> int:
    """Never more than was asked for, nor than there is of the home address (RFC 6275 section 10.3.1)."""
    return min(message.lifetime, lifetime_units(min(settings.max_lifetime_s, left_s)))


def _delete(held: Mapping[int, Binding], options: list[BindingIdentifier]) -> Outcome | Status:
    """Those named, or without any name all."""
    if not options and not held:
        return Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE
    named = {option.bid for option in options}
    left = {bid: binding for bid, binding in held.items() if named and bid not in named}
    none = Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE
    statuses = {option.bid: Status.ACCEPTED if option.bid in held else none for option in options}
    return Outcome(left, statuses or {PLAIN: Status.ACCEPTED}, 0)


def _replace_all(lifetime: int, care_of: IPv6Address, now: float) -> Outcome:
    """A plain update: its source is the only care-of address."""
    binding = Binding(PLAIN, care_of, 0, now, now, now + lifetime_seconds(lifetime))
    return Outcome({PLAIN: binding}, {PLAIN: Status.ACCEPTED}, lifetime)


def _add(
    held: Mapping[int, Binding],
    left: Mapping[int, Binding],
    options: list[BindingIdentifier],
    judge: Callable[[BindingIdentifier, object], Status],
    lifetime: int,
    settings: HomeAgent,
    now: float,
) -> Outcome:
    """Add or renew, each on its own merits, of which `judge` knows. `left`: what stays beside them. What is to be
    replaced still tells the care-of address of an option that leaves it out.
    """
    bindings = dict(left)
    named = {option.bid for option in options}
    taken = {binding.slot for bid, binding in held.items() if bid in named or bid in left}
    free = [slot for slot in range(SLOTS) if slot not in taken]
    statuses = {}
    for option in options:
        old = held.get(option.bid)
        care_of = option.care_of or (old.care_of if old else None)
        status = judge(option, care_of)
        if status < Status.UNSPECIFIED and option.bid not in bindings and len(bindings) >= settings.max_bindings:
            status = Status.INSUFFICIENT_RESOURCES
        if status < Status.UNSPECIFIED and isinstance(care_of, IPv6Address):
            since_at = old.registered_at if old and old.care_of == care_of else now
            expires_at = now + lifetime_seconds(lifetime)
            slot = old.slot if old else free.pop(0)
            bindings[option.bid] = Binding(option.bid, care_of, option.priority, since_at, now, expires_at, slot)
        statuses[option.bid] = status
    if min(statuses.values()) >= Status.UNSPECIFIED:
        return Outcome(held, statuses, 0)
    return Outcome(bindings, statuses, lifetime)


def _status(
    option: BindingIdentifier,
    care_of: object,
    *,
    home_address: IPv6Address,
    takes_home: bool,
    proved: Set[IPv6Address] | None,
) -> Status:
    """A home binding is for the home address, nothing else is, and it takes a home link. `proved`: the addresses that
    may be bound, for the mobile node sends from them; None: any.
    """
    if option.bid == PLAIN:
        return Status.MCOA_MALFORMED
    if option.home and not takes_home:
        return Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED
    if care_of is None:
        return Status.MCOA_UNKNOWN_COA
    if not isinstance(care_of, IPv6Address):
        return Status.INVALID_CARE_OF_ADDRESS
    if not is_routable(care_of) or option.home != (care_of == home_address):
        return Status.MCOA_MALFORMED
    if proved is not None and care_of not in proved:
        return Status.INVALID_CARE_OF_ADDRESS
    return Status.MCOA_RETURNHOME_WO_NDP if option.home else Status.ACCEPTED
