"""Checks of the machine: kernel, packet filter, privileges, NetworkManager, clock."""

import ctypes
import gzip
import os
import re
import stat
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from mip6.linux.nftables import LIBRARY
from monami6.checks import (
    CAP_NET_ADMIN,
    CAP_NET_RAW,
    CannotTellError,
    Check,
    Finding,
    Patient,
    effective_capabilities,
    ok,
    problem,
    warning,
)

NEEDED_KERNEL = (6, 0)
"""The first with seg6 mode encap.red."""

NEWER_KERNEL = "install a kernel of version 6.0 or newer, built with CONFIG_IPV6_SEG6_LWTUNNEL (Debian's are)"

TIME_ERROR = 5
WINDOW_S = 7
"""How far a clock may be off (RFC 4285 section 6)."""
_SET_CLOCK = "let a time service set the clock: apt install systemd-timesyncd, or chrony"

HOOKS = tuple(
    Path(directory, "NetworkManager/dispatcher.d/pre-down.d/50-monami6") for directory in ("/etc", "/usr/lib")
)
"""Where NetworkManager's dispatcher looks for our script; the first that is there counts."""


def kernel_version(_patient: Patient) -> Finding:
    """Old kernels cannot make tunnels of routes."""
    release = os.uname().release
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers is None:
        raise CannotTellError(f"Linux {release} has no version that makes sense", "look at `uname -r`")
    if (int(numbers[1]), int(numbers[2])) < NEEDED_KERNEL:
        return problem(f"Linux {release} is too old: tunnels need 6.0", NEWER_KERNEL)
    return ok(f"Linux {release}: new enough (6.0)")


def encapsulation(patient: Patient) -> Finding:
    """Traffic to the home agent."""
    if refusal := patient.refusal("encapsulation"):
        return problem(f"the kernel makes no tunnel to the home agent (seg6 encap.red): {refusal}", NEWER_KERNEL)
    return ok("a route can tunnel to the home agent (seg6 encap.red)")


def decapsulation(patient: Patient) -> Finding:
    """Traffic from the home agent."""
    if refusal := patient.refusal("decapsulation"):
        return problem(f"the kernel takes no packet out of a tunnel (seg6local End.DT6): {refusal}", NEWER_KERNEL)
    return ok("a route can take packets out of the tunnel (seg6local End.DT6)")


def rules(patient: Patient) -> Finding:
    """One routing table per link."""
    if refusal := patient.refusal("rules"):
        return problem(
            f"the kernel has no policy routing, so links cannot be told apart: {refusal}",
            "install a kernel built with CONFIG_IPV6_MULTIPLE_TABLES",
        )
    return ok("routing can depend on source address and mark")


def nftables_library(_patient: Patient) -> Finding:
    """How the agent talks to the packet filter."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return problem(f"the agent cannot set up its packet filter: {error}", "apt install libnftables1")
    return ok(f"{LIBRARY} is installed")


def packet_filter(patient: Patient) -> Finding:
    """The expressions that the agent's table uses."""
    if refusal := patient.refusal("packet filter"):
        return problem(
            f"nftables refuses what the agent's table needs: {refusal}",
            "install a kernel built with CONFIG_NF_TABLES_IPV6 and CONFIG_NF_TABLES_INET",
        )
    return ok("nftables takes what the agent's table needs")


def ipv6(_patient: Patient) -> Finding:
    """Somebody may have turned it off."""
    try:
        disabled = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text().strip()
    except FileNotFoundError:
        return problem(
            "the kernel runs without IPv6", "remove ipv6.disable=1 from the kernel's command line, then reboot"
        )
    if disabled != "0":
        return problem("IPv6 is turned off on all interfaces", "sysctl -w net.ipv6.conf.all.disable_ipv6=0")
    return ok("IPv6 is on")


def ipsec(patient: Patient) -> Finding:
    """Needed if IPsec protects the messages; otherwise it is for information only."""
    needed = ["IPV6_MIP6", "INET6_ESP", *(["XFRM_INTERFACE"] if patient.security != "manual" else [])]
    missing = [name for name in needed if not _is_built(name)]
    if not missing:
        return ok(f"the kernel can protect messages and payload by IPsec ({', '.join(needed)})")
    lacks = f"the kernel has no {' and no '.join(missing)}"
    if patient.security == "auth-option":
        return ok(f"{lacks}: needed only to protect messages by IPsec")
    return problem(
        f"{lacks}: messages cannot be protected by IPsec",
        "run a kernel that has them (Debian's have), or use [authentication] at both ends",
    )


