"""nftables through its own library: one transaction costs 0.1 ms, where starting the `nft` program costs 5."""

import ctypes
import json
import socket
import struct
from ipaddress import IPv6Address
from typing import Any

from pyroute2.netlink import nlmsg

from mip6.linux.netlink import NETLINK_NETFILTER, Netlink, NetlinkError, Request, attribute, attributes, nested
from mip6.table import Counter

LIBRARY = "libnftables.so.1"

_OUTPUT_JSON = 1 << 4


# linux/netfilter/nfnetlink.h and nf_tables.h
_SUBSYSTEM = 10 << 8
_GET_TABLE, _GET_OBJECT = _SUBSYSTEM | 1, _SUBSYSTEM | 19
_TABLE_NAME, _TABLE_HANDLE = 1, 4
_OBJECT_TABLE, _OBJECT_NAME, _OBJECT_DATA = 1, 2, 4
_COUNTER_OCTETS, _COUNTER_PACKETS = 1, 2
_HEADER = struct.Struct(">BBH")


class NftablesError(OSError):
    """nftables refused a transaction; nothing of it was applied."""


class Nftables:
    """A context of libnftables, for the network namespace in which it was made."""

    def __init__(self) -> None:
        """Raises OSError when the library is not installed (Debian: libnftables1)."""
        self._library = library = ctypes.CDLL(LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
        library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        self._context = ctypes.c_void_p(library.nft_ctx_new(0))
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_output_set_flags(self._context, _OUTPUT_JSON)
        self._netlink = Netlink(NETLINK_NETFILTER)

    def close(self) -> None:
        self._netlink.close()
        self._library.nft_ctx_free(self._context)

    def run(self, commands: str) -> list[dict[str, Any]]:
        """Run commands in nft syntax as one transaction; gives what they list, as nft's JSON objects.
        Raises NftablesError when it is refused.
        """
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        output = self._library.nft_ctx_get_output_buffer(self._context)
        error = self._library.nft_ctx_get_error_buffer(self._context)
        if failed:
            raise NftablesError(error.decode(errors="replace").strip())
        listed: list[dict[str, Any]] = json.loads(output)["nftables"] if output else []
        return listed

    def table_handle(self, name: str) -> int | None:
        """A number that changes whenever somebody deletes the table and makes it anew; None when there is none."""
        try:
            (told,) = self._netlink.get(_GET_TABLE, _request(_TABLE_NAME, name))
        except NetlinkError:
            return None
        return int.from_bytes(attributes(told, _HEADER)[_TABLE_HANDLE], "big")

    def counters(self, name: str) -> dict[str, Counter]:
        """The named counters of the table. libnftables would take ten times as long, and this is asked for often."""
        found = {}
        for told in self._netlink.dump_raw(_GET_OBJECT, _request(_OBJECT_TABLE, name)):
            answer = attributes(told, _HEADER)
            values = nested(answer[_OBJECT_DATA])
            counter = Counter(*(int.from_bytes(values[kind], "big") for kind in (_COUNTER_PACKETS, _COUNTER_OCTETS)))
            found[answer[_OBJECT_NAME].rstrip(b"\0").decode()] = counter
        return found

    def addresses(self, table: str, name: str) -> dict[IPv6Address, Counter]:
        """What is in a set of addresses that rules fill, and what they have counted, if they do. Raises NftablesError
        when there is no such set.
        """
        listed = self.run(f"list set ip6 {table} {name}")
        elements = next(one["set"] for one in listed if "set" in one).get("elem", [])
        return {IPv6Address(one["elem"]["val"]): _counter(one["elem"].get("counter")) for one in elements}


def _counter(told: dict[str, int] | None) -> Counter:
    return Counter(told["packets"], told["bytes"]) if told is not None else Counter()


def _request(kind: int, name: str) -> Request:
    """About what has this name."""
    return Request(nlmsg, _HEADER.pack(socket.AF_INET6, 0, 0) + attribute(kind, name.encode() + b"\0"))
