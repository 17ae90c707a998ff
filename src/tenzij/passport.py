"""A model's passport (modelpaspoort): where weights came from, under which licence, and what the model can do.

The tree below is what a passport file (TOML) holds and what the register stores (JSON); the two have the same shape.

    id = "smollm2-135m-instruct"           # what a client writes in `model`
    name = "SmolLM2 135M Instruct"
    licence = "Apache-2.0"                 # SPDX expression, of this very file
    source = "https://…"                   # where the file was taken from
    languages = ["en"]                     # BCP 47
    tasks = ["chat", "completion"]         # chat, completion, embedding
    capabilities = []                      # tools, images, structured_output
    context_tokens = 8192
    chat_template = "…"                    # optional: a note about the template in the file
    [file]      sha256, size_bytes, format ("gguf")
    [producer]  name, country              # ISO 3166-1 alpha-2
    [openness]  weights, data, code        # open, partial, closed; as in the European Open Source AI Index
    [[evaluation]]                         # optional, any number: name, metric, score, date; source is optional
    [admitted]  by, date                   # optional: who took the model in, and when

Rules
- Strict: unknown fields, wrong types and values outside their bounds are faults, and all faults are listed at once.
- A fault names the field and the rule; it does not quote the value.
- Scores are text ("0.431"): they stay as the evaluation's report gives them, and no float enters what we hash or sign.
- Nothing is read from disk here and no weights are hashed: see `engines`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenzij.errors import OperatorError
from tenzij.tree import Fields
from tenzij.types import Capability, ModelId, Sha256, Task

MODEL_ID = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
MODEL_ID_CHARS = 64
SHA256 = re.compile(r"[0-9a-f]{64}")
DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
_SPDX_ID = r"\(*[A-Za-z0-9][A-Za-z0-9.+-]*\)*"
SPDX = re.compile(rf"{_SPDX_ID}(?: (?:AND|OR|WITH) {_SPDX_ID})*")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
COUNTRY = re.compile(r"[A-Z]{2}")
OPENNESS = ("open", "partial", "closed")
FORMATS = ("gguf",)
MAX_SIZE_BYTES = 2**53 - 1  # what JSON carries exactly everywhere
MAX_CONTEXT_TOKENS = 2**24
MAX_EVALUATIONS = 200


class BadPassport(OperatorError):
    """The passport cannot be used; `faults` has every one, each beginning with the field's name."""

    status = 400
    code = "bad_passport"

    def __init__(self, faults: list[str]) -> None:
        listed = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"The passport has {len(faults)} fault(s). Mend them and try again:\n{listed}")
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """The one file that the passport is about."""

    sha256: Sha256
    size_bytes: int
    format: str  # "gguf"


@dataclass(frozen=True, slots=True)
class Producer:
    """Who trained the model, and under which jurisdiction."""

    name: str
    country: str  # ISO 3166-1 alpha-2


