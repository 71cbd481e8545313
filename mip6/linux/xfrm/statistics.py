"""What the kernel dropped for IPsec's sake, by reason: of this network namespace, ours or not."""

from contextlib import suppress
from pathlib import Path

_FILE = Path("/proc/thread-self/net/xfrm_stat")
_REASONS = {
    "XfrmInNoStates": "ESP of an unknown association",
    "XfrmInStateProtoError": "ESP not authentic",
    "XfrmInStateSeqError": "ESP replayed",
    "XfrmInTmplMismatch": "ESP missing, or of another association",
    "XfrmInNoPols": "ESP that no policy wants",
    "XfrmOutNoStates": "to be sent without an association",
}


def dropped() -> dict[str, int]:
    """Packets, where there were any; nothing where the kernel does not count."""
    lines = []
    with suppress(OSError):
        lines = [line.split() for line in _FILE.read_text().splitlines()]
    return {_REASONS[name]: int(count) for name, count in lines if name in _REASONS and int(count)}
