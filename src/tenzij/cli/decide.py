"""`tenzij decide`: a dry run of the policy. Says what would be allowed and why, and asks no model anything."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import typer

from tenzij.cli.output import AsJson, console, print_json
from tenzij.cli.place import Place
from tenzij.errors import CallerError
from tenzij.policy.decide import decide
from tenzij.policy.decision import Exceptional, Local, Refused
from tenzij.policy.facts import Facts, Findings
from tenzij.policy.sentences import sentence
from tenzij.policy.snapshot_json import snapshot_from_bytes
from tenzij.types import Capability, KeyId, Level, ModelId, PersonalData, Task, UseCaseId

REFUSED = 3


def _level(code: str | None) -> Level | None:
    if code is None:
        return None
    for level in Level:
        if level.code == code:
            return level
    raise CallerError(f"--class must be one of {', '.join(level.code for level in Level)}")


def decide_command(
    context: typer.Context,
    use_case: Annotated[str, typer.Option("--use-case", help="Use case (toepassing).")] = "verkenning",
    model: Annotated[str | None, typer.Option(help="Model as the request would name it; none: the default.")] = None,
    declared: Annotated[
        str | None, typer.Option("--class", help="Class that the client declares: niveau_1 … niveau_4, staatsgeheim.")
    ] = None,
    task: Annotated[Task, typer.Option(help="What is asked of the model.")] = Task.CHAT,
    found: Annotated[
        list[PersonalData] | None,
        typer.Option("--found", help="Personal data found in the text; repeatable. None given: 'onbekend'."),
    ] = None,
    nothing_found: Annotated[
        bool, typer.Option("--nothing-found", help="As if detection found no personal data.")
    ] = False,
    needs: Annotated[list[Capability] | None, typer.Option("--needs", help="What the model must be able to.")] = None,
    language: Annotated[Literal["nl", "en"], typer.Option("--lang", help="Language of the sentence.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Say what the policy would decide, and why (dry run). Exit status 0: allowed, 3: refused.

    It decides for a key of the use case; a key's own limits, and the length of a prompt, are not in it.
    """
    place: Place = context.obj
    if found and nothing_found:
        raise typer.BadParameter("--found and --nothing-found contradict each other")
    with place.register() as register:
        policy = register.call("policy")
    snapshot = snapshot_from_bytes(policy["snapshot"].encode())
    personal = frozenset() if nothing_found else frozenset(found or [PersonalData.UNKNOWN])
    facts = Facts(
        time_ms=time.time_ns() // 1_000_000,
        caller=KeyId("dry-run"),
        use_case=UseCaseId(use_case),
        declared=_level(declared),
        findings=Findings(detector="dry-run", level=None, personal_data=personal),
        task=task,
        model=ModelId(model) if model else None,
        needs=frozenset(needs or ()),
    )
    decision = decide(facts, snapshot)
    outcome = {Local: "local", Exceptional: "exceptional", Refused: "refused"}[type(decision)]
    if as_json:
        codes: dict[str, object] = {"decision": outcome, "rule": decision.rule, "policy": snapshot.hash}
        if isinstance(decision, Refused):
            codes["instead"] = list(decision.instead)
        else:
            codes["model"] = decision.model
        if decision.level is not None:
            codes["class"] = decision.level.code
        codes["sentence"] = sentence(decision, language)
        print_json(codes)
    else:
        console.print(f"{outcome}: {sentence(decision, language)}")
        console.print(f"rule {decision.rule}, policy version {snapshot.hash[:16]}…", style="dim")
    if isinstance(decision, Refused):
        raise typer.Exit(REFUSED)
