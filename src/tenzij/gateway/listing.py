"""GET /v1/models and /v1/models/{id}: the models that the caller may use, with where they run and what they are.

OpenAI's model object, and under `tenzij`: `locatie`, `gewichten` (SHA-256), `licentie`, `taken`, `vermogens`,
`context_tokens`, `toepassingen`, `gereed`. A model that the caller may not use does not exist for that caller.
"""

from __future__ import annotations

from tenzij.gateway import headers
from tenzij.gateway.exchange import Exchange
from tenzij.gateway.journey import entrance
from tenzij.gateway.refusals import ModelNotFound
from tenzij.gateway.standing import Standing
from tenzij.gateway.state import Gateway
from tenzij.policy.snapshot import Model, Snapshot
from tenzij.types import ModelId, UseCaseId


async def list_models(gateway: Gateway, exchange: Exchange) -> None:
    """All of the caller's models."""
    listed = _models_of(gateway, exchange)
    await exchange.respond(200, {"object": "list", "data": list(listed.values())})


async def show_model(gateway: Gateway, exchange: Exchange, name: str) -> None:
    """One of the caller's models."""
    listed = _models_of(gateway, exchange)
    shown = listed.get(ModelId(name))
    if shown is None:
        known = ", ".join(listed) or "none"
        raise ModelNotFound(f"This model does not exist here, or not for this key. There are: {known}.", param="model")
    await exchange.respond(200, shown)


def _models_of(gateway: Gateway, exchange: Exchange) -> dict[ModelId, dict[str, object]]:
    snapshot, caller = entrance(gateway, exchange)
    chosen = exchange.header(headers.USE_CASE)
    use_cases = caller.use_cases
    if chosen is not None:
        use_case = headers.use_case_from_header(chosen, use_cases)
        use_cases = () if use_case is None else (use_case,)
    allowed = models_of_use_cases(snapshot, use_cases)
    return {model.id: _shown(gateway, snapshot, model, used_by) for model, used_by in allowed}


def models_of_use_cases(
    snapshot: Snapshot, use_cases: tuple[UseCaseId, ...]
) -> list[tuple[Model, tuple[UseCaseId, ...]]]:
    """The models that active ones of `use_cases` may use, each with those, in the use cases' order."""
    used: dict[ModelId, list[UseCaseId]] = {}
    for use_case in use_cases:
        known = snapshot.use_cases.get(use_case)
        if known is not None and known.active:
            for model in known.models:
                used.setdefault(model, []).append(use_case)
    return [(snapshot.models[model], tuple(by)) for model, by in used.items() if model in snapshot.models]


def _shown(gateway: Gateway, snapshot: Snapshot, model: Model, used_by: tuple[UseCaseId, ...]) -> dict[str, object]:
    return {
        "id": model.id,
        "object": "model",
        "created": snapshot.made_ms // 1000,
        "owned_by": "tenzij",
        "tenzij": {
            "locatie": model.location.value,
            "gewichten": model.weights,
            "licentie": model.licence,
            "taken": sorted(model.tasks),
            "vermogens": sorted(model.capabilities),
            "context_tokens": model.context_tokens,
            "toepassingen": list(used_by),
            "gereed": gateway.standing_of(model.id, model.weights) is Standing.READY,
        },
    }
