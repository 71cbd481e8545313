"""Messages of XFRM and their octets, worked out by hand from linux/xfrm.h; what follows a # is the offset where a row
begins. Numbers that the kernel has in its own byte order are those of a little-endian machine.
"""

from ipaddress import IPv6Address, IPv6Network

from mip6.mark import Mark
from mip6.wire.registry import MessageType
from mip6.xfrm import (
    Action,
    Direction,
    Endpoints,
    Kind,
    Migration,
    Mode,
    Move,
    Policy,
    PolicyId,
    Port,
    Protocol,
    Selector,
    State,
    StateFlag,
    StateId,
    Template,
    aes_cbc_sha256,
    aes_gcm,
)

CARE_OF, NEW_CARE_OF = IPv6Address("2001:db8:1::1"), IPv6Address("2001:db8:2::1")
HOME_AGENT, HOME = IPv6Address("2001:db8:aa::1"), IPv6Address("2001:db8:f::1")
TO_HOME_AGENT = IPv6Network((HOME, 128)), IPv6Network((HOME_AGENT, 128))


def octets(text: str) -> bytes:
    """The octets in rows of hex; # begins a comment."""
    return bytes.fromhex("".join(row.partition("#")[0] for row in text.splitlines()))


UPDATES = Policy(
    PolicyId(Direction.OUT, Selector.mobility(*TO_HOME_AGENT, MessageType.BINDING_UPDATE)),
    (Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=0x6D000001),),
    priority=7,
)
UPDATES_OCTETS = octets("""
    20010db800aa00000000000000000001  # 0: selector: destination, source
    20010db8000f00000000000000000001  # 16
    0000 0000 0005 ffff               # 32: destination port and mask; source port: the type of the message
    0a00 80 80 87 000000              # 40: family, prefix lengths, protocol
    00000000 00000000                 # 48: interface, user
    ffffffffffffffff ffffffffffffffff # 56: limits: octets, packets
    ffffffffffffffff ffffffffffffffff
    0000000000000000 0000000000000000 # 88: seconds
    0000000000000000 0000000000000000
    0000000000000000 0000000000000000 # 120: what was used
    0000000000000000 0000000000000000
    07000000 00000000                 # 152: priority, index
    01 00 00 00 00000000              # 160: direction, action, flags, share
    4400 0500                         # 168: XFRMA_TMPL
    00000000000000000000000000000000  # 172: destination
    00000000 32 000000                # 188: SPI, protocol
    0a00 0000                         # 196: family
    00000000000000000000000000000000  # 200: source
    0100006d                          # 216: reqid
    00 00 00 00                       # 220: mode, share, optional
    ffffffff ffffffff ffffffff        # 224: algorithms
    0a00 1000 00 00 0000 00 00 0000   # 236: XFRMA_POLICY_TYPE
""")
"""struct xfrm_userpolicy_info (168), xfrm_user_tmpl (64), xfrm_userpolicy_type (6)."""

OPTIMIZED = Policy(
    PolicyId(
        Direction.FORWARD,
        Selector(IPv6Network("2001:db8:f::/64"), protocol=58, destination_port=Port(1, 0xFF), interface=3),
        Kind.SUB,
        Mark(0x10, 0xF0),
        9,
    ),
    (
        Template(
            protocol=Protocol.HAO,
            mode=Mode.ROUTE_OPTIMIZATION,
            reqid=0x6D800002,
            source=HOME,
            destination=HOME_AGENT,
            optional=True,
        ),
    ),
    action=Action.BLOCK,
)
OPTIMIZED_ID_OCTETS = octets("""
    00000000000000000000000000000000  # 0
    20010db8000f00000000000000000000  # 16
    0001 00ff 0000 0000               # 32
    0a00 00 40 3a 000000              # 40
    03000000 00000000                 # 48
    00000000 02 000000                # 56: index, direction
    0a00 1000 01 00 0000 00 00 0000   # 64: XFRMA_POLICY_TYPE
    0c00 1500 10000000 f0000000       # 76: XFRMA_MARK
    0800 1f00 09000000                # 88: XFRMA_IF_ID
""")
"""struct xfrm_userpolicy_id (64)."""

