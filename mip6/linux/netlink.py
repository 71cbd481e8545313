"""Talk to the kernel: requests, dumps and notifications over netlink, rtnetlink first of all.

pyroute2 turns messages into bytes and back; this module owns the sockets. A request is synchronous: the kernel does the
work while we are inside `send`, so the answer is there when it returns and a request never waits for anything but the
kernel's own lock. pyroute2 drops attributes that it does not know in silence (a rule with a misspelt selector would
match everything), so `message` refuses them.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyroute2.netlink import nlmsg

NETLINK_ROUTE, NETLINK_XFRM, NETLINK_NETFILTER = 0, 6, 12
SOL_NETLINK = 270
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3

HEADER = struct.Struct("=IHHII")
"""Of every message: length, type, flags, sequence number, port."""
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_OCTETS = 1 << 16
"""The kernel puts at most half of this into a datagram."""


class NetlinkError(OSError):
    """The kernel refused a request; errno as the kernel gave it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask the kernel, but for the message's header. `kind` is pyroute2's class of such messages."""

    kind: type[nlmsg]
    body: bytes = field(repr=False)
    """It may hold keys."""


def message(kind: type[nlmsg], fields: Mapping[str, int], attributes: Mapping[str, Any]) -> Request:
    """A request of pyroute2's class `kind`. `attributes` are by their kernel names (`RTA_DST`); an unknown field or
    attribute, also in a nested one, is a ValueError. It takes longer than the kernel takes to fulfil it: keep it.
    """
    built = kind()
    known = {name for name, _ in kind.fields}
    for name, value in fields.items():
        if name not in known:
            raise ValueError(f"{kind.__name__} has no field {name}")
        built[name] = value
    built["attrs"] = list(attributes.items())
    _refuse_unknown(kind, built["attrs"])
    built.encode()
    return Request(kind, bytes(built.data[HEADER.size :]))


def _refuse_unknown(kind: type[nlmsg], attributes: list[tuple[str, Any]]) -> None:
    types = {entry[-2]: entry[-1] for entry in kind.nla_map}
    for name, value in attributes:
        if name not in types:
            raise ValueError(f"{kind.__name__} has no attribute {name}")
        if isinstance(value, dict) and "attrs" in value:
            encapsulation = name == "RTA_ENCAP"  # the one whose form another attribute tells
            nested = kind.encaps[dict(attributes)["RTA_ENCAP_TYPE"]] if encapsulation else getattr(kind, types[name])
            _refuse_unknown(nested, value["attrs"])


class Netlink:
    """A socket for requests. One request at a time, each answered before the call returns."""

    def __init__(self, family: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.bind((0, 0))
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        self._sequence = 0

    @property
    def port(self) -> int:
        """Our address on the netlink bus: notifications about our own requests carry it."""
        port: int = self._socket.getsockname()[0]
        return port

    def close(self) -> None:
        self._socket.close()

    def request(self, type_: int, request: Request, flags: int = 0) -> None:
        """Send and wait for the acknowledgement. Raises NetlinkError when the kernel refuses."""
        self._send(type_, request, flags | NLM_F_ACK)
        for _ in self._answers():
            pass

    def get(self, type_: int, request: Request) -> list[bytes]:
        """What there is of this name, as the kernel's message. Raises NetlinkError when there is nothing."""
        self._send(type_, request, NLM_F_ACK)
        return list(self._answers())

    def dump(self, type_: int, request: Request) -> list[nlmsg]:
        """Every object that matches the request, decoded."""
        return [decode(request.kind, payload) for payload in self.dump_raw(type_, request)]

    def dump_raw(self, type_: int, request: Request) -> list[bytes]:
        """Every object, as the kernel's message: for what has to be fast and needs few of many attributes."""
        self._send(type_, request, NLM_F_DUMP)
        return list(self._answers())

    def _send(self, type_: int, request: Request, flags: int) -> None:
        self._sequence += 1
        length = HEADER.size + len(request.body)
        self._socket.send(HEADER.pack(length, type_, flags | NLM_F_REQUEST, self._sequence, 0) + request.body)

    def _answers(self) -> Iterator[bytes]:
        while True:
            for type_, sequence, payload in split(self._socket.recv(_RECEIVE_OCTETS)):
                if sequence != self._sequence:
                    continue  # the rest of an answer that an earlier error cut short
                if type_ == NLMSG_DONE:
                    return
                if type_ == NLMSG_ERROR:
                    _raise_refusal(payload)
                    return
                yield payload


