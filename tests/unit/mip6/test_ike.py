"""What charon is asked: against strongSwan's manual, and against what works with a real one (tests/vm/test_ike.py)."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from mip6.ike import (
    ANSWER_S,
    Certificates,
    Child,
    Connection,
    Lifetime,
    Mode,
    Request,
    SharedKey,
    TrafficSelector,
    initiation,
    loading,
    termination,
)

HOME = IPv6Network("2001:db8:100::1/128")
AGENT = IPv6Network("2001:db8:200::1/128")
ANYTHING = TrafficSelector(IPv6Network("::/0"))

SIGNALLING = Child(
    name="signalling",
    mode=Mode.TRANSPORT_PROXY,
    local=(TrafficSelector(HOME, 135),),
    remote=(TrafficSelector(AGENT, 135),),
    reqid=0x6D000001,
    lifetime=Lifetime(3960, 3600),
    replay_window=32,
    proposals=("aes128gcm16",),
)
TUNNEL = Child(
    name="bid2",
    mode=Mode.TUNNEL,
    local=(TrafficSelector(HOME),),
    remote=(ANYTHING,),
    reqid=0x6D000102,
    lifetime=Lifetime(7920),
    label="bid2",
)
CONNECTION = Connection(
    name="home",
    local_address=IPv6Address("2001:db8:1::1"),
    remote_address=IPv6Address("2001:db8:200::1"),
    local_id="mn.example",
    remote_id="ha.example",
    credential=SharedKey(b"the secret"),
    children=(SIGNALLING, TUNNEL),
    rekey_s=14400,
    check_s=30,
    proposals=("aes128-sha256-x25519",),
)


def test_a_connection_with_a_shared_key() -> None:
    assert [(request.command, request.message) for request in loading(CONNECTION)] == [
        (
            "load-shared",
            {"id": "home", "type": "IKE", "data": b"the secret", "owners": ["mn.example", "ha.example"]},
        ),
        (
            "load-conn",
            {
                "home": {
                    "version": "2",
                    "local_addrs": ["2001:db8:1::1"],
                    "remote_addrs": ["2001:db8:200::1"],
                    "mobike": "no",
                    "unique": "replace",
                    "send_cert": "always",
                    "rekey_time": "14400s",
                    "dpd_delay": "30s",
                    "proposals": ["aes128-sha256-x25519"],
                    "local": {"auth": "psk", "id": "mn.example"},
                    "remote": {"auth": "psk", "id": "ha.example"},
                    "children": {
                        "signalling": {
                            "mode": "transport_proxy",
                            "policies": "no",
                            "local_ts": ["2001:db8:100::1/128[135]"],
                            "remote_ts": ["2001:db8:200::1/128[135]"],
                            "reqid": "1828716545",
                            "replay_window": "32",
                            "esp_proposals": ["aes128gcm16"],
                            "rekey_time": "3600s",
                            "rand_time": "360s",
                            "life_time": "3960s",
                        },
                        "bid2": {
                            "mode": "tunnel",
                            "policies": "no",
                            "local_ts": ["2001:db8:100::1/128"],
                            "remote_ts": ["::/0"],
                            "reqid": "1828716802",
                            "replay_window": "1024",
                            "esp_proposals": ["aes128-sha256", "aes256-sha256"],
                            "rekey_time": "0s",
                            "rand_time": "0s",
                            "life_time": "7920s",
                            "label": "bid2",
                            "label_mode": "simple",
                        },
                    },
                }
            },
        ),
    ]


def test_a_peer_that_may_be_anywhere_and_rekeys() -> None:
    anywhere = replace(CONNECTION, remote_address=None, rekey_s=None, check_s=None, proposals=(), children=())
    (_, request) = loading(anywhere)
    assert request.message == {
        "home": {
            "version": "2",
            "local_addrs": ["2001:db8:1::1"],
            "remote_addrs": ["%any6"],
            "mobike": "no",
            "unique": "replace",
            "send_cert": "always",
            "rekey_time": "0s",
            "dpd_delay": "0s",
            "local": {"auth": "psk", "id": "mn.example"},
            "remote": {"auth": "psk", "id": "ha.example"},
            "children": {},
        }
    }


def test_a_connection_with_certificates() -> None:
    credential = Certificates(own=b"our certificate", private_key=b"the secret", authority=b"an authority")
    key, connection = loading(replace(CONNECTION, credential=credential))
    assert (key.command, key.message) == ("load-key", {"type": "any", "data": b"the secret"})
    body = connection.message["home"]
    assert isinstance(body, dict)
    assert body["local"] == {"auth": "pubkey", "certs": [b"our certificate"], "id": "mn.example"}
    assert body["remote"] == {"auth": "pubkey", "cacerts": [b"an authority"], "id": "ha.example"}


@pytest.mark.parametrize(
    "credential",
    [SharedKey(b"the secret"), Certificates(own=b"certificate", private_key=b"the secret", authority=b"authority")],
)
def test_no_repr_tells_a_secret(credential: SharedKey | Certificates) -> None:
    connection = replace(CONNECTION, credential=credential)
    for value in (connection, *loading(connection)):
        assert "secret" not in repr(value)


def test_what_is_asked_for_once_it_is_loaded() -> None:
    assert initiation("home", "bid2", 2.5) == Request(
        "initiate", {"ike": "home", "child": "bid2", "timeout": "2500"}, 2.5 + ANSWER_S
    )
    assert termination("home") == Request("terminate", {"ike": "home", "force": "yes"})
