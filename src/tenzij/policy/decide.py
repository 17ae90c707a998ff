"""The decision: a pure function of the facts of one request and one policy version.

Rules
- No policy version: refused. A version made for rules that are not in `RULE_SETS`: refused. Both before any lookup.
- The version names the rule set that decides by it; each released one stays, so that a decision can be replayed.
- No rule settles it: refused. (Each table ends in a rule that always does; this holds should one not.)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tenzij.policy import rules_1
from tenzij.policy.case import Rule, case_from
from tenzij.policy.decision import Decision, Refused
from tenzij.policy.facts import Facts
from tenzij.policy.snapshot import Snapshot

RULE_SETS: Mapping[str, tuple[Rule, ...]] = MappingProxyType({rules_1.VERSION: rules_1.RULES})
LATEST_RULES = rules_1.VERSION

NO_POLICY = "no_policy"
RULES_UNKNOWN = "rules_unknown"
NO_RULE = "no_rule"


def decide(facts: Facts, snapshot: Snapshot | None) -> Decision:
    """Local, Exceptional or Refused, with the name of the rule that settled it.

    Deterministic: the same facts and version give the same decision, always. Under 10 µs; it does not grow with the
    number of use cases, and with models only by those that the use case lists.
    """
    if snapshot is None:
        return Refused(NO_POLICY, None)
    rules = RULE_SETS.get(snapshot.rules)
    if rules is None:
        return Refused(RULES_UNKNOWN, snapshot.hash)
    case = case_from(facts, snapshot)
    for rule in rules:
        if rule.when(case):
            return rule.then(case, rule.name)
    return case.refused(NO_RULE)


def rule_names() -> tuple[str, ...]:
    """The names of all rules of all rule sets: the codes that `sentences` must know."""
    names = dict.fromkeys((NO_POLICY, RULES_UNKNOWN, NO_RULE))
    for rules in RULE_SETS.values():
        names.update(dict.fromkeys(rule.name for rule in rules))
    return tuple(names)
