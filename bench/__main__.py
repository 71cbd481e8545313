"""python -m bench NAME [ARGUMENTS]: a module of this package that is called NAME."""

import sys
from importlib import import_module
from pkgutil import iter_modules

import bench


def main(argv: list[str]) -> int:
    """Exit code of the benchmark; 2 when there is no such one."""
    names = sorted(module.name for module in iter_modules(bench.__path__) if not module.name.startswith("_"))
    if not argv or argv[0] not in names:
        print(f"usage: bench NAME [--json] [ARGUMENTS], NAME one of: {' '.join(names)}", file=sys.stderr)
        return 2
    exit_code: int = import_module(f"bench.{argv[0]}").main(argv[1:])
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
