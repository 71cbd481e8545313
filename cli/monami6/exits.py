"""What a command's exit code says, and the one exception that carries it."""

from click import ClickException

FAILED = 1
USAGE = 2
TIMED_OUT = 3
REFUSED = 4
NOT_RUNNING = 8
NO_SUCH_THING = 10


class Failure(ClickException):
    """The command did not do what it was asked to; the text says why and what to do about it. Click prints that and
    ends the program.
    """

    def __init__(self, text: str, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance, and calls it a ClassVar
