"""Tests in here need a stock kernel, root, strongSwan and what makes Wi-Fi, and say so rather than be skipped."""

import os
import shutil
from collections.abc import Iterator

import pytest

from mn_lab.commands import use_system_paths
from mn_lab.lab import take_down
from tests.vm.kernel_features import missing

TOOLS = (
    *(
        "NetworkManager",
        "charon-systemd",
        "dbus-daemon",
        "dbus-send",
        "hostapd",
        "ip",
        "iw",
        "modprobe",
        "nft",
        "nmcli",
    ),
    *("nsenter", "openssl", "ping", "radvd", "stdbuf", "swanctl", "sysctl", "tcpdump", "tshark", "unshare"),
    "wpa_supplicant",
)


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    """Everything in here depends on it."""
    if os.geteuid() != 0:
        pytest.fail("these tests need root, for network namespaces: sudo ./dev vm pytest tests/vm", pytrace=False)
    use_system_paths()
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.fail(f"these tests need programs that are not installed: {', '.join(absent)}", pytrace=False)
    if lacks := missing():
        pytest.fail(f"this kernel lacks {', '.join(lacks)}: ./dev vm pytest tests/vm", pytrace=False)


@pytest.fixture
def prefix() -> Iterator[str]:
    """Of namespaces that nobody else uses; whatever is left there in the end is removed."""
    prefix = f"m6-v{os.getpid()}-"
    yield prefix
    take_down(prefix)
