"""Codes to sentences, in Dutch and English: what was decided, and for a refusal what to do instead.

Rules
- Every rule's name and every warning has a sentence in both languages; a test holds this to `rule_names`.
- A sentence is made of codes only. It never quotes what a caller sent; the ids that it names come from the policy
  version.
- Plain words (language level B1), one idea a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tenzij.policy.decision import Decision, Exceptional, Local, Refused
from tenzij.types import Level

Language = Literal["nl", "en"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One code in both languages. `{level}` and `{model}` are filled in from the decision."""

    nl: str
    en: str

    def in_language(self, language: Language) -> str:
        """The text in that language."""
        return self.nl if language == "nl" else self.en


_SETTLED: Mapping[str, Sentence] = MappingProxyType(
    {
        "local_named": Sentence(
            "Dit draait op een eigen systeem van de overheid, met {model}, op {level}.",
            "This runs on a government system, with {model}, at {level}.",
        ),
        "local_default": Sentence(
            "Dit draait op een eigen systeem van de overheid, met {model}, op {level}. Het verzoek noemt geen model; "
            "dit is het eerste dat past.",
            "This runs on a government system, with {model}, at {level}. The request names no model; "
            "this is the first that fits.",
        ),
        "no_policy": Sentence(
            "Er is nu geen geldig beleid, dus alles wordt geweigerd. Probeer het over een minuut opnieuw. Blijft het "
            "zo, meld het dan bij de beheerder.",
            "There is no valid policy version now, so everything is refused. Try again in a minute. If it stays so, "
            "tell the operator.",
        ),
        "rules_unknown": Sentence(
            "Het beleid is gemaakt voor regels die deze versie niet kent, dus alles wordt geweigerd. Meld het bij de "
            "beheerder.",
            "The policy version was made for rules that this release does not know, so everything is refused. Tell "
            "the operator.",
        ),
        "no_rule": Sentence(
            "Geen regel staat dit toe. Meld het bij de beheerder: dit hoort niet voor te komen.",
            "No rule allows this. Tell the operator: this should not happen.",
        ),
        "caller_unknown": Sentence(
            "Niet bekend is wie dit vraagt. Gebruik een geldige sleutel; de beheerder geeft die uit.",
            "It is not known who asks. Use a valid key; the operator issues one.",
        ),
        "use_case_not_chosen": Sentence(
            "Het verzoek noemt geen toepassing van deze sleutel. Kies er een met de header Tenzij-Toepassing.",
            "The request names no use case of this key. Choose one with the header Tenzij-Toepassing.",
        ),
        "use_case_unknown": Sentence(
            "Deze toepassing bestaat niet. Vraag de beheerder waarvoor de sleutel is uitgegeven.",
            "This use case does not exist. Ask the operator what the key was issued for.",
        ),
        "use_case_inactive": Sentence(
            "Deze toepassing is niet actief, of nog niet volledig vastgelegd. Vraag de eigenaar van de toepassing wat "
            "er ontbreekt.",
            "This use case is not active, or not yet complete. Ask its owner what is missing.",
        ),
        "state_secret": Sentence(
            "Staatsgeheim en zeer geheim materiaal mag hier nooit in. Gebruik de voorziening die daarvoor is "
            "aangewezen en meld het bij de beveiligingsfunctionaris.",
            "State secrets may never go in here. Use the facility designated for them and tell the security officer.",
        ),
        "above_ceiling": Sentence(
            "Dit verzoek heeft {level}, en dat is hoger dan deze toepassing toestaat. Haal eruit wat te vertrouwelijk "
            "is, of vraag de eigenaar van de toepassing.",
            "This request is {level}, which is above what this use case allows. Take out what is too confidential, or "
            "ask the owner of the use case.",
        ),
        "personal_data_unknown": Sentence(
            "Niet vast te stellen is of hier persoonsgegevens in staan, en deze toepassing eist dat dit bekend is. "
            "Probeer het later opnieuw, of vraag de eigenaar van de toepassing.",
            "It cannot be established whether this holds personal data, and this use case requires that to be known. "
            "Try again later, or ask the owner of the use case.",
        ),
        "personal_data_not_allowed": Sentence(
            "Er zijn persoonsgegevens gevonden die in deze toepassing niet mogen. Haal ze uit de tekst en probeer het "
            "opnieuw.",
            "Personal data was found that this use case does not allow. Take it out of the text and try again.",
        ),
        "no_model_fits": Sentence(
            "Deze toepassing heeft geen model dat dit verzoek aankan. Vraag minder (gewone tekst, geen hulpmiddelen "
            "of beelden), of vraag de beheerder om een passend model.",
            "This use case has no model that can do this request. Ask for less (plain text, no tools or images), or "
            "ask the operator for a model that fits.",
        ),
        "model_not_allowed": Sentence(
            "Dit model mag niet voor deze toepassing.",
            "This model is not allowed for this use case.",
        ),
        "task_not_supported": Sentence(
            "Dit model kan deze taak niet.",
            "This model cannot do this task.",
        ),
        "capability_not_supported": Sentence(
            "Dit model kan niet alles wat het verzoek vraagt.",
            "This model cannot do all that the request asks.",
        ),
        "exception_needed": Sentence(
            "Dit model draait bij een leverancier en er is geen uitzondering voor verleend. Vraag de eigenaar van de "
            "toepassing om een uitzondering als geen lokaal model voldoet.",
            "This model runs at a supplier and no exception for it was granted. Ask the owner of the use case for an "
            "exception if no local model will do.",
        ),
        "model_unknown": Sentence(
            "Dit model is hier niet toegelaten.",
            "This model is not admitted here.",
        ),
    }
)

