"""What the tests in here need of the running kernel, found out by trying: stock kernels of distributions have it.

`python3 -m tests.vm.kernel_features` says what is missing, and fails if something is.
"""

import subprocess
import sys
from collections.abc import Mapping

from mn_lab.commands import use_system_paths
from tests.kernel.namespace import own_namespace

_ENDS = "src 2001:db8::1 dst 2001:db8::2"
_KEYS = f"auth hmac(sha256) 0x{'5a' * 32} enc cbc(aes) 0x{'a5' * 16}"

FEATURES = {
    "ESP": f"xfrm state add {_ENDS} proto esp spi 0x100 mode transport {_KEYS}",
    "Home Address option": f"xfrm state add {_ENDS} proto hao mode ro coa 2001:db8:1::1",
    "type 2 routing header": f"xfrm state add {_ENDS} proto route2 mode ro coa 2001:db8:1::1",
    "XFRM sub policies": f"xfrm policy add {_ENDS} dir out ptype sub tmpl {_ENDS} proto hao mode ro",
    "IPv6 tunnel devices": "link add tunnel0 type ip6tnl mode ip6ip6 local 2001:db8::1 remote 2001:db8::2",
}
"""What `ip` is told to make, to see whether it can be made."""


def missing(features: Mapping[str, str] = FEATURES) -> list[str]:
    """Those that this kernel has not. Raises PermissionError when we are not root."""
    with own_namespace():
        return [name for name, command in features.items() if not _can(command)]


def _can(command: str) -> bool:
    return subprocess.run(["ip", *command.split()], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    use_system_paths()
    if lacks := missing():
        sys.exit(f"this kernel lacks: {', '.join(lacks)}")
