"""From a decision and its facts to an entry, and back to replay it. Pure.

Rules
- A model name that the policy version does not know stays out of the log: a client wrote it, so it may hold anything.
  `UNKNOWN_MODEL` takes its place, which no policy version knows either: the decision replays to the same codes.
- An outcome takes its request, actor, origin and object from its decision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

from tenzij.ledger.decision_entry import (
    DecisionEntry,
    ExceptionalRecord,
    FactsRecord,
    FindingsRecord,
    LocalRecord,
    QuestionCommitment,
    RefusedRecord,
    VerdictRecord,
    VolumeRecord,
    result_of,
    target_of,
)
from tenzij.ledger.fields import (
    LEVELS,
    UNKNOWN_ACTOR,
    UNKNOWN_MODEL,
    LevelCode,
    Origin,
    ms_from_timestamp,
    timestamp_from_ms,
)
from tenzij.ledger.outcome_entry import AnswerCommitment, OutcomeEntry, UsageRecord
from tenzij.policy.decision import Decision, Exceptional, Local, Refused
from tenzij.policy.facts import Facts, Findings, Volume
from tenzij.types import KeyId, Level, ModelId, RequestId, Sha256, UseCaseId, Verification


class KnownModels(Protocol):
    """The part of a policy version (`policy.snapshot.Snapshot`) that is looked at."""

    @property
    def models(self) -> Mapping[ModelId, object]: ...

    @property
    def supplier_models(self) -> Mapping[ModelId, object]: ...


def besluit_from(
    facts: Facts,
    decision: Decision,
    snapshot: KnownModels | None,
    *,
    request: RequestId,
    origin: Origin,
    verification: Verification | None = None,
    question: str | None = None,
) -> DecisionEntry:
    """The entry of `decide(facts, snapshot) == decision`.

    `verification` is how the worker's weights were verified (only a local decision has it); `question` the commitment
    to what was asked (`commitments.commitment`).
    """
    facts_record = _facts_record(facts, snapshot)
    verdict = _verdict(decision, verification)
    return DecisionEntry(
        request=request,
        timestamp=timestamp_from_ms(facts.time_ms),
        actor=facts.caller or UNKNOWN_ACTOR,
        origin=origin,
        target=target_of(verdict, facts_record),
        result=result_of(verdict),
        decision=verdict,
        facts=facts_record,
        commitments=QuestionCommitment(question),
    )


def uitkomst_from(
    decision: DecisionEntry,
    index: int,
    result: Literal["voltooid", "afgebroken", "mislukt"],
    *,
    time_ms: int,
    reason: str | None = None,
    finish: str | None = None,
    usage: tuple[int, int] | None = None,
    duration_ms: int | None = None,
    answer: str | None = None,
) -> OutcomeEntry:
    """The outcome of the decision that stands at `index`.

    `reason` is a stable code and goes with "afgebroken" and "mislukt" alone; `usage` is prompt and answer tokens;
    `answer` the commitment to the answer.
    """
    return OutcomeEntry(
        request=decision.request,
        timestamp=timestamp_from_ms(time_ms),
        actor=decision.actor,
        origin=decision.origin,
        target=decision.target,
        result=result,
        decision=index,
        reason=reason,
        finish=finish,
        usage=None if usage is None else UsageRecord(*usage),
        duration_ms=duration_ms,
        commitments=AnswerCommitment(answer),
    )


def facts_from(entry: DecisionEntry) -> Facts:
    """The facts that the decision was made on; an unknown model's name is UNKNOWN_MODEL."""
    record = entry.facts
    return Facts(
        time_ms=ms_from_timestamp(entry.timestamp),
        caller=None if entry.actor == UNKNOWN_ACTOR else KeyId(entry.actor),
        use_case=None if record.use_case is None else UseCaseId(record.use_case),
        declared=_level(record.declared),
        findings=Findings(
            detector=record.findings.detector,
            level=_level(record.findings.level),
            personal_data=frozenset(record.findings.personal_data),
            counts=tuple(sorted(record.findings.counts.items())),
        ),
        task=record.task,
        model=None if record.model is None else ModelId(record.model),
        needs=frozenset(record.needs),
        supplier=record.supplier,
        tokens_wanted=record.tokens_wanted,
        volumes=tuple(Volume(v.exception, v.requests, v.tokens, v.cost_microeuros) for v in record.volumes),
        switches=frozenset(record.switches),
        key_use_cases=tuple(UseCaseId(use_case) for use_case in record.key_use_cases),
    )


