"""The agent on the bus: org.monami6.Agent1, for desktops. It offers what the control socket offers.

Messages are taken and answered one by one: a library's objects would not tell who calls, and who may do what depends on
that. The bus says who it is; root and our group may do everything, and polkit says what others may.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Never, TypeAlias

import msgspec
from dbus_fast import Message, MessageFlag, Variant
from dbus_fast.unpack import unpack_variants

from mip6.control import ControlError, Method, Peer, groups, nobody_else
from mip6.tasks import spawn
from mn_agent.core.status import FlowStatus, LinkStatus, Status
from mn_agent.system import polkit
from mn_agent.system.bus import (
    BUS,
    BUS_PATH,
    ERROR,
    PROPERTIES,
    THE_BUS,
    AwayError,
    Bus,
    BusError,
    patience,
    stay,
)
from mn_agent.system.polkit import Subject

NAME, PATH = "org.monami6.Agent1", "/org/monami6/Agent1"
PAUSE_S = 0.1
"""Between telling what has changed and telling it again."""
AT_ONCE = 32
"""Calls under way. They take time that packets need, so more are refused, and many more not even that."""

_INTROSPECTABLE, _PEER = f"{BUS}.Introspectable", f"{BUS}.Peer"
_MACHINE = Path("/etc/machine-id")
_DO_NOT_QUEUE = 4
_OURS = (1, 4)
"""Answers to a request for a name: it is ours now, and it was already."""

_HEAD = """<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"""
_XML = f"""{_HEAD}<node>
  <interface name="{NAME}">
    <method name="Switch">
      <arg name="link" type="s" direction="in"/>
      <arg name="options" type="a{{sv}}" direction="in"/>
    </method>
    <method name="UsePolicy">
      <arg name="policy" type="s" direction="in"/>
    </method>
    <method name="Refresh"/>
    <method name="Status">
      <arg name="json" type="s" direction="out"/>
    </method>
    <property name="Version" type="s" access="read"/>
    <property name="HomeAddress" type="s" access="read"/>
    <property name="HomeAgent" type="s" access="read"/>
    <property name="Security" type="s" access="read"/>
    <property name="Registered" type="b" access="read"/>
    <property name="Registration" type="s" access="read"/>
    <property name="Problem" type="s" access="read"/>
    <property name="Policy" type="s" access="read"/>
    <property name="DefaultLink" type="s" access="read"/>
    <property name="DefaultReason" type="s" access="read"/>
    <property name="PinnedLink" type="s" access="read"/>
    <property name="IkeLink" type="s" access="read"/>
    <property name="IkeCareOfAddress" type="s" access="read"/>
    <property name="Links" type="aa{{sv}}" access="read"/>
    <property name="Flows" type="aa{{sv}}" access="read"/>
    <property name="RouterMode" type="s" access="read"/>
    <property name="Networks" type="as" access="read"/>
    <property name="Troubles" type="a{{ss}}" access="read"/>
  </interface>
  <interface name="{PROPERTIES}">
    <method name="Get">
      <arg name="interface" type="s" direction="in"/>
      <arg name="property" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="GetAll">
      <arg name="interface" type="s" direction="in"/>
      <arg name="properties" type="a{{sv}}" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface" type="s" direction="in"/>
      <arg name="property" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface" type="s"/>
      <arg name="changed" type="a{{sv}}"/>
      <arg name="invalidated" type="as"/>
    </signal>
  </interface>
  <interface name="{_INTROSPECTABLE}">
    <method name="Introspect">
      <arg name="xml" type="s" direction="out"/>
    </method>
  </interface>
  <interface name="{_PEER}">
    <method name="Ping"/>
    <method name="GetMachineId">
      <arg name="machine" type="s" direction="out"/>
    </method>
  </interface>
