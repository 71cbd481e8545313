"""Asks polkit over D-Bus whether somebody may do something (org.freedesktop.PolicyKit1.Authority)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dbus_fast import MessageFlag, Variant

from mip6.control import GROUP
from mn_agent.system.bus import Bus, BusError, patience

ASK_S = 60.0
"""How long somebody may take to type a password."""

_NAME, _PATH = "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority"
_MAY_ASK = 1  # AllowUserInteraction


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody, as polkit wants him named."""

    kind: str
    details: Mapping[str, Variant]


def caller(name: str) -> Subject:
    """Who has this unique name on the bus."""
    return Subject("system-bus-name", {"name": Variant("s", name)})


def process(pid: int, uid: int) -> Subject:
    """Raises OSError when it is gone. Its start time tells it from a later one of this number, and the user is the one
    that it had when it asked.
    """
    # The name, in brackets, may contain anything
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    details = {"pid": Variant("u", pid), "start-time": Variant("t", int(fields[19])), "uid": Variant("i", uid)}
    return Subject("unix-process", details)


async def refusal(bus: Bus, subject: Subject, action: str, *, may_ask: bool) -> str | None:
    """Why not; None for yes. `may_ask`: somebody may be asked for a password. Raises AwayError when there is no polkit,
    and BusError.
    """
    async with patience("polkit", ASK_S if may_ask else None):
        reply = await bus.call(
            *(_NAME, _PATH, f"{_NAME}.Authority", "CheckAuthorization", "(sa{sv})sa{ss}us"),
            *([subject.kind, subject.details], action, {}, _MAY_ASK if may_ask else 0, ""),
            flags=MessageFlag.NONE,  # it is made to be started by whoever asks
        )
    if reply is None:
        raise BusError(f"polkit cannot tell who may do {action}: is its policy file installed?")
    if reply.signature != "(bba{ss})":
        raise BusError(f'what polkit says makes no sense: its type is "{reply.signature}"')
    return None if reply.body[0][0] else f"polkit does not allow it ({action}); root and members of {GROUP} may do it"
