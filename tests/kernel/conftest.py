"""Tests in here make network namespaces: they need root and some tools, and say so rather than be skipped."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mn_lab.commands import use_system_paths
from mn_lab.lab import Lab, take_down

Use = Callable[[str], None]

TOOLS = (
    *(
        "NetworkManager",
        "busctl",
        "dbus-daemon",
        "dbus-send",
        "dnsmasq",
        "gdbus",
        "ip",
        "iperf3",
        "nft",
        "nmcli",
        "nsenter",
        "ping",
        "pkaction",
        "radvd",
        "setpriv",
        "stdbuf",
    ),
    *("sysctl", "tcpdump", "tshark", "unshare"),
)


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    """Everything in here depends on it."""
    if os.geteuid() != 0:
        pytest.fail("these tests need root, for network namespaces: sudo ./dev test", pytrace=False)
    use_system_paths()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"these tests need programs that are not installed: {', '.join(missing)}", pytrace=False)


@pytest.fixture(scope="module")
def prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of namespaces that nobody else uses; whatever is left there in the end is removed."""
    prefix = f"m6-t{os.getpid()}{request.module.__name__.rpartition('_')[2][:4]}-"
    yield prefix
    take_down(prefix)


@pytest.fixture(scope="module")
def lab(prefix: str) -> Iterator[Lab]:
    """A lab with the usual three links, up and registered; a test leaves its links as it found them."""
    with Lab(prefix=prefix) as lab:
        yield lab


@pytest.fixture
def use(lab: Lab, tmp_path: Path) -> Iterator[Use]:
    """Makes the agent use a policy, for the length of a test."""

    def use(policy: str) -> None:
        file = tmp_path / "policy.toml"
        file.write_text(policy)
        lab.monami6("policy", "use", str(file))

    yield use
    lab.monami6("policy", "use", "--default")
