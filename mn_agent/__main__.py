"""monami6d --config FILE."""

import argparse
import asyncio
import sys
from functools import partial
from pathlib import Path

from mip6.config import ConfigError
from mip6.journal import set_up_logging
from mn_agent import config
from mn_agent.daemon import AgentDaemon


def main() -> int:
    """Run the agent until a signal; 2 when the configuration is wrong, 1 when it cannot run."""
    parser = argparse.ArgumentParser(prog="monami6d", description="The mobile node's agent.")
    told = f"the agent's configuration (default: {config.DEFAULT_PATH})"
    parser.add_argument("--config", type=Path, default=config.DEFAULT_PATH, metavar="FILE", help=told)
    arguments = parser.parse_args()
    set_up_logging()
    try:
        daemon = AgentDaemon(partial(config.read, arguments.config))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        asyncio.run(daemon.run())
    except OSError as error:
        print(f"monami6d: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
