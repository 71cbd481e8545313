"""strongSwan's charon for a node of a lab. Pure: what to write, and how to run it."""

from pathlib import Path

TOOL = "charon-systemd"
PLUGINS = "random nonce aes sha1 sha2 hmac kdf gmp pem pkcs1 pkcs8 x509 pubkey kernel-netlink socket-default vici"
"""What it takes for IKEv2 with a shared secret or certificates."""


def vici(directory: Path, node: str) -> Path:
    """Where it is reached, in the lab's directory."""
    return directory / f"{node}.vici"


def file(directory: Path, node: str) -> Path:
    """Its configuration file."""
    return directory / f"{node}.strongswan.conf"


def configuration(directory: Path, node: str) -> str:
    """Routes and addresses are the agents' business; it must not follow the network on its own."""
    return f"""\
charon-systemd {{
  load = {PLUGINS}
  install_routes = no
  routing_table = 0
  plugins {{
    kernel-netlink {{
      roam_events = no
    }}
    vici {{
      socket = unix://{vici(directory, node)}
    }}
  }}
  filelog {{
    stderr {{
      default = 1
    }}
  }}
}}
"""


def command(directory: Path, node: str) -> list[str]:
    """To be run in the node's namespace."""
    return ["env", f"STRONGSWAN_CONF={file(directory, node)}", TOOL]