</node>
"""

_Reply: TypeAlias = tuple[Any, ...]
"""A signature, and what is of it."""


_Plain: TypeAlias = str | bool | int | list[str]


class _CallError(Exception):
    """Somebody called what there is not. `kind`: the end of one of D-Bus's own names of errors."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class Service:
    """The service; while there is no bus, nobody can call."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        glance: Callable[[], Status],
        trouble: Callable[[str | None], None],
    ) -> None:
        """`methods`: those of the control socket. `glance` gives what the properties are made from. `trouble` hears
        what is wrong, and None when nothing is.
        """
        self._methods = methods
        self._glance = glance
        self._trouble = trouble
        self._told: dict[str, Variant] = {}
        self._changed = asyncio.Event()
        self._bus: Bus | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[Never] | None = None
        self._members: Mapping[tuple[str, str], tuple[str, Callable[[Bus, Message], Awaitable[_Reply]]]] = {
            (NAME, "Switch"): ("sa{sv}", self._switch),
            (NAME, "UsePolicy"): ("s", self._use_policy),
            (NAME, "Refresh"): ("", self._refresh),
            (NAME, "Status"): ("", self._status),
            (PROPERTIES, "Get"): ("ss", self._get),
            (PROPERTIES, "GetAll"): ("s", self._get_all),
            (PROPERTIES, "Set"): ("ssv", self._set),
            (_INTROSPECTABLE, "Introspect"): ("", self._introspect),
            (_PEER, "Ping"): ("", self._ping),
            (_PEER, "GetMachineId"): ("", self._machine),
        }

    def start(self) -> None:
        """Be on the bus from now on."""
        self._task = spawn(stay(self._use, self._hear, self._trouble, asyncio.Event()))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def look(self) -> None:
        """The properties may no longer be what they were."""
        self._changed.set()

    async def authority(self, peer: Peer, action: str) -> str | None:
        """What polkit says of somebody at the control socket (mip6.control.Authority)."""
        if self._bus is None:
            return await nobody_else(peer, action)
        try:
            subject = polkit.process(peer.pid, peer.uid)
        except OSError:
            return await nobody_else(peer, action)
        return await _asked(self._bus, subject, peer, action, may_ask=True)

    # The connection

    def _hear(self, _message: Message | None) -> None:
        self._changed.set()

    async def _use(self, bus: Bus) -> Never:
        bus.serve(partial(self._serve, bus))
        self._told = properties(self._glance())
        self._bus = bus
        try:
            await self._take_name(bus)
            self._trouble(None)
            while True:
                await self._changed.wait()
                self._changed.clear()
                bus.insist()
                await self._tell(bus)
                await asyncio.sleep(PAUSE_S)
        finally:
            self._bus = None
            for call in list(self._calls):
                call.cancel()

    async def _take_name(self, bus: Bus) -> None:
        async with patience(THE_BUS):
            reply = await bus.call(BUS, BUS_PATH, BUS, "RequestName", "su", NAME, _DO_NOT_QUEUE)
        if reply is None or reply.body[:1] not in ([answer] for answer in _OURS):
            raise BusError(f"another program is {NAME} on {THE_BUS}")

    async def _tell(self, bus: Bus) -> None:
        before, self._told = self._told, properties(self._glance())
        news = {name: value for name, value in self._told.items() if value != before[name]}
        if news:
            async with patience(THE_BUS):
                await bus.signal(PATH, PROPERTIES, "PropertiesChanged", "sa{sv}as", NAME, news, [])

    # Calls

    def _serve(self, bus: Bus, message: Message) -> None:
        if len(self._calls) >= 2 * AT_ONCE:
            return
        answer = self._answer(bus, message) if len(self._calls) < AT_ONCE else self._refuse(bus, message)
        call = spawn(answer)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _refuse(self, bus: Bus, message: Message) -> None:
        with suppress(AwayError, BusError):
            await bus.reject(message, f"{ERROR}LimitsExceeded", f"there are {AT_ONCE} calls to answer already")

    async def _answer(self, bus: Bus, message: Message) -> None:
        with suppress(AwayError, BusError):  # whoever called hears from the bus that it is gone
            try:
                signature, *results = await self._called(bus, message)
            except _CallError as error:
                await bus.reject(message, f"{ERROR}{error.kind}", str(error))
            except ControlError as error:
                await bus.reject(message, error_name(error.kind), _text(str(error)))
            except (AwayError, BusError) as error:
                await bus.reject(message, error_name("failed"), str(error) or f"{THE_BUS} is gone")
            else:
                await bus.reply(message, signature, *results)

    async def _called(self, bus: Bus, message: Message) -> _Reply:
        interface, member = message.interface, message.member
        if message.path != PATH and interface != _PEER:
            return _way_to_us(message)
        found = next((one for one in self._members if one[1] == member and interface in (one[0], None)), None)
        if found is None:
            is_known = interface is None or any(interface == known for known, _ in self._members)
            raise _CallError("UnknownMethod" if is_known else "UnknownInterface", f"no {interface}.{member} here")
        takes, call = self._members[found]
        if message.signature != takes:
            raise _CallError("InvalidArgs", f'{member} takes "{takes}", not "{message.signature}"')
        return await call(bus, message)

    async def _do(self, bus: Bus, message: Message, name: str, **arguments: object) -> object:
        """What the control socket would do, if the caller may have it done."""
        method = self._methods[name]
        if method.action is not None:
            sender = str(message.sender)
            subject = polkit.caller(sender)
            may_ask = bool(message.flags & MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION)

            async def authority(peer: Peer, action: str) -> str | None:
                return await _asked(bus, subject, peer, action, may_ask=may_ask)

            await method.insist(await _peer(bus, sender), authority)
        return await method.call(arguments)

    async def _switch(self, bus: Bus, message: Message) -> _Reply:
        link, options = unpack_variants(message.body)
        if "link" in options:
            raise ControlError("request", "unknown argument link")
        await self._do(bus, message, "switch", link=link or None, **options)
        return ("",)

    async def _use_policy(self, bus: Bus, message: Message) -> _Reply:
        await self._do(bus, message, "use", policy=message.body[0] or None)
        return ("",)

    async def _refresh(self, bus: Bus, message: Message) -> _Reply:
        await self._do(bus, message, "refresh")
        return ("",)

    async def _status(self, bus: Bus, message: Message) -> _Reply:
        return "s", msgspec.json.encode(await self._do(bus, message, "status"), enc_hook=str).decode()

    async def _get(self, _bus: Bus, message: Message) -> _Reply:
        interface, name = message.body
        values = self._values(interface)
        if name not in values:
            raise _CallError("UnknownProperty", f"no property {name} here")
        return "v", values[name]

    async def _get_all(self, _bus: Bus, message: Message) -> _Reply:
        return "a{sv}", self._values(message.body[0])

    async def _set(self, _bus: Bus, message: Message) -> _Reply:
        raise _CallError("PropertyReadOnly", f"{message.body[1]} can only be read")

    def _values(self, interface: str) -> dict[str, Variant]:
        if interface == NAME:
            return properties(self._glance())
        if any(interface == known for known, _ in self._members):
            return {}
        raise _CallError("UnknownInterface", f"no {interface} here")

    async def _introspect(self, _bus: Bus, _message: Message) -> _Reply:
        return "s", _XML

    async def _ping(self, _bus: Bus, _message: Message) -> _Reply:
        return ("",)

    async def _machine(self, _bus: Bus, _message: Message) -> _Reply:
        return "s", _machine_id()


def _machine_id() -> str:
    try:
        return _MACHINE.read_text().strip()
    except OSError as error:
        raise _CallError("FileNotFound", str(error)) from None


def _way_to_us(message: Message) -> _Reply:
    """Somebody walks along the objects."""
    path = str(message.path).rstrip("/") + "/"
    if not PATH.startswith(path) or message.member != "Introspect" or message.interface not in (_INTROSPECTABLE, None):
        raise _CallError("UnknownObject", f"there is only {PATH}")
    child = PATH.removeprefix(path).partition("/")[0]
    return "s", f'{_HEAD}<node>\n  <node name="{child}"/>\n</node>\n'


async def _asked(bus: Bus, subject: Subject, peer: Peer, action: str, *, may_ask: bool) -> str | None:
    """What polkit says; without it nobody else may do anything."""
    try:
        return await polkit.refusal(bus, subject, action, may_ask=may_ask)
    except AwayError:
        return await nobody_else(peer, action)
    except BusError as error:
        return f"{await nobody_else(peer, action)}: {error}"


async def _peer(bus: Bus, name: str) -> Peer:
    """Who has this unique name. Raises ControlError when the bus does not say."""
    async with patience(THE_BUS):
        reply = await bus.call(BUS, BUS_PATH, BUS, "GetConnectionCredentials", "s", name)
    told = unpack_variants(reply.body[0]) if reply is not None and reply.signature == "a{sv}" else {}
    pid, uid = told.get("ProcessID"), told.get("UnixUserID")
    if not isinstance(pid, int) or not isinstance(uid, int):
        raise ControlError("forbidden", f"{THE_BUS} does not say who you are")
    found: Iterable[int] = told.get("UnixGroupIDs", groups(pid))
    return Peer(pid, uid, frozenset(found))


def error_name(kind: str) -> str:
    """That of an error of the control socket, such as org.monami6.Agent1.Error.NoSuchLink."""
    return f"{NAME}.Error.{''.join(word.capitalize() for word in kind.split('-'))}"


def properties(status: Status) -> dict[str, Variant]:
    """All of the object's. An empty text stands for none; in a link or a flow, what nobody knows is missing."""
    return {
        "Version": _string(status.version),
        "HomeAddress": _string(status.home_address),
        "HomeAgent": _string(status.home_agent or ""),
        "Security": _string(status.security),
        "Registered": Variant("b", status.registration.since is not None),
        "Registration": _string(status.registration.state),
        "Problem": _string(status.registration.problem),
        "Policy": _string(status.policy),
        "DefaultLink": _string(status.default.link),
        "DefaultReason": _string(status.default.why),
        "PinnedLink": _string(status.default.pinned),
        "IkeLink": _string(status.ike.link),
        "IkeCareOfAddress": _string(status.ike.care_of_address),
        "Links": Variant("aa{sv}", [_link(link) for link in status.links]),
        "Flows": Variant("aa{sv}", [_flow(flow) for flow in status.flows]),
        "RouterMode": _string(status.router.mode if status.router else None),
        "Networks": Variant("as", [one.prefix for one in status.router.networks] if status.router else []),
        "Troubles": Variant("a{ss}", {_text(what): _text(why) for what, why in status.troubles.items()}),
    }


