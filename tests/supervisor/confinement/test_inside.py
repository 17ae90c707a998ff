"""What the first code inside reports of a failure: where, never what."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tenzij.channels.control import Failed, receive_at_supervisor
from tenzij.errors import TenzijError
from tenzij.policy.snapshot_json import snapshot_from_bytes
from tenzij.supervisor.confinement import inside

SECRET = "CANARY"


def reported(error: BaseException) -> Failed:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        inside.report(theirs, "crashed", "the program failed", error)
        received = receive_at_supervisor(ours)
    assert received is not None
    assert isinstance(received[0], Failed)
    return received[0]


def from_ours() -> Exception:
    with pytest.raises(Exception) as caught:
        snapshot_from_bytes(b"CANARY")
    return caught.value


def test_a_failure_is_a_message_that_the_supervisor_reads() -> None:
    failed = reported(ValueError(SECRET))
    assert failed == Failed("crashed", "the program failed: ValueError", final=False)


def test_our_own_lines_are_named_innermost_first() -> None:
    reason = reported(from_ours()).reason
    frames = reason.partition("(")[2].rstrip(")").split(", ")
    assert all(":" in frame or frame.isidentifier() for frame in frames)
    assert any(frame.startswith("policy/snapshot_json.py:") for frame in frames)
    assert SECRET not in reason


def test_causes_and_parts_of_a_group_are_named_by_type() -> None:
    error = ExceptionGroup(SECRET, [KeyError(SECRET), from_ours()])
    error.__cause__ = OSError(SECRET)
    reason = reported(error).reason
    assert "ExceptionGroup" in reason
    assert "KeyError" in reason
    assert "OSError" in reason
    assert SECRET not in reason


def test_a_chain_that_never_ends_is_cut() -> None:
    first, second = ValueError(), TenzijError("x")
    first.__context__, second.__context__ = second, first
    assert len(reported(first).reason) < 2000


def test_a_supervisor_that_is_gone_is_no_failure() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with theirs:
        inside.report(theirs, "crashed", "the program failed", ValueError())


@pytest.mark.parametrize("module", ["inside", "stage", "landlock"])
def test_until_it_is_shut_in_only_the_standard_library_is_imported(module: str) -> None:
    """With no search path but the interpreter's own, they import."""
    file = Path(inside.__file__).with_name(f"{module}.py")
    code = f"import runpy; runpy.run_path({str(file)!r}, run_name='imported')"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_the_probes_need_no_installed_package() -> None:
    """They run before anything is known to work, and must not change when a package does."""
    source = str(Path(inside.__file__).parents[3])
    code = f"import sys; sys.path.append({source!r}); import tenzij.supervisor.confinement.probes.main"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
