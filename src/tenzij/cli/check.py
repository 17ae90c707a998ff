"""`tenzij check`: the self-test. Tries from inside each process to get out, and says what held."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from tenzij.cli.output import AsJson, console, print_json
from tenzij.cli.place import Place
from tenzij.engines.weights import sha256_of
from tenzij.supervisor.confinement.selftest import Finding, run_selftest


def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Try to break out of each process; hold the weights against their names; write to the ledger's disk.

    Starts a copy of each process under its own confinement with a program that attacks instead of serving, so it can
    run beside a running platform. Exit status 0: everything held, 1: something did not.
    """
    place: Place = context.obj
    with contextlib.nullcontext() if as_json else console.status("trying to break out"):
        findings = [*run_selftest(place.config(), place.home), *_models(place)]
    failed = [finding for finding in findings if not finding.held]
    if as_json:
        print_json(
            {
                "held": not failed,
                "findings": [
                    {"process": f.process, "probe": f.probe, "held": f.held, "detail": f.detail} for f in findings
                ],
            }
        )
    else:
        for finding in failed:
            console.print(f"FAILED {finding.process}: {finding.probe}: {finding.detail}", markup=False, style="red")
        for process in dict.fromkeys(f.process for f in findings):
            own = [f for f in findings if f.process == process]
            console.print(f"{process}: {sum(f.held for f in own)} of {len(own)} held")
        if failed:
            console.print(f"{len(failed)} of {len(findings)} did not hold: do not use this machine for real work.")
        else:
            console.print(f"All {len(findings)} held: from inside these processes nothing got out.")
    if failed:
        raise typer.Exit(1)


def _models(place: Place) -> Iterator[Finding]:
    """Whether the weights of each admitted model are there and are what its passport says."""
    if not (place.home / "register").is_dir():  # nothing was ever started here, and a check makes nothing
        return
    with place.register() as register:
        models = register.call("model_list")
    for model in models:
        probe = f"weights of {model['id']} match its passport"
        file = place.home / "models" / f"{model['sha256']}.gguf"
        try:
            same = file.stat().st_size == model["size_bytes"] and sha256_of(file) == model["sha256"]
        except OSError as error:
            yield Finding("models", probe, False, f"cannot be read: {error.strerror}")
            continue
        yield Finding("models", probe, same, "they are the same" if same else "they differ: do not use them")
