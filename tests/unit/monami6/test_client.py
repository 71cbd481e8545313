import socket
import threading
from pathlib import Path

import pytest

from monami6 import client
from monami6.client import Client
from monami6.exits import FAILED, NO_SUCH_THING, NOT_RUNNING, REFUSED, TIMED_OUT, Failure
from tests.unit.monami6.fake import FakeDaemon, refusal


def ask(path: Path, answer: bytes | None) -> bytes:
    with FakeDaemon(path, {"status": answer}):
        return Client(path).ask("status", 0.1)


def failure(path: Path, answer: bytes | None) -> Failure:
    with pytest.raises(Failure) as caught:
        ask(path, answer)
    return caught.value


def test_the_request_is_what_the_protocol_wants(socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"switch": b'{"version":1,"result":null}\n'}) as daemon:
        Client(socket_path).ask("switch", link="wifi")
    assert daemon.requests == [{"version": 1, "method": "switch", "arguments": {"link": "wifi"}}]


@pytest.mark.parametrize(
    "written",
    [b'{"a":1.0,"b":[{"result":"x"}]}', b'{ "a": "\xc3\xa4 \\u00e4 }" }', b"[]", b"null", b'"}"'],
)
def test_the_result_stays_what_was_written(socket_path: Path, written: bytes) -> None:
    assert ask(socket_path, b'{"version":1,"result":' + written + b"}\n") == written


def test_blanks_between_are_no_part_of_the_result(socket_path: Path) -> None:
    assert ask(socket_path, b'{"version": 1, "result": {"a": 1} }\n') == b'{"a": 1}'


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        ("no-such-link", NO_SUCH_THING),
        ("no-such-flow", NO_SUCH_THING),
        ("no-such-policy", NO_SUCH_THING),
        ("timeout", TIMED_OUT),
        ("policy", FAILED),
        ("unusable", FAILED),
        ("refused", REFUSED),
        ("forbidden", FAILED),
        ("request", FAILED),
        ("method", FAILED),
        ("version", FAILED),
        ("a new kind", FAILED),
    ],
)
def test_an_error_has_its_text_and_an_exit_code(socket_path: Path, kind: str, exit_code: int) -> None:
    found = failure(socket_path, refusal(kind, "for a reason"))
    assert "for a reason" in found.message
    assert found.exit_code == exit_code


def test_another_version_of_the_protocol_asks_for_a_restart(socket_path: Path) -> None:
    assert "restart it" in failure(socket_path, refusal("version", "this is version 2 of the protocol")).message


def test_who_does_not_answer_is_given_up(socket_path: Path) -> None:
    found = failure(socket_path, None)
    assert found.exit_code == TIMED_OUT
    assert "0.1 s" in found.message


def test_who_goes_away_does_not_run(socket_path: Path) -> None:
    assert failure(socket_path, b"").exit_code == NOT_RUNNING


@pytest.mark.parametrize("answer", [b"220 smtp\n", b"[1]\n", b'{"version":1}\n', b'{"version":2,"result":{}}\n'])
def test_a_stranger_is_no_daemon(socket_path: Path, answer: bytes) -> None:
    found = failure(socket_path, answer)
    assert found.exit_code == FAILED
    assert f"{socket_path}: what answers there is not monami6d" in found.message


def test_without_a_socket_the_message_says_how_to_start(socket_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        Client(socket_path, "monami6-ha").ask("status")
    assert caught.value.exit_code == NOT_RUNNING
    assert str(socket_path) in caught.value.message
    assert "systemctl start monami6-ha" in caught.value.message


def test_a_socket_that_a_killed_daemon_left_is_no_daemon(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path))
    with pytest.raises(Failure) as caught:
        Client(socket_path).ask("status")
    assert caught.value.exit_code == NOT_RUNNING


def test_a_path_that_can_be_no_socket_is_said_so() -> None:
    with pytest.raises(Failure, match="too long") as caught:
        Client(Path("/run", "x" * 200)).ask("status")
    assert caught.value.exit_code == FAILED


def test_a_connection_that_breaks_is_a_daemon_gone(socket_path: Path) -> None:
    def break_one() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1, socket.MSG_PEEK)  # what is still unread when a socket closes makes that a reset

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path))
        listener.listen()
        thread = threading.Thread(target=break_one)
        thread.start()
        with pytest.raises(Failure, match="gone away: Connection reset by peer") as caught:
            Client(socket_path).ask("status")
        thread.join()
    assert caught.value.exit_code == NOT_RUNNING


def test_events_come_until_the_daemon_goes(socket_path: Path) -> None:
    lines = b'{"version":1,"result":{"event":"a"}}\n{"version":1,"result":{"event":"b"}}\n'
    with FakeDaemon(socket_path, {"monitor": lines}):
        events = client.Client(socket_path).listen("monitor")
        assert [next(events), next(events)] == [b'{"event":"a"}', b'{"event":"b"}']
        with pytest.raises(Failure) as caught:
            next(events)
    assert caught.value.exit_code == NOT_RUNNING