def decision_from(entry: DecisionEntry) -> Decision:
    """The decision as it was made: what replaying `facts_from` under the same policy version must give."""
    match entry.decision:
        case LocalRecord() as local:
            return Local(
                rule=local.rule,
                snapshot=Sha256(local.snapshot),
                model=ModelId(local.model),
                weights=Sha256(local.weights),
                level=LEVELS[local.level],
                warnings=local.warnings,
            )
        case ExceptionalRecord() as exceptional:
            return Exceptional(
                rule=exceptional.rule,
                snapshot=Sha256(exceptional.snapshot),
                model=ModelId(exceptional.model),
                supplier=exceptional.supplier,
                exception=exceptional.exception,
                level=LEVELS[exceptional.level],
                obligations=exceptional.obligations,
            )
        case RefusedRecord() as refused:
            return Refused(
                rule=refused.rule,
                snapshot=None if refused.snapshot is None else Sha256(refused.snapshot),
                level=_level(refused.level),
                instead=refused.instead,
            )


def _facts_record(facts: Facts, snapshot: KnownModels | None) -> FactsRecord:
    return FactsRecord(
        use_case=facts.use_case,
        key_use_cases=facts.key_use_cases,
        declared=_code(facts.declared),
        findings=_findings_record(facts.findings),
        task=facts.task,
        model=_model(facts.model, snapshot),
        needs=tuple(sorted(facts.needs)),
        supplier=facts.supplier,
        tokens_wanted=facts.tokens_wanted,
        volumes=tuple(_volume_record(volume) for volume in sorted(facts.volumes, key=lambda v: v.exception)),
        switches=_sorted(facts.switches),
    )


def _findings_record(findings: Findings) -> FindingsRecord:
    if len(dict(findings.counts)) != len(findings.counts):
        raise ValueError("a kind of finding is counted twice")
    return FindingsRecord(
        detector=findings.detector,
        level=_code(findings.level),
        personal_data=tuple(sorted(findings.personal_data)),
        counts=dict(findings.counts),
    )


def _volume_record(volume: Volume) -> VolumeRecord:
    return VolumeRecord(volume.exception, volume.requests, volume.tokens, volume.cost_microeuros)


def _verdict(decision: Decision, verification: Verification | None) -> VerdictRecord:
    match decision:
        case Local(rule, snapshot, model, weights, level, warnings):
            return LocalRecord(rule, snapshot, model, weights, verification, _needed(level), warnings)
        case Exceptional(rule, snapshot, model, supplier, exception, level, obligations):
            return ExceptionalRecord(rule, snapshot, model, supplier, exception, _needed(level), obligations)
        case Refused(rule, snapshot_or_none, level_or_none, instead):
            return RefusedRecord(rule, snapshot_or_none, _code(level_or_none), instead)


def _model(model: ModelId | None, snapshot: KnownModels | None) -> str | None:
    if model is None:
        return None
    known = snapshot is not None and (model in snapshot.models or model in snapshot.supplier_models)
    return model if known else UNKNOWN_MODEL


def _sorted(codes: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(codes))


def _needed(level: Level) -> LevelCode:
    return level.code  # type: ignore[return-value]  # LevelCode lists the codes of Level; a test holds them together


def _code(level: Level | None) -> LevelCode | None:
    return None if level is None else _needed(level)


def _level(code: LevelCode | None) -> Level | None:
    return None if code is None else LEVELS[code]
