"""One request seen through one policy version, and the form of a rule.

Rules
- A case looks up once what rules ask for; a use case that is not there is `NO_USE_CASE`, which permits nothing.
- The class is the highest of the use case's floor, what the client declared and what was found (promise 3).
- Fit means: the model does the task and has every capability that the request needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tenzij.policy.decision import Decision, Local, Refused
from tenzij.policy.facts import Facts
from tenzij.policy.snapshot import LOCAL, Model, Snapshot, UseCase
from tenzij.types import Level, ModelId, PersonalData, UseCaseId

MAX_INSTEAD = 16

NO_USE_CASE = UseCase(
    id=UseCaseId(""),
    active=False,
    floor=None,
    ceiling=Level.OPEN,
    personal_data=frozenset(),
    refuse_findings=True,
    models=(),
)


@dataclass(frozen=True, slots=True)
class Case:
    """Facts and policy version, with what follows from both."""

    facts: Facts
    snapshot: Snapshot
    use_case: UseCase
    level: Level
    stray: frozenset[PersonalData]  # kinds found that the use case does not allow

    @property
    def names_supplier(self) -> bool:
        """Whether the request asks for a model outside. In doubt it does: it is then never taken for a local one."""
        return self.facts.supplier is not None or self.facts.model in self.snapshot.supplier_models

    @property
    def named(self) -> Model | None:
        """The admitted local model that the request names, allowed or not."""
        if self.facts.model is None or self.names_supplier:
            return None
        return self.admitted(self.facts.model)

    def admitted(self, model: ModelId) -> Model | None:
        """The model of this id, if it is admitted and runs on a government system."""
        found = self.snapshot.models.get(model)
        return found if found is not None and found.location in LOCAL else None

    def is_allowed(self, model: Model) -> bool:
        """Whether the use case allows it."""
        return model.id in self.use_case.models

    def does_task(self, model: Model) -> bool:
        """Whether its passport states the request's task."""
        return self.facts.task in model.tasks

    def is_capable(self, model: Model) -> bool:
        """Whether its passport states all that the request needs."""
        return self.facts.needs <= model.capabilities

    def fitting(self) -> tuple[Model, ...]:
        """The local models that work for this request, in the use case's order."""
        admitted = (self.admitted(model) for model in self.use_case.models)
        return tuple(model for model in admitted if model and self.does_task(model) and self.is_capable(model))

    def local(self, rule: str, model: Model) -> Local:
        """Runs here on `model`; kinds that the use case does not allow become warnings."""
        warnings = tuple(sorted(f"personal_data_{kind.value}" for kind in self.stray))
        return Local(rule, self.snapshot.hash, model.id, model.weights, self.level, warnings)

    def refused(self, rule: str, instead: tuple[str, ...] = ()) -> Refused:
        """Does not happen. At most `MAX_INSTEAD` are named: a decision must fit in an entry of the ledger."""
        return Refused(rule, self.snapshot.hash, self.level, instead[:MAX_INSTEAD])


def case_from(facts: Facts, snapshot: Snapshot) -> Case:
    """The case of `facts` under `snapshot`."""
    use_case = NO_USE_CASE
    if facts.use_case is not None:
        use_case = snapshot.use_cases.get(facts.use_case, NO_USE_CASE)
    levels = (use_case.floor, facts.declared, facts.findings.level)
    return Case(
        facts=facts,
        snapshot=snapshot,
        use_case=use_case,
        level=max((level for level in levels if level is not None), default=Level.OPEN),
        stray=facts.findings.personal_data - use_case.personal_data,
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: a stable name, when it settles the case, and how."""

    name: str
    when: Callable[[Case], bool]
    then: Callable[[Case, str], Decision]  # the case and the rule's own name
