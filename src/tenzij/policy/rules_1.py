"""Rule set "1": the ordered table by which a request is decided. The first rule that settles it wins.

Rules
- The order is that of `docs/design.md`, "The decision"; the comments give its numbers.
- A released rule set never changes: past decisions are replayed by it. A change is a new file and a new version.
- Nothing after rule 3 can widen what rules 1 to 3 closed, and rules 1 to 3 only ever refuse.
- A named model is never replaced: a rule gives Local for the named model, or refuses and names others in `instead`.
- Another use case is never suggested for a request that has one: a purpose is not chosen for its ceiling.
- Load, cost and time are no inputs.
"""

from __future__ import annotations

from collections.abc import Callable

from tenzij.policy.case import Case, Rule
from tenzij.policy.decision import Decision, Local, Refused
from tenzij.types import Level, PersonalData

VERSION = "1"


def _refuse(case: Case, rule: str) -> Refused:
    return case.refused(rule)


def _refuse_naming_use_cases(case: Case, rule: str) -> Refused:
    return case.refused(rule, case.facts.key_use_cases)


def _refuse_naming_models(case: Case, rule: str) -> Refused:
    return case.refused(rule, tuple(model.id for model in case.fitting()))


def _local_default(case: Case, rule: str) -> Local:
    return case.local(rule, case.fitting()[0])


def _local_named(case: Case, rule: str) -> Decision:
    return case.local(rule, case.named) if case.named else case.refused(rule)


def _named_is_not(check: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: case.named is not None and not check(case)


def _is_allowed(case: Case) -> bool:
    return case.named is not None and case.is_allowed(case.named)


def _does_task(case: Case) -> bool:
    return case.named is not None and case.does_task(case.named)


def _is_capable(case: Case) -> bool:
    return case.named is not None and case.is_capable(case.named)


def _names_none(case: Case) -> bool:
    return case.facts.model is None and not case.names_supplier


def _is_inactive(case: Case) -> bool:
    return not case.use_case.active or case.use_case.floor is None


RULES: tuple[Rule, ...] = (
    # 1. Who asks, and what for. (No policy version, and one for unknown rules, are settled before: see `decide`.)
    Rule("caller_unknown", lambda case: case.facts.caller is None, _refuse),
    Rule("use_case_not_chosen", lambda case: case.facts.use_case is None, _refuse_naming_use_cases),
    Rule("use_case_unknown", lambda case: case.facts.use_case not in case.snapshot.use_cases, _refuse),
    Rule("use_case_inactive", _is_inactive, _refuse),
    # 2. State secrets have no place here, whatever the use case says.
    Rule("state_secret", lambda case: case.level >= Level.STATE_SECRET, _refuse),
    # 3. What may go in. Unknown findings are never merely warned about.
    Rule("above_ceiling", lambda case: case.level > case.use_case.ceiling, _refuse),
    Rule("personal_data_unknown", lambda case: PersonalData.UNKNOWN in case.stray, _refuse),
    Rule("personal_data_not_allowed", lambda case: bool(case.stray) and case.use_case.refuse_findings, _refuse),
    # 4. No model, or a local one.
    Rule("no_model_fits", lambda case: _names_none(case) and not case.fitting(), _refuse),
    Rule("local_default", _names_none, _local_default),
    Rule("model_not_allowed", _named_is_not(_is_allowed), _refuse_naming_models),
    Rule("task_not_supported", _named_is_not(_does_task), _refuse_naming_models),
    Rule("capability_not_supported", _named_is_not(_is_capable), _refuse_naming_models),
    Rule("local_named", lambda case: case.named is not None, _local_named),
    # 5. A supplier's model under an active exception: its place is here. Rule set 1 knows no exceptions.
    # 6. Otherwise refused, naming what works here.
    Rule("exception_needed", lambda case: case.names_supplier, _refuse_naming_models),
    Rule("model_unknown", lambda case: True, _refuse_naming_models),
)