def split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The messages in one datagram from the kernel, as (type, sequence number, whole message)."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, type_, _flags, sequence, _port = HEADER.unpack_from(data, offset)
        yield type_, sequence, data[offset : offset + length]
        offset += (length + 3) & ~3


def attribute(kind: int, data: bytes) -> bytes:
    """An attribute with its padding."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data: bytes, header: struct.Struct) -> dict[int, bytes]:
    """The attributes behind a message's own header, by number, undecoded."""
    return nested(data[HEADER.size + header.size :])


def nested(data: bytes) -> dict[int, bytes]:
    """The attributes in another, likewise."""
    return dict(nested_pairs(data))


def nested_pairs(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Likewise, where there may be several of one number."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += max(4, (length + 3) & ~3)


def decode(kind: type[nlmsg], data: bytes) -> nlmsg:
    """One message as a value of pyroute2's class `kind`."""
    decoded = kind(data)
    decoded.decode()
    return decoded


def _raise_refusal(payload: bytes) -> None:
    (code,) = struct.unpack_from("=i", payload, HEADER.size)
    if code:
        raise NetlinkError(-code, os.strerror(-code) + _reason(payload))


def _reason(payload: bytes) -> str:
    """The kernel's own words (extended acknowledgement, attribute 1), when it gave any."""
    _length, _type, flags, _seq, _port = HEADER.unpack_from(payload)
    capped, has_attributes = flags & 0x100, flags & 0x200
    if not has_attributes:
        return ""
    (request_length,) = struct.unpack_from("=I", payload, HEADER.size + 4)
    offset = HEADER.size + 4 + (HEADER.size if capped else (request_length + 3) & ~3)
    while offset + 4 <= len(payload):
        length, attribute = struct.unpack_from("=HH", payload, offset)
        if attribute == 1:
            return ": " + payload[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += max(4, (length + 3) & ~3)
    return ""


class Notifications:
    """A socket on which the kernel announces changes. Announcements only wake: whoever hears one reads again what it
    is about, and after an overrun (the kernel had to drop some) everything.
    """

    def __init__(self, groups: int, *, ignore_port: int = 0, family: int = NETLINK_ROUTE) -> None:
        """`groups`: bit mask of multicast groups (RTMGRP_*). `ignore_port`: changes made through that socket are ours
        and no news.
        """
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, family
        )
        self._socket.bind((0, groups))
        self._ignore_port = ignore_port

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> set[int] | None:
        """The types of all messages that wait (RTM_NEWLINK, ...); None after an overrun. Never blocks."""
        types: set[int] = set()
        overrun = False
        for message in self.messages():
            if message is None:
                overrun = True
            else:
                types.add(HEADER.unpack_from(message)[1])
        return None if overrun else types

    def messages(self) -> Iterator[bytes | None]:
        """All messages that wait; None where the kernel had to drop some. Never blocks."""
        while True:
            try:
                data, (sender, _groups) = self._socket.recvfrom(_RECEIVE_OCTETS)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield None
                continue
            if sender != 0:
                continue  # only the kernel may tell us about the kernel (CVE-2010-2522 was another program's word)
            yield from (message for _type, _sequence, message in split(data) if self._is_news(message))

    def _is_news(self, message: bytes) -> bool:
        (port,) = struct.unpack_from("=I", message, 12)
        return not port or port != self._ignore_port