TUNNEL = State(
    protocol=Protocol.ESP,
    mode=Mode.TUNNEL,
    source=CARE_OF,
    destination=HOME_AGENT,
    spi=0x01020304,
    reqid=0x6D800001,
    algorithms=aes_gcm(bytes(range(20)), 96),
    replay_window=32,
    flags=StateFlag.NO_ECN,
    mark=Mark(1, 0xFF),
    output_mark=Mark(2, 0xF0),
    if_id=5,
)
_STATE_HEAD = """
    00000000000000000000000000000000  # 0: selector
    00000000000000000000000000000000  # 16
    0000 0000 0000 0000 0a00 00 00 00 000000 00000000 00000000
"""
_STATE_LIFETIMES = """
    ffffffffffffffff ffffffffffffffff # 96: limits
    ffffffffffffffff ffffffffffffffff
    0000000000000000 0000000000000000
    0000000000000000 0000000000000000
    0000000000000000 0000000000000000 # 160: what was used
    0000000000000000 0000000000000000
    00000000 00000000 00000000        # 192: statistics
"""
TUNNEL_OCTETS = octets(f"""
    {_STATE_HEAD}
    20010db800aa00000000000000000001  # 56: destination
    01020304 32 000000                # 72: SPI, protocol
    20010db8000100000000000000000001  # 80: source
    {_STATE_LIFETIMES}
    00000000 0100806d                 # 204: sequence number of the request, reqid
    0a00 01 20 01 00000000000000      # 212: family, mode, replay window, flags
    6000 1200                         # 224: XFRMA_ALG_AEAD
    {b"rfc4106(gcm(aes))".hex()} {"00" * 47}
    a0000000 60000000                 # 292: bits of the key and of the ICV
    000102030405060708090a0b0c0d0e0f10111213
    0800 1d00 02000000                # 320: XFRMA_SET_MARK
    0800 1e00 f0000000                # 328: XFRMA_SET_MARK_MASK
    0c00 1500 01000000 ff000000       # 336: XFRMA_MARK
    0800 1f00 05000000                # 348: XFRMA_IF_ID
""")
"""struct xfrm_usersa_info (224), xfrm_algo_aead (72 and the key)."""

EXTENDED = State(
    protocol=Protocol.ESP,
    mode=Mode.TRANSPORT,
    source=HOME,
    destination=HOME_AGENT,
    spi=0x100,
    algorithms=aes_cbc_sha256(b"\x11" * 16, b"\x22" * 32),
    replay_window=33,
    flags=StateFlag.ESN,
)
EXTENDED_OCTETS = octets(f"""
    {_STATE_HEAD}
    20010db800aa00000000000000000001
    00000100 32 000000
    20010db8000f00000000000000000001
    {_STATE_LIFETIMES}
    00000000 00000000
    0a00 00 00 80 00000000000000      # 212: the replay window is in the attribute
    5800 0200                         # 224: XFRMA_ALG_CRYPT
    {b"cbc(aes)".hex()} {"00" * 56}
    80000000 {"11" * 16}
    6c00 1400                         # 312: XFRMA_ALG_AUTH_TRUNC
    {b"hmac(sha256)".hex()} {"00" * 52}
    00010000 80000000 {"22" * 32}     # 380: bits of the key and of the ICV
    2400 1700                         # 420: XFRMA_REPLAY_ESN_VAL
    02000000                          # 424: words of the bitmap
    00000000 00000000 00000000 00000000
    21000000                          # 444: replay window
    00000000 00000000
""")
"""struct xfrm_algo (68 and the key), xfrm_algo_auth (72 and the key), xfrm_replay_state_esn (24 and the bitmap)."""

HOME_ADDRESS_OPTION = State(
    protocol=Protocol.HAO,
    mode=Mode.ROUTE_OPTIMIZATION,
    source=HOME,
    destination=HOME_AGENT,
    reqid=0x6D800002,
    care_of=CARE_OF,
)
HOME_ADDRESS_OPTION_OCTETS = octets(f"""
    {_STATE_HEAD}
    20010db800aa00000000000000000001
    00000000 3c 000000
    20010db8000f00000000000000000001
    {_STATE_LIFETIMES}
    00000000 0200806d
    0a00 02 00 00 00000000000000
    1400 0e00                         # 224: XFRMA_COADDR
    20010db8000100000000000000000001
""")

