"""The machine's configuration: one TOML file, read once into one frozen tree.

- Every field has a type, a default, a unit in its name and a help sentence; `docs/configuration.md` and the commented
  example `config.example.toml` are held to this file by tests.
- An invalid file means no start, with all its faults listed at once (`BadConfig`).
- What people decide (use cases, models, keys) is not here but in the register.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tenzij.errors import OperatorError


class BadConfig(OperatorError):
    """The file cannot be used; the message lists every fault, one a line."""

    code = "bad_config"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gateway(_Section):
    """The listener for clients and how requests are handled."""

    host: str = Field("127.0.0.1", description="Address to listen on. Anything but loopback needs `behind_tls_proxy`.")
    port: int = Field(8484, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    behind_tls_proxy: bool = Field(
        False, description="A trusted proxy with TLS stands in front; allows `host` to be other than loopback."
    )
    max_body_bytes: int = Field(4 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024, description="Largest request body.")
    max_json_depth: int = Field(32, ge=4, le=200, description="Deepest nesting of a request body.")
    body_timeout_s: float = Field(30.0, gt=0, le=600, description="Longest time a client may take to send its body.")
    engine_wait_s: float = Field(
        20.0, ge=0, le=600, description="Longest wait for a model that is starting or full; then 503."
    )
    answer_timeout_s: float = Field(600.0, gt=0, le=86400, description="Longest time for one whole answer.")
    silence_timeout_s: float = Field(60.0, gt=0, le=3600, description="Longest silence of an engine inside an answer.")
    policy_stale_after_s: float = Field(
        15.0,
        ge=2,
        le=3600,
        description="Without word from the register for this long, everything is refused.",
    )
    default_max_tokens: int = Field(1024, ge=1, le=1_000_000, description="Answer limit when a request names none.")

    @model_validator(mode="after")
    def _loopback_unless_behind_tls(self) -> Self:
        if not self.behind_tls_proxy and not _is_loopback(self.host):
            raise ValueError(
                f"gateway.host: {self.host} is not loopback, so keys would cross the network in the clear: "
                "put a proxy with TLS in front and set gateway.behind_tls_proxy = true"
            )
        return self


class Worker(_Section):
    """How models are run; the same for each model."""

    threads: int = Field(0, ge=0, le=1024, description="Processor threads for each worker; 0: all but one.")
    slots: int = Field(4, ge=1, le=256, description="Requests that one worker answers at the same time.")
    context_tokens: int = Field(
        0, ge=0, le=1_048_576, description="Context of each request; 0: what the model's passport says."
    )
    batch_tokens: int = Field(
        64, ge=8, le=4096, description="Prompt tokens read between two looks at whether the client is still there."
    )
    verify: Literal["always", "changed"] = Field(
        "always",
        description=(
            "Hash the weights at each start, or only if inode, size, mtime or ctime changed since the last hashing."
        ),
    )
    memory_mib: int = Field(4096, ge=256, description="Memory limit for each worker, beside the mapped weights.")
    devices: tuple[str, ...] = Field(
        (), description="Device nodes that a worker may open, e.g. /dev/nvidia0.", strict=False
    )
    gpu_layers: int = Field(0, ge=-1, le=10_000, description="Layers to put on a GPU; -1: all. Needs `devices`.")
    start_timeout_s: float = Field(300.0, gt=0, description="Longest time from start to ready.")

    @model_validator(mode="after")
    def _devices_are_below_dev(self) -> Self:
        for device in self.devices:
            if not device.startswith("/dev/") or ".." in device:
                raise ValueError(f"worker.devices: {device} is not below /dev")
        if self.gpu_layers and not self.devices:
            raise ValueError("worker.gpu_layers: needs worker.devices to name the device nodes")
        return self


class Confinement(_Section):
    """How the processes are shut in."""

    unsafe_run_unconfined: bool = Field(
        False,
        description="UNSAFE. Run without confinement where it cannot be had. Every start and check says so.",
    )
    uid_base: int = Field(
        63200, ge=1000, le=4_294_000_000, description="First of 100 unprivileged user ids, used when started as root."
    )
    memory_mib: int = Field(1024, ge=128, description="Memory limit for gateway, ledger and register, each.")


class Supervisor(_Section):
    """Starting, restarting, stopping."""

    stop_timeout_s: float = Field(4.0, gt=0, le=600, description="Time for an orderly stop; the rest is then killed.")
    restart_backoff_s: float = Field(0.5, gt=0, le=60, description="First pause before a restart; doubles each time.")
    restart_backoff_max_s: float = Field(30.0, gt=0, le=3600, description="Longest pause before a restart.")
    give_up_after: int = Field(6, ge=1, le=1000, description="Failed starts in a row before giving up on a process.")


class Ledger(_Section):
    """The log of decisions and outcomes."""

    organisation: str = Field(
        "organisatie", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$", description="Name of the organisation whose log this is."
    )
    node: str = Field("node-1", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$", description="Name of this machine in the log.")


class Config(_Section):
    """The whole tree."""

    gateway: Gateway = Gateway()
    worker: Worker = Worker()
    confinement: Confinement = Confinement()
    supervisor: Supervisor = Supervisor()
    ledger: Ledger = Ledger()


def home_from_environment() -> Path:
    """`TENZIJ_HOME`, or `~/.local/share/tenzij`; absolute."""
    return Path(os.environ.get("TENZIJ_HOME") or Path.home() / ".local" / "share" / "tenzij").absolute()


_RULES = {
    "extra_forbidden": "is not a setting",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text, in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must be a section, as [name]",
}


def config_from_text(text: str, name: str = "config.toml") -> Config:
    """The configuration that `text` (TOML) states. Raises BadConfig with all faults."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{name} is not TOML: {error}") from None
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        faults = [f"  {_sentence(fault)}" for fault in error.errors()]
    raise BadConfig(
        f"{name} has {len(faults)} fault(s); docs/configuration.md explains each setting:\n" + "\n".join(faults)
    )


def _sentence(fault: ErrorDetails) -> str:
    place = [str(part) for part in fault["loc"]]
    if fault["type"] == "value_error":  # our own rules name their field
        return str(fault["ctx"]["error"])
    rule = _RULES.get(fault["type"], fault["msg"])
    if fault["type"] == "extra_forbidden":
        section = Config.model_fields[place[0]].annotation if len(place) > 1 else Config
        known = getattr(section, "model_fields", {})
        if alike := difflib.get_close_matches(place[-1], known, n=1):
            rule += f"; did you mean {alike[0]}?"
    return f"{'.'.join(place)}: {rule}"


def config_from_file(path: Path) -> Config:
    """The configuration in `path`; the defaults when there is no such file. Raises BadConfig."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return Config()
    except UnicodeDecodeError:
        raise BadConfig(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from None
    return config_from_text(text, path.name)
