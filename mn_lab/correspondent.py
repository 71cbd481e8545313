"""A correspondent that knows Mobile IPv6: what the mobile node's route optimisation is tried against.

Written from RFC 6275 sections 5.2 and 9 and RFC 5648 section 6, and of the product it uses the codec only: keys, tokens
and signatures are made here once more, so that a misreading at one end shows at the other. Sans I/O: a packet and the
time go in, packets come out. It can be told to misbehave.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address

from mip6.wire.checksum import checksum_ok
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet, is_routable
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    Message,
    decode,
    encode,
)
from mip6.wire.options import (
    AlternateCareOfAddress,
    BindingAuthorizationData,
    BindingIdentifier,
    MalformedBindingIdentifier,
    NonceIndices,
    Option,
)
from mip6.wire.registry import BindingAcknowledgementFlag, BindingErrorStatus, BindingUpdateFlag, Status

NONCE_S, NONCES = 30.0, 8
"""How often there is a new nonce, with a key of its own, and how many are kept (RFC 6275 section 5.2.3)."""
MAX_NONCE_LIFETIME_S = 240.0
MAX_BINDING_LIFETIME = 420 // 4
"""In units of 4 s (RFC 6275 section 12, MAX_RR_BINDING_LIFETIME)."""

_AUTHENTICATOR = 12
_SEQUENCES = 1 << 16
_HOME, _CARE_OF = b"\0", b"\1"
_NO_BID = 0
"""Stands for the binding identifier of a binding that has none."""


class Fault(StrEnum):
    """What it does wrong, as long as it is told to."""

    SILENT = "silent"
    NO_HOME_TEST = "no-home-test"
    NO_CARE_OF_TEST = "no-care-of-test"
    NO_ACKNOWLEDGEMENT = "no-acknowledgement"
    WRONG_AUTHENTICATOR = "wrong-authenticator"
    HOME_NONCE_EXPIRED = "home-nonce-expired"
    CARE_OF_NONCE_EXPIRED = "care-of-nonce-expired"
    BOTH_NONCES_EXPIRED = "both-nonces-expired"
    REFUSES = "refuses"
    FULL = "full"
    PLAIN = "plain"
    """Knows no binding identifiers."""
    SINGLE = "single"
    """Knows them, and allows none."""


_EXPIRED = {
    Fault.HOME_NONCE_EXPIRED: Status.EXPIRED_HOME_NONCE_INDEX,
    Fault.CARE_OF_NONCE_EXPIRED: Status.EXPIRED_CARE_OF_NONCE_INDEX,
    Fault.BOTH_NONCES_EXPIRED: Status.EXPIRED_NONCES,
}

_REFUSED = {Fault.REFUSES: Status.ADMINISTRATIVELY_PROHIBITED, Fault.FULL: Status.INSUFFICIENT_RESOURCES}


@dataclass(frozen=True, slots=True)
class Nonce:
    """A random number and a key, out of which tokens are made; `index` names it on the wire."""

    index: int
    value: bytes
    key: bytes
    made_at: float

    def token(self, address: IPv6Address, kind: bytes) -> bytes:
        return hmac.new(self.key, address.packed + self.value + kind, hashlib.sha1).digest()[:8]


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a home address is."""

    care_of: IPv6Address
    priority: int
    expires_at: float


