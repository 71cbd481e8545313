"""Names that people have for protocols."""

PROTOCOLS = {"tcp": 6, "udp": 17, "dccp": 33, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132, "udplite": 136}
"""Those that a flow may be made of, by name."""

WITH_PORTS = tuple(PROTOCOLS[name] for name in ("tcp", "udp", "dccp", "sctp", "udplite"))
WITH_SPI = tuple(PROTOCOLS[name] for name in ("esp", "ah"))