def _is_built(option: str) -> bool:
    return re.search(rf"^CONFIG_{option}=[ym]$", _kernel_configuration(), re.MULTILINE) is not None


@cache
def _kernel_configuration() -> str:
    with suppress(FileNotFoundError):
        return gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    try:
        return Path(f"/boot/config-{os.uname().release}").read_text()
    except FileNotFoundError:
        raise CannotTellError(
            "the kernel's configuration is neither in /proc/config.gz nor in /boot", "needed only for IPsec: ignore it"
        ) from None


def modules(_patient: Patient) -> Finding:
    """A kernel that was replaced, and not booted yet, finds its modules no more."""
    directory = Path("/lib/modules", os.uname().release)
    if not Path("/proc/modules").exists():
        return ok("this kernel needs no modules")
    if not directory.is_dir():
        return warning(
            f"{directory} is missing: what is not loaded yet (perhaps nf_tables) cannot be loaded any more",
            "reboot into the kernel that is installed, or install the modules of the running one",
        )
    return ok(f"kernel modules are in {directory}")


def privileges(patient: Patient) -> Finding:
    """Of the agent: routes and packet filter need the one, mobility messages the other."""
    pid = patient.status["pid"]
    try:
        held = effective_capabilities(pid)
    except FileNotFoundError:
        raise CannotTellError(
            f"process {pid} cannot be seen from here", "run the doctor where the agent runs"
        ) from None
    needed = {"CAP_NET_ADMIN": CAP_NET_ADMIN, "CAP_NET_RAW": CAP_NET_RAW}
    if missing := [name for name, bit in needed.items() if not held >> bit & 1]:
        return problem(
            f"the agent lacks {' and '.join(missing)}: it can change no route or send no mobility message",
            f"AmbientCapabilities={' '.join(needed)} in its systemd unit, or start it as root",
        )
    return ok("the agent may change routes (CAP_NET_ADMIN) and send mobility messages (CAP_NET_RAW)")


def network_manager(patient: Patient) -> Finding:
    """It takes a link down a moment after it said so, unless a script of its dispatcher's waits for the agent."""
    if all(link["connection"] is None for link in patient.links):
        return ok("NetworkManager manages no link of the agent's")
    hook = next((path for path in HOOKS if path.exists()), None)
    if hook is None:
        return warning(
            "NetworkManager does not wait for the agent before it takes a link down: a few packets are lost then",
            f"install packaging/networkmanager/50-monami6 as {HOOKS[0]}; the Debian package brings it",
        )
    status = hook.stat()
    if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or not status.st_mode & stat.S_IXUSR:
        return warning(
            f"NetworkManager does not run {hook}: it must be root's, executable, and for nobody else to change",
            f"chown root {hook}; chmod 755 {hook}",
        )
    return ok(f"NetworkManager runs {hook} before it takes a link down")


def clock(patient: Patient) -> Finding:
    """Binding Updates carry the time, and the home agent compares it with its own."""
    if time.time() < Path(__file__).stat().st_mtime:
        return problem("the clock shows a time before this program was installed", _SET_CLOCK)
    offset_s = patient.status["clock_offset_s"]
    if offset_s is not None and abs(offset_s) > WINDOW_S:
        return warning(
            f"the clock is {abs(offset_s):.0f} s {'behind' if offset_s > 0 else 'ahead of'} the home agent's: beyond "
            f"{WINDOW_S} s every start needs one round trip more",
            f"{_SET_CLOCK}; if it is right, tell whoever runs the home agent",
        )
    if offset_s is not None:
        return ok(f"the clock is {abs(offset_s):.1f} s off the home agent's; {WINDOW_S} s are allowed")
    raise CannotTellError("the agent does not say how far the clock is off the home agent's", _SET_CLOCK)


def time_service(_patient: Patient) -> Finding:
    """Whether somebody keeps the clock right."""
    if ctypes.CDLL(None).ntp_gettime(ctypes.create_string_buffer(256)) == TIME_ERROR:
        return warning(
            f"no time service keeps the clock: if it drifts by {WINDOW_S} s, updates are refused once before they pass",
            _SET_CLOCK,
        )
    return ok("a time service keeps the clock")


CHECKS = (
    Check("kernel version", kernel_version),
    Check("tunnel out", encapsulation),
    Check("tunnel in", decapsulation),
    Check("policy routing", rules),
    Check("libnftables", nftables_library),
    Check("packet filter", packet_filter),
    Check("IPv6", ipv6),
    Check("IPsec", ipsec),
    Check("modules", modules),
    Check("privileges", privileges),
    Check("NetworkManager", network_manager),
    Check("clock", clock),
    Check("time service", time_service),
)
