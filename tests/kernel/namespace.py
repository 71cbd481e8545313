"""A network namespace for this very process, so that what a test makes in it can be looked at from inside."""

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CLONE_NEWNET = 0x40000000


@contextmanager
def own_namespace() -> Iterator[None]:
    """While it lasts, sockets and programs of this thread are in a new namespace, which then is gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        ip("link", "set", "lo", "up")
        yield
    finally:
        if libc.setns(before, CLONE_NEWNET):
            os._exit(70)  # nothing may go on in the wrong namespace
        os.close(before)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """While it lasts, sockets and programs of this thread are in a namespace that `ip netns` made."""
    libc = ctypes.CDLL(None, use_errno=True)
    before, there = (os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", f"/run/netns/{name}"))
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        if libc.setns(before, CLONE_NEWNET):
            os._exit(70)  # nothing may go on in the wrong namespace
        os.close(there)
        os.close(before)


def ip(*arguments: str) -> str:
    """What `ip` prints."""
    return subprocess.run(["ip", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def ip_json(*arguments: str) -> list[dict[str, Any]]:
    """What `ip -6 -j` tells."""
    told: list[dict[str, Any]] = json.loads(ip("-6", "-j", "-d", *arguments) or "[]")
    return told


def ip_batch(*lines: str) -> None:
    """Many commands in one process."""
    subprocess.run(["ip", "-6", "-batch", "-"], input="\n".join(lines), check=True, text=True)


def cable(name: str, peer: str) -> None:
    """Two interfaces with carrier, and nobody's addresses on them."""
    ip("link", "add", name, "type", "veth", "peer", "name", peer)
    for end in (name, peer):
        ip("link", "set", end, "up", "addrgenmode", "none")
