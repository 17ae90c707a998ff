"""Where a command works: the home folder and its configuration, and how to speak to the register there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tenzij.config import Config, config_from_file, home_from_environment
from tenzij.errors import OperatorError
from tenzij.register.operator import OperatorClient
from tenzij.supervisor.session import operator_connection


@dataclass(frozen=True, slots=True)
class Place:
    """One installation: its home folder and the file that configures it."""

    home: Path
    config_file: Path
    config_named: bool  # the file was named by hand, so it must exist

    @classmethod
    def from_options(cls, home: Path | None, config: Path | None) -> Place:
        """The place that the options or the environment name."""
        folder = home.absolute() if home else home_from_environment()
        return cls(folder, config or folder / "config.toml", config is not None)

    def config(self) -> Config:
        """The configuration. Raises BadConfig with all faults, OperatorError when a named file is missing."""
        if self.config_named and not self.config_file.exists():
            raise OperatorError(f"there is no configuration file {self.config_file}")
        return config_from_file(self.config_file)

    @contextlib.contextmanager
    def register(self) -> Iterator[OperatorClient]:
        """The register of the running platform, or one started for this call alone."""
        with operator_connection(self.config(), self.home) as connection:
            yield OperatorClient(connection)
