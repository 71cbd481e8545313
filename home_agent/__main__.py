"""monami6-ha --config FILE, and monami6-ha status."""

import asyncio
import logging
import sys
from pathlib import Path

import click

from home_agent import config
from mip6.config import ConfigError


@click.group(invoke_without_command=True)
@click.option("--config", "path", type=click.Path(path_type=Path), default=config.DEFAULT_PATH, metavar="FILE")
@click.pass_context
def main(context: click.Context, path: Path) -> None:
    """The home agent: without a command, serve mobile nodes until a signal."""
    if context.invoked_subcommand is None:
        sys.exit(_serve(path))


def _serve(path: Path) -> int:
    """2 when the configuration is wrong, 1 when the home agent cannot run."""
    from home_agent.daemon import HomeAgentDaemon  # a command needs none of it

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = config.read(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        asyncio.run(HomeAgentDaemon(settings).run())
    except OSError as error:
        print(f"monami6-ha: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