_INSTEAD: Mapping[str, Sentence] = MappingProxyType(
    {
        "use_case_not_chosen": Sentence("Deze sleutel is voor: {instead}.", "This key is for: {instead}."),
        "": Sentence("Dit werkt wel, lokaal: {instead}.", "This works, locally: {instead}."),
    }
)

_NOTHING_INSTEAD = Sentence(
    "Deze toepassing heeft geen ander model dat past; vraag de beheerder.",
    "This use case has no other model that fits; ask the operator.",
)

NAMES_MODELS = frozenset(
    {"model_not_allowed", "task_not_supported", "capability_not_supported", "exception_needed", "model_unknown"}
)

WARNINGS: Mapping[str, Sentence] = MappingProxyType(
    {
        "personal_data_gewoon": Sentence(
            "Let op: er staan persoonsgegevens in de tekst.", "Mind: the text holds personal data."
        ),
        "personal_data_bsn": Sentence(
            "Let op: er staat een burgerservicenummer in de tekst.", "Mind: the text holds a national number (BSN)."
        ),
        "personal_data_bijzonder": Sentence(
            "Let op: er staan bijzondere of strafrechtelijke persoonsgegevens in de tekst.",
            "Mind: the text holds special or criminal personal data.",
        ),
    }
)


def sentence(decision: Decision, language: Language = "nl") -> str:
    """The decision for a person: one to three sentences. An unknown code gives the code itself."""
    known = _SETTLED.get(decision.rule)
    if known is None:
        return decision.rule
    parts = [known.in_language(language)]
    if isinstance(decision, Refused):
        parts += _instead(decision, language)
    if isinstance(decision, Local):
        parts += [WARNINGS[code].in_language(language) for code in decision.warnings if code in WARNINGS]
    text = " ".join(parts)
    model = decision.model if isinstance(decision, Local | Exceptional) else ""
    return text.replace("{model}", model).replace("{level}", level_label(decision.level or Level.OPEN, language))


def _instead(decision: Refused, language: Language) -> list[str]:
    if decision.instead:
        naming = _INSTEAD.get(decision.rule, _INSTEAD[""]).in_language(language)
        return [naming.replace("{instead}", ", ".join(decision.instead))]
    return [_NOTHING_INSTEAD.in_language(language)] if decision.rule in NAMES_MODELS else []


def level_label(level: Level, language: Language) -> str:
    """The class in words."""
    if level is Level.STATE_SECRET:
        return "staatsgeheim" if language == "nl" else "state secret"
    return f"niveau {level.value}" if language == "nl" else f"level {level.value}"