def _link(link: LinkStatus) -> dict[str, Variant]:
    return _known(
        Name=link.name,
        Interface=link.interface,
        Kind=link.kind,
        BindingIdentifier=link.bid,
        State=link.state,
        CareOfAddress=link.care_of_address,
        CarriesDefault=link.carries_default,
        Metered=link.metered,
        Captive=link.captive,
        Leaving=link.leaving,
        Path=link.path.state,
        Connectivity=link.connectivity,
        Connection=link.connection,
        Problem=link.problem,
    )


def _flow(flow: FlowStatus) -> dict[str, Variant]:
    return _known(
        Name=flow.name,
        Packets=flow.packets,
        Links=flow.links,
        Reason=flow.why,
        PinnedLink=flow.pinned,
        Bound=flow.bound,
    )


def _known(**values: _Plain | None) -> dict[str, Variant]:
    return {name: _variant(value) for name, value in values.items() if value is not None}


def _variant(value: _Plain) -> Variant:
    match value:
        case bool():
            return Variant("b", value)
        case int():
            return Variant("u", value)
        case list():
            return Variant("as", [_text(one) for one in value])
    return _string(value)


def _string(text: str | None) -> Variant:
    return Variant("s", _text(text or ""))


def _text(text: str) -> str:
    """What a message can carry of it."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
