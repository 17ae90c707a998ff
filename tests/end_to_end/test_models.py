"""Models come and go while the platform runs; each does what its passport says and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import openai
import pytest

from embedding_weights import make_embedding_weights
from end_to_end.conftest import MODEL, home_with_model
from end_to_end.running import Running, until
from tenzij.engines.weights import sha256_of

EMBEDDER = "inbeddingen-proef"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, default_model_file: Path) -> Iterator[Running]:
    running = Running(home_with_model(tmp_path_factory.mktemp("models") / "home", default_model_file))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, default_model_file: Path) -> Path:
    file = tmp_path_factory.mktemp("weights") / "embedding.gguf"
    make_embedding_weights(default_model_file, file)
    return file


@pytest.fixture
def passport(tmp_path: Path, weights: Path) -> Path:
    """The passport of `weights`."""
    text = resources.files("tenzij.engines").joinpath("passports", "smollm2-135m-instruct.toml").read_text("utf-8")
    for key, value in {
        "id": f'"{EMBEDDER}"',
        "tasks": '["embedding"]',
        "capabilities": "[]",
        "sha256": f'"{sha256_of(weights)}"',
        "size_bytes": str(weights.stat().st_size),
    }.items():
        text = re.sub(rf"^{key} = .*", f"{key} = {value}", text, flags=re.MULTILINE)
    file = tmp_path / "passport.toml"
    file.write_text(text, "utf-8")
    return file


def models(client: openai.OpenAI) -> list[str]:
    return [model.id for model in client.models.list().data]


def test_a_model_is_added_used_and_withdrawn_while_the_platform_runs(
    platform: Running, client: openai.OpenAI, passport: Path, weights: Path
) -> None:
    added = json.loads(platform.command("model", "add", str(weights), "--passport", str(passport), "--json"))
    assert added["id"] == EMBEDDER
    until(lambda: EMBEDDER in models(client), 5, "the model is listed")
    answer = client.embeddings.create(model=EMBEDDER, input=["De kat", "De kat", "Gemeentelijke belastingen"])
    same, again, other = (item.embedding for item in answer.data)
    assert same == again != other
    assert len(same) == 576
    assert answer.usage.prompt_tokens > 5
    floats = client.embeddings.create(model=EMBEDDER, input="De kat", encoding_format="float").data[0].embedding
    assert floats == pytest.approx(same, abs=1e-3)
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model=EMBEDDER, messages=[{"role": "user", "content": "Hallo"}])
    assert refused.value.code == "task_not_supported"
    platform.command("model", "remove", EMBEDDER)
    until(lambda: models(client) == [MODEL], 5, "the model is gone")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model=EMBEDDER, input="De kat")


def test_weights_that_are_not_the_passports_are_refused(platform: Running, passport: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF, but another")
    before = sorted((platform.home / "models").iterdir())
    passport.write_text(re.sub(r'sha256 = "[0-9a-f]{4}', 'sha256 = "0000', passport.read_text("utf-8")), "utf-8")
    told = platform.command("model", "add", str(other), "--passport", str(passport), expect=1)
    assert "its passport says" in told
    assert sorted((platform.home / "models").iterdir()) == before


def test_weights_that_cannot_do_what_their_passport_says_are_given_up_alone(
    platform: Running, client: openai.OpenAI, passport: Path, default_model_file: Path
) -> None:
    text = re.sub(r"^id = .*", 'id = "kan-dit-niet"', passport.read_text("utf-8"), flags=re.MULTILINE)
    text = re.sub(r"^sha256 = .*", f'sha256 = "{default_model_file.stem}"', text, flags=re.MULTILINE)
    text = re.sub(r"^size_bytes = .*", f"size_bytes = {default_model_file.stat().st_size}", text, flags=re.MULTILINE)
    passport.write_text(text, "utf-8")
    platform.command("model", "add", str(default_model_file), "--passport", str(passport))
    until(lambda: "weights cannot do that" in platform.output, 30, platform.output)
    with pytest.raises(openai.InternalServerError) as refused:
        client.embeddings.create(model="kan-dit-niet", input="De kat")
    assert refused.value.code == "model_not_ready"
    assert client.completions.create(model=MODEL, prompt="One, two,", max_tokens=2).choices
    platform.command("model", "remove", "kan-dit-niet")


def test_a_faulty_passport_lists_all_its_faults(platform: Running, passport: Path, default_model_file: Path) -> None:
    text = passport.read_text("utf-8").replace('country = "US"', 'country = "Holland"').replace("openness", "openes")
    passport.write_text(text, "utf-8")
    told = platform.command("model", "add", str(default_model_file), "--passport", str(passport), expect=1)
    for fault in ("producer.country", "openes", "openness"):
        assert fault in told
