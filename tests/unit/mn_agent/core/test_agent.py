"""What else the agent does with what it hears, and what it tells."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from mip6.reception import ERROR_BURST
from mip6.wire.checksum import with_checksum
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.extension import Packet, build_from_mobile_node
from mip6.wire.icmp import packet_too_big, parse_packet_too_big
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    Message,
    decode,
    encode,
)
from mip6.wire.options import BindingRefreshAdvice
from mip6.wire.registry import BindingAcknowledgementFlag, BindingErrorStatus, Status
from mn_agent.core import agent
from mn_agent.core.commands import Command, Send, SendIcmp, Tell
from mn_agent.core.events import (
    Event,
    IcmpReceived,
    PacketReceived,
    PolicyChosen,
    Refused,
    SettingsChanged,
    StopRequested,
)
from mn_agent.core.flows import prepare
from mn_agent.core.links import called
from mn_agent.core.notices import Notice, NoticeKind
from mn_agent.core.policy_file import Policy
from mn_agent.core.saved import save
from mn_agent.core.status_text import status_text
from tests.story.test_refusals import always
from tests.story.world import AGENT, HOME, World, make_link, three_links

ETHERNET = three_links()["ethernet"].address


def registered() -> World:
    return World(three_links()).start().run(5)


def step(world: World, event: Event) -> list[Command]:
    world.mn, commands = agent.step(world.mn, event, world.now)
    return commands


def message(data: bytes, *, home_address: bool = True) -> PacketReceived:
    home = HOME if home_address else None
    return PacketReceived(Packet(AGENT, ETHERNET, home, with_checksum(data, AGENT, home or ETHERNET)))


def too_big(mtu: int = 1400, inner_source: bytes = HOME.packed) -> bytes:
    inner = bytes((0x60, 0, 0, 0, 5, 160, 17, 63)) + inner_source + AGENT.packed + bytes(1200)
    outer = bytes((0x60, 0, 0, 0, 5, 200, 41, 64)) + ETHERNET.packed + AGENT.packed + inner
    return packet_too_big(mtu, outer, AGENT, ETHERNET)


@pytest.mark.req("PKT-16", "PKT-19")
def test_the_sender_of_a_packet_that_was_too_big_in_the_tunnel_hears_of_it() -> None:
    world = registered()
    (command,) = step(world, IcmpReceived(too_big()))
    assert isinstance(command, SendIcmp)
    assert (command.error.source, command.error.destination) == (HOME, HOME)
    assert parse_packet_too_big(command.error.data)[0] == 1360


def test_other_complaints_are_not_ours() -> None:
    world = registered()
    assert step(world, IcmpReceived(too_big(inner_source=ETHERNET.packed))) == []
    assert step(world, IcmpReceived(b"nonsense")) == []


EXPERIMENT, UPDATE_NOTIFICATION, ITS_ACKNOWLEDGEMENT = 11, 19, 20
"""Mobility messages that are for others (RFC 5096 and RFC 7077)."""


@pytest.mark.req("MH-09", "MH-04", "OPT-03", "OPT-05")
@pytest.mark.parametrize("kind", [99, EXPERIMENT, UPDATE_NOTIFICATION, ITS_ACKNOWLEDGEMENT])
def test_an_unknown_message_type_draws_a_binding_error(kind: int) -> None:
    world = registered()
    before = world.mn.registration
    told, sent = step(world, message(bytes((59, 0, kind, 0, 0, 0, 0, 0))))
    assert world.mn.registration == before
    assert told == Tell(Notice(NoticeKind.IGNORED, "message ignored: unknown message type"))
    assert isinstance(sent, Send)
    assert decode(sent.packet.data) == BindingError(BindingErrorStatus.UNRECOGNIZED_MH_TYPE, type(HOME)(0))
    assert (sent.packet.source, sent.packet.destination, sent.packet.home_address) == (ETHERNET, AGENT, None)


@pytest.mark.req("MH-10")
@pytest.mark.parametrize(("home_address", "pointer"), [(True, 64), (False, 40)])
def test_a_wrong_payload_proto_draws_a_parameter_problem(*, home_address: bool, pointer: int) -> None:
    world = registered()
    _, sent = step(world, message(bytes((6, 0, 6, 0, 0, 0, 0, 0)), home_address=home_address))
    assert isinstance(sent, SendIcmp)
    assert sent.error.data[:2] == bytes((4, 0))
    assert int.from_bytes(sent.error.data[4:8], "big") == pointer


@pytest.mark.req("FMT-17")
def test_a_routing_header_is_never_sent_back() -> None:
    """What an answer is needs to be told to the sender, not to whoever the header names."""
    world = registered()
    _, sent = step(world, message(bytes((59, 0, 99, 0, 0, 0, 0, 0))))
    assert isinstance(sent, Send)
    wire = build_from_mobile_node(sent.packet)
    assert (wire[6], wire[24:40]) == (135, AGENT.packed), "no header in between"


STRANGER = IPv6Address("2001:db8:bad::1")


@pytest.mark.req("REG-20", "SC-07")
@pytest.mark.parametrize(
    "said",
    [
        BindingAcknowledgement(0, BindingAcknowledgementFlag(0), 44, 150, (BindingRefreshAdvice(1),)),
        BindingRefreshRequest(),
        BindingError(BindingErrorStatus.UNKNOWN_BINDING, HOME),
    ],
)
def test_what_strangers_say_makes_no_work(said: Message) -> None:
    world = registered()
    before = world.mn
    packet = Packet(STRANGER, ETHERNET, HOME, with_checksum(encode(said), STRANGER, HOME))
    (told,) = step(world, PacketReceived(packet))
    assert isinstance(told, Tell)
    assert world.mn == replace(before, ignored=world.mn.ignored)


@pytest.mark.req("MH-20")
def test_errors_are_limited() -> None:
    world = registered()
    event = message(bytes((59, 0, 99, 0, 0, 0, 0, 0)))
    sent = [command for _ in range(500) for command in step(world, event) if isinstance(command, Send)]
    assert len(sent) == ERROR_BURST


@pytest.mark.req("MH-08")
def test_bad_bytes_are_counted_and_change_nothing() -> None:
    world = registered()
    before = world.mn
    bad = message(bytes((59, 0, 99, 0, 0, 0, 0, 0))).packet
    assert isinstance(bad, Packet)
    step(world, PacketReceived(replace(bad, data=bytes(8))))
    step(world, PacketReceived(DecodeError(DecodeReason.BAD_ROUTING_HEADER)))
    assert world.mn.ignored == {
        "bad checksum": 1,
        "not a type 2 routing header with one segment left": 1,
    }
    assert replace(world.mn, ignored=before.ignored) == before


def test_troubles_are_told_once_and_when_they_are_over() -> None:
    world = registered()
    assert step(world, Refused("state file", "No space left on device")) == [
        Tell(Notice(NoticeKind.TROUBLE, "state file: No space left on device"))
    ]
    assert step(world, Refused("state file", "No space left on device")) == []
    assert step(world, Refused("state file", None)) == [Tell(Notice(NoticeKind.TROUBLE_OVER, "state file: no longer"))]


def test_links_that_come_and_go_are_told() -> None:
    world = registered()
    world.notices.clear()
    lte = world.links.pop("lte")
    world.look()
    world.run(1)
    world.change("wifi", carrier=False, running=False)
    world.links["lte"] = lte
    world.run(1)
    world.look()
    world.run(1)
    assert world.notices == [
        "wwan0: interface is gone",
        "wwan0: registered -> deregistering",
        "link 3: deregistering -> gone",
        "wlan0: no carrier",
        "wlan0: registered -> deregistering",
        "wlan0: deregistering -> gone",
        "wwan0: care-of address 2001:db8:3::64",
        "wwan0: gone -> registering",
        "wwan0: registering -> registered",
    ]


def why(world: World) -> str:
    assert world.mn.decision.default is not None
    return world.mn.decision.default.why


def test_the_traffic_says_where_it_is_and_why() -> None:
    world = registered()
    assert why(world) == "it is better than wlan0 by order"
    world.switch("lte")
    assert why(world) == "it was asked for"
    world.carrier("lte", on=False)
    assert why(world) == "lte was asked for, but does not work"
    world.carrier("wifi", on=False)
    world.carrier("ethernet", on=False)
    assert "no link carries traffic" in world.notices[-4:]


def test_another_policy_is_told() -> None:
    world = registered()
    other = prepare("other", Policy(description="all the same"), {})
    assert Tell(Notice(NoticeKind.POLICY, "policy other: all the same")) in step(world, PolicyChosen(other))
    assert world.mn.chosen == "other"
    assert save(world.mn).policy == "other"
    step(world, PolicyChosen(prepare("usual", world.policy, {}), by_people=False))
    assert world.mn.chosen == "other", "until people choose another"


def test_a_refusal_and_its_end_are_told() -> None:
    link = make_link(1, "eth0", "ethernet")
    world = World({"ethernet": link}, respond=always(Status.NOT_HOME_SUBNET)).start().run(1)
    assert "the home agent does not serve us: not home subnet (132)" in world.notices
    world.run(600)
    assert "asking the home agent again" in world.notices
    assert status_text(77) == "unknown status (77)"


def test_other_settings_count_from_now_on_and_undo_nothing() -> None:
    world = registered()
    registration = replace(world.mn.settings.registration, lifetime_s=40)
    assert step(world, SettingsChanged(replace(world.mn.settings, registration=registration))) == []
    world.updates.clear()
    world.switch("lte")
    world.run(1)
    assert {update.lifetime for _, update in world.sent_updates()} == {10}


def test_links_are_called_by_name_interface_or_kind() -> None:
    links = {**three_links(), "usb": make_link(4, "wwan1", "lte")}
    world = World(links).start()
    found = [called(name, world.mn.links.values()) for name in ("eth0", "wifi", "lte", "nothing", None)]
    assert [link.bid if link else None for link in found] == [1, 2, None, None, None]


def test_stopping_without_a_link_is_done_at_once() -> None:
    world = World({"ethernet": make_link(1, "eth0", "ethernet")}).start().run(2)
    world.carrier("ethernet", on=False)
    step(world, StopRequested())
    assert agent.is_finished(world.mn)
