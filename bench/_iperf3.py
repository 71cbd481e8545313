"""Traffic between the mobile node and the correspondent, as fast as it goes, by iperf3."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mn_lab.commands import LabError
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, MOBILE_NODE
from mn_lab.traffic import DOWN

PORT = 5201


def iperf3(
    lab: Lab,
    direction: str,
    mobile_node: str,
    correspondent: str,
    *options: str,
    port: int = PORT,
    node: str = MOBILE_NODE,
) -> dict[str, Any]:
    """One connection between these addresses to its end; gives what iperf3's report says of that. `port`: of the
    correspondent. `node`: that has the first of the addresses. Raises LabError when it breaks.
    """
    reverse = ["--reverse"] if direction == DOWN else []
    client = ["--client", correspondent, "--bind", mobile_node, "--port", str(port), "--json", *reverse, *options]
    with _server(lab, correspondent, port):
        report = json.loads(lab.run(node, "iperf3", *client))
    if "error" in report:
        raise LabError(f"iperf3: {report['error']}")
    end: dict[str, Any] = report["end"]
    return end


@contextmanager
def _server(lab: Lab, address: str, port: int) -> Iterator[None]:
    options = ["--server", "--one-off", "--forceflush", "--bind", address, "--port", str(port)]
    argv = lab.command(CORRESPONDENT, "iperf3", *options)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            if not any("listening" in line for line in server.stdout):
                raise LabError("iperf3 does not start")
            yield
        finally:
            server.kill()
            server.communicate()
