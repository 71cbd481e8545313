"""monami6d --config FILE."""

import asyncio
import sys
from functools import partial
from pathlib import Path

import click

from mip6.config import ConfigError
from mip6.journal import set_up_logging
from mip6.options import configuration_file
from mn_agent import config


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@configuration_file(config.DEFAULT_PATH, "The agent's configuration.")
def main(path: Path) -> None:
    """The mobile node's agent: register the links of this machine, until a signal.

    \b
    Signals:
      SIGTERM, SIGINT  deregister, remove everything from the kernel, and end
      SIGUSR1          end, and leave everything to the next run
      SIGHUP           read the configuration again
    """  # noqa: D301 (the backspace tells click to keep the lines)
    sys.exit(_run(path))


def _run(path: Path) -> int:
    """2 when the configuration is wrong, 1 when the agent cannot run."""
    from mn_agent.daemon import AgentDaemon  # whoever asks for help needs none of it

    set_up_logging()
    try:
        daemon = AgentDaemon(partial(config.read, path))
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
    main()
