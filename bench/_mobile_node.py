"""What a mobile node's kernel has to do for a policy with any number of flows.

    python -m bench._mobile_node CONFIGURATION LINK FLOWS

A policy file has 400 selectors at the most, because a Binding Update has to name them all. So this goes past the file,
and signals nothing: in the place of an agent that was killed it starts from what that saved, looks at the interfaces,
and puts into the kernel what the agent's own core wants there. Of a mobile router, each flow is of a host behind it.
"""

import sys
from pathlib import Path

import mn_agent.config
from bench._many import hosts_policy, policy
from mip6 import statefile
from mip6.daemon import boottime
from mip6.linux.reconciler import Reconciler
from mn_agent.core import agent
from mn_agent.core.events import InterfacesChanged
from mn_agent.core.kernel import TABLE_NAME, wanted_kernel
from mn_agent.core.saved import Saved
from mn_agent.system.watcher import Watcher


def main(argv: list[str]) -> int:
    """Exit code 1 when the kernel refuses something."""
    configuration, link, flows = argv
    settings = mn_agent.config.read(Path(configuration))
    loaded = statefile.load(Path(settings.paths.state), Saved)
    flows_of = hosts_policy if settings.router.prefixes else policy
    assert loaded is not None, "the agent has saved nothing"
    state = agent.start(
        settings, flows_of(int(flows), link), loaded.state, same_boot=loaded.same_boot, sequence=0, clock_offset_s=0.0
    )
    state, _ = agent.step(state, InterfacesChanged(Watcher().look()), boottime())
    refusals = Reconciler(TABLE_NAME).apply(wanted_kernel(state))
    for refusal in refusals:
        print(f"{refusal.what}: {refusal.why}", file=sys.stderr)
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
