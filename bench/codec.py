"""How long a Binding Update with three care-of addresses takes to build and to parse, and how long scapy takes.

Both times come from one run on one machine, so their ratio is what can be compared. Exit code 1 if a limit is missed.
"""

import argparse
import json
import sys
import timeit
from collections.abc import Callable
from dataclasses import asdict, dataclass
from ipaddress import IPv6Address
from typing import Any

from mip6.wire.extension import Packet, build_from_mobile_node
from mip6.wire.messages import BindingUpdate, decode, encode
from mip6.wire.options import BindingIdentifier
from mip6.wire.registry import BindingUpdateFlag, OptionType

LIMIT = 1 / 20
"""Of scapy's time."""

SOURCE, DESTINATION = IPv6Address("2001:db8:1::10"), IPv6Address("2001:db8:aaaa::ff")
CARE_OF = [IPv6Address(f"2001:db8:{link}::10") for link in (1, 2, 3)]

NOTE = (
    "scapy does not know the Binding Identifier option: it gets the octets of each option and the padding ready-made, "
    "and gives them back as they are"
)


@dataclass(frozen=True, slots=True)
class Result:
    """Times in microseconds; `ratio` is ours to scapy's."""

    operation: str
    us: float
    scapy_us: float
    ratio: float
    limit: float
    ok: bool


def build() -> bytes:
    """Values to an IPv6 packet with its checksum."""
    options = tuple(BindingIdentifier(bid, priority=bid, care_of=care_of) for bid, care_of in enumerate(CARE_OF, 1))
    flags = BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION
    return build_from_mobile_node(Packet(SOURCE, DESTINATION, None, encode(BindingUpdate(1, flags, 75, options))))


def build_with_scapy(inet6: Any) -> bytes:
    """The same packet."""
    options = []
    for bid, care_of in enumerate(CARE_OF, 1):
        value = bid.to_bytes(2, "big") + bytes((0, bid)) + care_of.packed
        options.append(inet6.PadN(optdata=bytes(4 if bid == 1 else 0)))
        options.append(inet6.MIP6OptUnknown(otype=OptionType.BINDING_IDENTIFIER, odata=value))
    update = inet6.MIP6MH_BU(seq=1, flags="HA", mhtime=75, options=options)
    return bytes(inet6.IPv6(src=str(SOURCE), dst=str(DESTINATION)) / update)


def best_us(call: Callable[[], object], number: int) -> float:
    """Microseconds per call: the best of several rounds, which is what disturbs it least."""
    return min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6


def measure() -> list[Result]:
    from scapy.layers import inet6  # it takes longer to import than everything else here

    packet = build()
    if build_with_scapy(inet6) != packet:
        raise AssertionError("scapy builds another packet: the times would not be of the same thing")
    update = packet[40:]
    times = {
        "build": (best_us(build, 2000), best_us(lambda: build_with_scapy(inet6), 100)),
        "parse": (best_us(lambda: decode(update), 5000), best_us(lambda: inet6.MIP6MH_BU(update), 200)),
    }
    return [Result(name, us, scapy, us / scapy, LIMIT, us <= LIMIT * scapy) for name, (us, scapy) in times.items()]


def as_text(results: list[Result]) -> str:
    lines = ["Binding Update with three Binding Identifier options, each with an IPv6 care-of address"]
    for r in results:
        ratio = f"1/{1 / r.ratio:.0f} (limit 1/{1 / r.limit:.0f}) {'ok' if r.ok else 'MISSED'}"
        lines.append(f"{r.operation}: {r.us:6.1f} us   scapy {r.scapy_us:6.1f} us   {ratio}")
    return "\n".join([*lines, NOTE])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench codec", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print results for programs")
    options = parser.parse_args(argv)
    results = measure()
    if options.json:
        print(json.dumps({"schema": 1, "note": NOTE, "results": [asdict(result) for result in results]}, indent=2))
    else:
        print(as_text(results))
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