@dataclass(slots=True)
class Entry:
    """All bindings of a home address, by binding identifier, the last registered at the end.

    The sequence number of the last update is known as long as the nonces of any may still be valid: what ended a
    binding is not undone by an older update that is played back (RFC 6275 section 5.2.8).
    """

    sequence: int
    known_until_at: float
    bindings: dict[int, Binding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Update:
    """A Binding Update that is authentic."""

    packet: Packet
    home_address: IPv6Address
    message: BindingUpdate
    care_of: IPv6Address
    key: bytes

    @property
    def ends(self) -> bool:
        return self.message.lifetime == 0 or self.care_of == self.home_address

    @property
    def signed_for(self) -> IPv6Address:
        """The care-of address in signatures (RFC 6275 section 6.2.7)."""
        return self.home_address if self.ends else self.care_of


class Correspondent:
    """One, at `address`. `random` gives as many octets as it is asked for."""

    def __init__(self, address: IPv6Address, random: Callable[[int], bytes]) -> None:
        self.address = address
        self.faults: set[Fault] = set()
        self.entries: dict[IPv6Address, Entry] = {}
        self._random = random
        self._nonces: list[Nonce] = []
        self._next_index = int.from_bytes(random(2), "big") or 1

    # what happens to it

    def receive(self, packet: Packet, now: float) -> list[Packet]:
        """Take a mobility message, whose `home_address` came in a Home Address option; gives the answers."""
        if Fault.SILENT in self.faults or packet.destination != self.address:
            return []
        if not checksum_ok(packet.data, packet.home_address or packet.source, packet.destination):
            return []
        try:
            message = decode(packet.data)
        except DecodeError:
            return []
        match message:
            case HomeTestInit() | CareOfTestInit() if packet.home_address is None:
                return self._test(packet, message, now)
            case BindingUpdate():
                return self._register(packet, message, now)
        return []

    def payload(self, source: IPv6Address, home_address: IPv6Address, now: float) -> list[Packet]:
        """A packet with this Home Address option came; gives the Binding Error, if there is no such binding."""
        if Fault.SILENT in self.faults or source in self.bindings(home_address, now).values():
            return []
        return [self._to(source, BindingError(BindingErrorStatus.UNKNOWN_BINDING, home_address))]

    def ask_for_refresh(self, home_address: IPv6Address, *bids: int) -> list[Packet]:
        """By a Binding Refresh Request, to the home address as anything else (RFC 6275 section 9.5.5)."""
        return [self._to(home_address, BindingRefreshRequest(tuple(BindingIdentifier(bid) for bid in bids)))]

    def forget(self) -> None:
        """All bindings."""
        self.entries.clear()

    def restart(self) -> None:
        """And all else."""
        self.forget()
        self._nonces.clear()
        self._next_index = int.from_bytes(self._random(2), "big") or 1

    # what it knows

    def bindings(self, home_address: IPv6Address, now: float) -> dict[int, IPv6Address]:
        """Care-of addresses by binding identifier, 0 for none."""
        return {bid: binding.care_of for bid, binding in self._held(home_address, now).items()}

    def destination(self, home_address: IPv6Address, now: float) -> IPv6Address | None:
        """The care-of address that packets for the home address go to: of the binding with the lowest priority number,
        the latest of several (RFC 6089 section 4.1, RFC 5648 section 6.1).
        """
        held = [*reversed(self._held(home_address, now).values())]
        return min(held, key=lambda binding: binding.priority or 128).care_of if held else None

    def _held(self, home_address: IPv6Address, now: float) -> dict[int, Binding]:
        entry = self.entries.get(home_address)
        if entry is None:
            return {}
        return {bid: binding for bid, binding in entry.bindings.items() if binding.expires_at > now}

    # tests of addresses

    def _test(self, packet: Packet, message: HomeTestInit | CareOfTestInit, now: float) -> list[Packet]:
        fault = Fault.NO_HOME_TEST if isinstance(message, HomeTestInit) else Fault.NO_CARE_OF_TEST
        if fault in self.faults or not is_routable(packet.source):
            return []
        nonce = self._nonce(now)
        if isinstance(message, HomeTestInit):
            token = nonce.token(packet.source, _HOME)
            return [self._to(packet.source, HomeTest(nonce.index, message.cookie, token))]
        token = nonce.token(packet.source, _CARE_OF)
        identifiers = tuple(option for option in message.options if isinstance(option, BindingIdentifier))
        return [self._to(packet.source, CareOfTest(nonce.index, message.cookie, token, identifiers))]

    def _nonce(self, now: float) -> Nonce:
        """The newest, made anew when it is time."""
        if not self._nonces or now - self._nonces[-1].made_at >= NONCE_S:
            nonce = Nonce(self._next_index, self._random(8), self._random(20), now)
            self._nonces = [*self._nonces, nonce][-NONCES:]
            self._next_index = self._next_index % (_SEQUENCES - 1) + 1
        return self._nonces[-1]

    def _find(self, index: int, now: float) -> Nonce | None:
        valid = (nonce for nonce in self._nonces if now - nonce.made_at < MAX_NONCE_LIFETIME_S)
        return next((nonce for nonce in valid if nonce.index == index), None)

    # registration

    def _register(self, packet: Packet, message: BindingUpdate, now: float) -> list[Packet]:
        """In the order of RFC 6275 section 9.5.1: what is not authentic leaves no trace."""
        home_address, data = packet.home_address, packet.data
        nonces = next((option for option in message.options if isinstance(option, NonceIndices)), None)
        is_home_registration = BindingUpdateFlag.HOME_REGISTRATION in message.flags
        if home_address is None or nonces is None or is_home_registration or not is_routable(packet.source):
            return []
        if not message.options or not isinstance(message.options[-1], BindingAuthorizationData):
            return []
        care_of = _care_of_address(packet, message)
        ends = message.lifetime == 0 or care_of == home_address
        home, away = self._find(nonces.home, now), self._find(nonces.care_of, now)
        expired = self._expired(home, away, ends=ends)
        if expired is not None:
            return [self._answer(packet, home_address, BindingAcknowledgement(expired, _NO_FLAGS, message.sequence, 0))]
        assert home is not None
        tokens = home.token(home_address, _HOME)
        if not ends:
            assert away is not None
            tokens += away.token(care_of, _CARE_OF)
        key = hashlib.sha1(tokens).digest()
        update = _Update(packet, home_address, message, care_of, key)
        header = data[: 8 * (data[1] + 1)]
        if self._signature(header[:-_AUTHENTICATOR], key, update.signed_for) != header[-_AUTHENTICATOR:]:
            return []
        return self._take(update, now)

    def _expired(self, home: Nonce | None, away: Nonce | None, *, ends: bool) -> Status | None:
        """What is wrong with the nonces. In what ends a binding the care-of nonce does not matter."""
        for fault, status in _EXPIRED.items():
            if fault in self.faults:
                return status
        if home is None:
            return Status.EXPIRED_NONCES if away is None and not ends else Status.EXPIRED_HOME_NONCE_INDEX
        return Status.EXPIRED_CARE_OF_NONCE_INDEX if away is None and not ends else None

    def _take(self, update: _Update, now: float) -> list[Packet]:
        entry = self.entries.get(update.home_address)
        sequence = update.message.sequence
        if entry is not None and entry.known_until_at > now and not _is_later(sequence, entry.sequence):
            return self._acknowledge(update, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=entry.sequence)
        for fault, refusal in _REFUSED.items():
            if fault in self.faults:
                return self._acknowledge(update, refusal)
        if Fault.PLAIN not in self.faults:
            status = self._refusal(update, self._held(update.home_address, now))
            if status is not None:
                return self._acknowledge(update, status)
        self._change(update, now)
        lifetime = 0 if update.ends else min(update.message.lifetime, MAX_BINDING_LIFETIME)
        return self._acknowledge(update, Status.ACCEPTED, lifetime=lifetime)

    def _refusal(self, update: _Update, held: dict[int, Binding]) -> Status | None:
        """What RFC 5648 section 6.2 has against the binding identifiers in an update."""
        options = update.message.options
        if any(isinstance(option, MalformedBindingIdentifier) for option in options):
            return Status.MCOA_MALFORMED
        identifiers = [option for option in options if isinstance(option, BindingIdentifier)]
        if not identifiers:
            return None
        if Fault.SINGLE in self.faults:
            return Status.MCOA_PROHIBITED
        if len(identifiers) > 1:
            return Status.MCOA_BULK_REGISTRATION_PROHIBITED
        bid = identifiers[0].bid
        if update.ends:
            return None if bid in held else Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE
        overwrites = BindingUpdateFlag.OVERWRITE in update.message.flags
        return Status.MCOA_NON_MCOA_BINDING_EXISTS if _NO_BID in held and not overwrites else None

    def _change(self, update: _Update, now: float) -> None:
        entry = self.entries.setdefault(update.home_address, Entry(update.message.sequence, now))
        entry.sequence = update.message.sequence
        entry.known_until_at = max(entry.known_until_at, now + MAX_NONCE_LIFETIME_S)
        identifiers = [option for option in update.message.options if isinstance(option, BindingIdentifier)]
        identifier = identifiers[0] if identifiers and Fault.PLAIN not in self.faults else None
        bid = identifier.bid if identifier else _NO_BID
        if update.ends:
            for gone in [bid] if identifier else list(entry.bindings):
                entry.bindings.pop(gone)
            return
        if identifier is None or BindingUpdateFlag.OVERWRITE in update.message.flags:
            entry.bindings.clear()
        entry.bindings.pop(bid, None)
        lifetime_s = 4 * min(update.message.lifetime, MAX_BINDING_LIFETIME)
        priority = identifier.priority if identifier else 0
        entry.bindings[bid] = Binding(update.care_of, priority, now + lifetime_s)
        entry.known_until_at = max(entry.known_until_at, now + lifetime_s)

    def _acknowledge(
        self, update: _Update, status: Status, *, sequence: int | None = None, lifetime: int = 0
    ) -> list[Packet]:
        """The result is in the message's own status (RFC 5648 section 6.2)."""
        if Fault.NO_ACKNOWLEDGEMENT in self.faults:
            return []
        if BindingUpdateFlag.ACKNOWLEDGE not in update.message.flags and status is Status.ACCEPTED:
            return []
        number = update.message.sequence if sequence is None else sequence
        answer = BindingAcknowledgement(status, _NO_FLAGS, number, lifetime, tuple(self._identifiers(update)))
        blank = BindingAuthorizationData(bytes(_AUTHENTICATOR))
        text = encode(BindingAcknowledgement(status, _NO_FLAGS, number, lifetime, (*answer.options, blank)))
        signature = self._signature(text[:-_AUTHENTICATOR], update.key, update.signed_for)
        if Fault.WRONG_AUTHENTICATOR in self.faults:
            signature = bytes(_AUTHENTICATOR)
        data = text[:-_AUTHENTICATOR] + signature
        return [Packet(self.address, update.packet.source, update.home_address, data)]

    def _identifiers(self, update: _Update) -> Iterator[Option]:
        if Fault.PLAIN not in self.faults:
            for option in update.message.options:
                if isinstance(option, BindingIdentifier):
                    yield BindingIdentifier(option.bid, priority=option.priority)

    def _signature(self, text: bytes, key: bytes, care_of: IPv6Address) -> bytes:
        """First96(HMAC_SHA1(Kbm, care-of address | correspondent | message without authenticator and checksum))."""
        unsummed = text[:4] + b"\0\0" + text[6:]
        digest = hmac.new(key, care_of.packed + self.address.packed + unsummed, hashlib.sha1).digest()
        return digest[:_AUTHENTICATOR]

    def _answer(self, packet: Packet, home_address: IPv6Address, message: Message) -> Packet:
        return Packet(self.address, packet.source, home_address, encode(message))

    def _to(self, destination: IPv6Address, message: Message) -> Packet:
        return Packet(self.address, destination, None, encode(message))


_NO_FLAGS = BindingAcknowledgementFlag(0)


def _is_later(sequence: int, than: int) -> bool:
    return 0 < (sequence - than) % _SEQUENCES < _SEQUENCES // 2


def _care_of_address(packet: Packet, message: BindingUpdate) -> IPv6Address:
    """In the binding identifier, in an option of its own, or the packet's source (RFC 5648 section 6.2)."""
    for option in message.options:
        if isinstance(option, BindingIdentifier | AlternateCareOfAddress) and isinstance(option.care_of, IPv6Address):
            return option.care_of
    return packet.source