STATE_ID = StateId(Protocol.ESP, HOME_AGENT, 0x01020304, mark=Mark(1, 0xFF))
STATE_ID_OCTETS = octets("""
    20010db800aa00000000000000000001  # 0: destination
    01020304 0a00 32 00               # 16: SPI, family, protocol
    0c00 1500 01000000 ff000000       # 24: XFRMA_MARK
""")
"""struct xfrm_usersa_id (24)."""
ADDRESSED_ID = StateId(Protocol.ROUTE2, HOME, source=HOME_AGENT)
ADDRESSED_ID_OCTETS = octets("""
    20010db8000f00000000000000000001
    00000000 0a00 2b 00
    1400 0d00                         # 24: XFRMA_SRCADDR
    20010db800aa00000000000000000001
""")

MIGRATION = Migration(
    PolicyId(Direction.OUT, Selector(IPv6Network((HOME, 128))), if_id=4),
    (Move(Endpoints(CARE_OF, HOME_AGENT), Endpoints(NEW_CARE_OF, HOME_AGENT), 0x6D000001),),
    Endpoints(NEW_CARE_OF, HOME_AGENT),
)
_MIGRATED = """
    00000000000000000000000000000000  # 0
    20010db8000f00000000000000000001
    0000 0000 0000 0000
    0a00 00 80 00 000000
    00000000 00000000
    00000000 01 000000                # 56: index, direction
"""
_MOVE = """
    5000 1100                         # XFRMA_MIGRATE
    20010db800aa00000000000000000001  # old destination, source
    20010db8000100000000000000000001
    20010db800aa00000000000000000001  # new destination, source
    20010db8000200000000000000000001
    32 01 0000 0100006d 0a00 0a00     # protocol, mode, reqid, families
"""
_IKE = """
    2c00 1300                         # XFRMA_KMADDRESS
    20010db8000200000000000000000001  # local
    20010db800aa00000000000000000001  # remote
    00000000 0a00 0000
"""
MIGRATION_OCTETS = octets(f"""
    {_MIGRATED}
    {_MOVE}
    {_IKE}
    0a00 1000 00 00 0000 00 00 0000
    0800 1f00 04000000
""")
"""struct xfrm_user_migrate (76), xfrm_user_kmaddress (40)."""

# Announcements: what follows netlink's own header

MIGRATED_OCTETS = octets(f"{_MIGRATED}{_IKE}0a00 1000 00 00 0000 00 00 0000{_MOVE}{_MOVE}")
"""The kernel gives each move an attribute of its own."""
ACQUIRED_OCTETS = (
    octets("""
    20010db800aa00000000000000000001  # 0: destination of the state
    00000000 32 000000                # 16: SPI, protocol
    20010db8000100000000000000000001  # 24: source
    20010db800aa00000000000000000001  # 40: selector of the packet
    20010db8000f00000000000000000001
    0000 0000 0005 ffff
    0a00 80 80 87 000000
    00000000 00000000
""")
    + UPDATES_OCTETS[:168]
    + octets("ffffffff ffffffff ffffffff 01000000")
    + UPDATES_OCTETS[168:]
)
"""struct xfrm_user_acquire (280)."""
EXPIRED_OCTETS = TUNNEL_OCTETS[:224] + octets("01 00000000000000") + TUNNEL_OCTETS[336:]
"""struct xfrm_user_expire (232)."""
STATE_REMOVED_OCTETS = STATE_ID_OCTETS[:24] + octets("e400 0600") + TUNNEL_OCTETS[:224] + TUNNEL_OCTETS[336:]
POLICY_REMOVED_OCTETS = (
    UPDATES_OCTETS[:56] + octets("00000000 01 000000 ac00 0700") + UPDATES_OCTETS[:168] + UPDATES_OCTETS[168:]
)
