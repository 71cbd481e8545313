"""What the kernels of distributions have and small ones have not; and that everything else works with them too."""

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS
from tests.kernel.namespace import ip, own_namespace
from tests.vm.kernel_features import FEATURES, missing


def test_a_feature_that_is_missing_is_named() -> None:
    features = {"nonsense": "link add nonsense0 type nonsense", "dummy": "link add dummy0 type dummy"}
    assert missing(features) == ["nonsense"]


@pytest.mark.parametrize(
    ("feature", "show", "shown"),
    [
        ("ESP", "xfrm state", "proto esp spi 0x00000100 reqid 0 mode transport"),
        ("Home Address option", "xfrm state", "proto hao reqid 0 mode ro"),
        ("type 2 routing header", "xfrm state", "proto route2 reqid 0 mode ro"),
        ("XFRM sub policies", "xfrm policy", "ptype sub"),
        ("IPv6 tunnel devices", "-d link show tunnel0", "ip6tnl ip6ip6 remote 2001:db8::2 local 2001:db8::1"),
    ],
)
def test_what_can_be_made_is_there(feature: str, show: str, shown: str) -> None:
    with own_namespace():
        ip(*FEATURES[feature].split())
        assert shown in ip(*show.split())


def test_the_lab_comes_up_and_traffic_goes_through_the_tunnel(prefix: str) -> None:
    lab = Lab(prefix=prefix)
    lab.up(timeout_s=120)
    (node,) = lab.home_agent.status()["nodes"]
    assert len(node["bindings"]) == 3
    lab.run("mn", "ping", "-6", "-c", "1", "-w", "10", "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))
