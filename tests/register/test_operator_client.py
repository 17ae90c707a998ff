"""The command line's side: faults come back as they were meant; a register that misbehaves is an operator's error."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tenzij.channels.frames import frame
from tenzij.errors import CallerError, OperatorError
from tenzij.register import operator
from tenzij.register.operator import NoAnswer, OperatorClient
from tenzij.register.protocol import Answer, Fault, encode_json


@pytest.fixture
def ends() -> Iterator[tuple[OperatorClient, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with OperatorClient(ours) as client, theirs:
        yield client, theirs


def test_a_request_is_a_frame_of_json_and_the_result_comes_back(ends: tuple[OperatorClient, socket.socket]) -> None:
    client, register = ends
    register.sendall(frame(encode_json(Answer(result=[{"id": "k_1"}]))))
    assert client.call("key_revoke", id="k_1") == [{"id": "k_1"}]
    sent = register.recv(1000)
    assert json.loads(sent[4:]) == {"verb": "key_revoke", "arguments": {"id": "k_1"}}
    assert struct.unpack(">I", sent[:4]) == (len(sent) - 4,)


@pytest.mark.parametrize(
    ("status", "family"), [(400, CallerError), (404, CallerError), (409, CallerError), (503, OperatorError)]
)
def test_a_fault_keeps_its_sentence_code_status_and_field(
    ends: tuple[OperatorClient, socket.socket], status: int, family: type[CallerError | OperatorError]
) -> None:
    client, register = ends
    register.sendall(frame(encode_json(Answer(fault=Fault("name_taken", "Choose another.", status, "name")))))
    with pytest.raises(family) as caught:
        client.call("key_create")
    error = caught.value
    assert (str(error), error.code, error.status, error.param) == ("Choose another.", "name_taken", status, "name")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x00\x00", b"\x00\x00\x00\x05{", frame(b"not json"), frame(b"[]"), frame(b"\xff"), b"\xff\xff\xff\xff"],
)
def test_an_answer_that_is_none_is_an_operators_error(
    ends: tuple[OperatorClient, socket.socket], answer: bytes
) -> None:
    client, register = ends
    register.sendall(answer)
    register.shutdown(socket.SHUT_WR)
    with pytest.raises(NoAnswer):
        client.call("key_list")


def test_a_register_that_is_gone_is_an_operators_error(ends: tuple[OperatorClient, socket.socket]) -> None:
    client, register = ends
    register.close()
    with pytest.raises(OperatorError):
        client.call("key_list")


def test_a_register_that_says_nothing_is_waited_for_no_longer_than_agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "ANSWER_TIMEOUT_S", 0.05)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with OperatorClient(ours) as client, theirs, pytest.raises(NoAnswer):
        client.call("key_list")


def test_what_cannot_be_sent_is_refused_before_it_is_sent(ends: tuple[OperatorClient, socket.socket]) -> None:
    client, register = ends
    for argument in (object(), "\ud800", "x" * 300_000):
        with pytest.raises(CallerError):
            client.call("key_revoke", id=argument)
    register.setblocking(False)
    with pytest.raises(BlockingIOError):
        register.recv(1)


def test_a_large_answer_arrives_whole(ends: tuple[OperatorClient, socket.socket]) -> None:
    client, register = ends
    answer = frame(encode_json(Answer(result="x" * 5_000_000)))
    sender = threading.Thread(target=register.sendall, args=(answer,))
    sender.start()
    assert client.call("policy") == "x" * 5_000_000
    sender.join()