@dataclass(frozen=True, slots=True)
class Openness:
    """Each is "open", "partial" or "closed"."""

    weights: str
    data: str
    code: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One result, as its report gives it."""

    name: str  # the set or test
    metric: str
    score: str
    date: str  # YYYY-MM-DD
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """Who took the model in."""

    by: str
    date: str  # YYYY-MM-DD


@dataclass(frozen=True, slots=True)
class Passport:
    """What the module docstring shows."""

    id: ModelId
    name: str
    file: WeightsFile
    licence: str
    producer: Producer
    source: str
    openness: Openness
    languages: tuple[str, ...]
    tasks: tuple[Task, ...]
    capabilities: tuple[Capability, ...]
    context_tokens: int
    chat_template: str | None = None
    evaluation: tuple[Evaluation, ...] = ()
    admitted: Admission | None = None

    @property
    def sha256(self) -> Sha256:
        """The hash of the weights: by which answers name what made them."""
        return self.file.sha256


def passport_from_tree(tree: Mapping[str, Any]) -> Passport:
    """The passport that `tree` states. Raises BadPassport with all faults."""
    faults: list[str] = []
    top = Fields(tree, "", faults)
    passport = Passport(
        id=ModelId(top.text("id", pattern=MODEL_ID, rule="small letters and digits, joined by . _ or -", chars=64)),
        name=top.text("name"),
        file=_file(top.table("file")),
        licence=top.text("licence", pattern=SPDX, rule="an SPDX licence expression, e.g. Apache-2.0"),
        producer=_producer(top.table("producer")),
        source=top.text("source", chars=1000),
        openness=_openness(top.table("openness")),
        languages=top.texts("languages", pattern=LANGUAGE, rule="BCP 47 codes, e.g. nl", least=1),
        tasks=tuple(Task(task) for task in top.choices("tasks", tuple(Task), least=1)),
        capabilities=tuple(Capability(each) for each in top.choices("capabilities", tuple(Capability))),
        context_tokens=top.number("context_tokens", 1, MAX_CONTEXT_TOKENS),
        chat_template=top.text("chat_template", chars=1000) if top.has("chat_template") else None,
        evaluation=tuple(_evaluation(each) for each in top.tables("evaluation", MAX_EVALUATIONS)),
        admitted=_admission(top.table("admitted")) if top.has("admitted") else None,
    )
    top.finish()
    if faults:
        raise BadPassport(faults)
    return passport


def _file(fields: Fields) -> WeightsFile:
    return fields.finished(
        WeightsFile(
            sha256=Sha256(fields.text("sha256", pattern=SHA256, rule="64 small hexadecimal digits")),
            size_bytes=fields.number("size_bytes", 1, MAX_SIZE_BYTES),
            format=fields.choice("format", FORMATS),
        )
    )


def _producer(fields: Fields) -> Producer:
    return fields.finished(
        Producer(
            name=fields.text("name"),
            country=fields.text("country", pattern=COUNTRY, rule="an ISO 3166-1 code of two capitals, e.g. NL"),
        )
    )


def _openness(fields: Fields) -> Openness:
    return fields.finished(Openness(*(fields.choice(part, OPENNESS) for part in ("weights", "data", "code"))))


def _evaluation(fields: Fields) -> Evaluation:
    return fields.finished(
        Evaluation(
            name=fields.text("name"),
            metric=fields.text("metric"),
            score=fields.text("score"),
            date=_date(fields),
            source=fields.text("source", chars=1000) if fields.has("source") else None,
        )
    )


def _admission(fields: Fields) -> Admission:
    return fields.finished(Admission(by=fields.text("by"), date=_date(fields)))


def _date(fields: Fields) -> str:
    return fields.text("date", pattern=DATE, rule='a date in quotes, as "2026-11-21"')


def tree_from_passport(passport: Passport) -> dict[str, Any]:
    """The tree that `passport_from_tree` reads back into the same passport; plain JSON types, no null."""
    tree: dict[str, Any] = {
        "id": passport.id,
        "name": passport.name,
        "file": {
            "sha256": passport.file.sha256,
            "size_bytes": passport.file.size_bytes,
            "format": passport.file.format,
        },
        "licence": passport.licence,
        "producer": {"name": passport.producer.name, "country": passport.producer.country},
        "source": passport.source,
        "openness": {
            "weights": passport.openness.weights,
            "data": passport.openness.data,
            "code": passport.openness.code,
        },
        "languages": list(passport.languages),
        "tasks": [task.value for task in passport.tasks],
        "capabilities": [capability.value for capability in passport.capabilities],
        "context_tokens": passport.context_tokens,
        "evaluation": [_tree_from_evaluation(each) for each in passport.evaluation],
    }
    if passport.chat_template is not None:
        tree["chat_template"] = passport.chat_template
    if passport.admitted is not None:
        tree["admitted"] = {"by": passport.admitted.by, "date": passport.admitted.date}
    return tree


def _tree_from_evaluation(evaluation: Evaluation) -> dict[str, str]:
    tree = {
        "name": evaluation.name,
        "metric": evaluation.metric,
        "score": evaluation.score,
        "date": evaluation.date,
    }
    return tree if evaluation.source is None else {**tree, "source": evaluation.source}
