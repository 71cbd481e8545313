"""What charon tells of its IKE_SAs and CHILD_SAs, as values. Pure.

`SAS` gives all there are; the events only tell that something changes while somebody listens. None tells that an IKE_SA
was moved by MIGRATE, or that a rekeying failed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias, TypeVar

from mip6.ike import Request, Section

SAS = Request("list-sas")
SAS_EVENT = "list-sa"
"""Each answer to `SAS` is an event of this name."""
EVENTS = ("ike-updown", "ike-update", "ike-rekey", "child-updown", "child-rekey")
"""After these something may be different."""

Address: TypeAlias = IPv4Address | IPv6Address
ValueT = TypeVar("ValueT")


class IkeDecodeError(ValueError):
    """Charon says what we do not understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSa:
    """A CHILD_SA that charon has. Its counters and endpoints are for the kernel to tell: charon loses sight of a state
    that was moved.
    """

    name: str
    unique_id: int
    """Starts from 1 again with charon."""
    reqid: int
    state: str
    """INSTALLED when it is up, REKEYED and DELETED when another has replaced it; charon's word."""
    mode: str
    """TUNNEL, TRANSPORT_PROXY; charon's word."""
    spi_in: int | None
    """None until it is installed."""
    spi_out: int | None
    """Also None when another has replaced it."""
    label: str | None
    installed_s: int | None
    """How long it has been there."""
    rekey_s: int | None
    """In how long we rekey it; None: never."""
    end_s: int | None

    @property
    def is_installed(self) -> bool:
        """Whether it can be used; also while another is about to replace it."""
        return self.state in ("INSTALLED", "REKEYING", "REKEYED")


@dataclass(frozen=True, slots=True, kw_only=True)
class IkeSa:
    """An IKE_SA that charon has, the peer's or ours."""

    connection: str
    unique_id: int
    """Starts from 1 again with charon."""
    state: str
    """ESTABLISHED when it is up; charon's word."""
    local_address: Address | None
    remote_address: Address | None
    local_id: str | None
    remote_id: str | None
    is_initiator: bool
    """We began it."""
    initiator_spi: int
    responder_spi: int
    established_s: int | None
    """How long it has been up."""
    rekey_s: int | None
    """In how long we rekey it; None: never."""
    children: tuple[ChildSa, ...] = ()

    @property
    def is_up(self) -> bool:
        """Whether it can be used; also while another is about to replace it."""
        return self.state in ("ESTABLISHED", "REKEYING", "REKEYED")


def sas_from(listing: Iterable[Section]) -> list[IkeSa]:
    """The answers to `SAS`. Raises IkeDecodeError."""
    return [_ike_sa(connection, section) for item in listing for connection, section in _sections(item)]


def _ike_sa(connection: str, section: Section) -> IkeSa:
    return IkeSa(
        connection=connection,
        unique_id=_required(_number(section, "uniqueid"), "uniqueid"),
        state=_required(_text(section, "state"), "state"),
        local_address=_address(section, "local-host"),
        remote_address=_address(section, "remote-host"),
        local_id=_text(section, "local-id"),
        remote_id=_text(section, "remote-id"),
        is_initiator=_is_yes(section, "initiator"),
        initiator_spi=_required(_number(section, "initiator-spi", 16), "initiator-spi"),
        responder_spi=_required(_number(section, "responder-spi", 16), "responder-spi"),
        established_s=_number(section, "established"),
        rekey_s=_number(section, "rekey-time"),
        children=_children(section),
    )


def _children(section: Section) -> tuple[ChildSa, ...]:
    return tuple(_child_sa(child) for _, child in _sections(_section(section, "child-sas")))


def _child_sa(section: Section) -> ChildSa:
    return ChildSa(
        name=_required(_text(section, "name"), "name"),
        unique_id=_required(_number(section, "uniqueid"), "uniqueid"),
        reqid=_required(_number(section, "reqid"), "reqid"),
        state=_required(_text(section, "state"), "state"),
        mode=_required(_text(section, "mode"), "mode"),
        spi_in=_number(section, "spi-in", 16),
        spi_out=_number(section, "spi-out", 16),
        label=_label(section),
        installed_s=_number(section, "install-time"),
        rekey_s=_number(section, "rekey-time"),
        end_s=_number(section, "life-time"),
    )


def _sections(message: Section) -> Iterator[tuple[str, Section]]:
    return ((name, value) for name, value in message.items() if isinstance(value, dict))


def _section(message: Section, key: str) -> Section:
    match message.get(key):
        case dict() as section:
            return section
        case value:
            raise IkeDecodeError(f"{key} is no section but {value!r}")


def _text(section: Section, key: str) -> str | None:
    match section.get(key):
        case None | str() as text:
            return text
        case value:
            raise IkeDecodeError(f"{key} is no text but {value!r}")


def _is_yes(section: Section, key: str) -> bool:
    return _text(section, key) == "yes"


def _number(section: Section, key: str, base: int = 10) -> int | None:
    text = _text(section, key)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        raise IkeDecodeError(f"{key} is no number but {text!r}") from None


def _address(section: Section, key: str) -> Address | None:
    """None for any address, which an IKE_SA may have that begins."""
    text = _text(section, key)
    if text is None or text.startswith("%any"):
        return None
    try:
        return ip_address(text)
    except ValueError:
        raise IkeDecodeError(f"{key} is no address but {text!r}") from None


def _label(section: Section) -> str | None:
    """Charon writes a label's octets, of which the last is zero, in hexadecimal."""
    text = _text(section, "label")
    try:
        return None if text is None else bytes.fromhex(text).rstrip(b"\0").decode()
    except ValueError:
        raise IkeDecodeError(f"label is no text in hexadecimal but {text!r}") from None


def _required(value: ValueT | None, key: str) -> ValueT:
    if value is None:
        raise IkeDecodeError(f"{key} is missing")
    return value
