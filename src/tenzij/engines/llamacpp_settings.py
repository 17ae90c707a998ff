"""llama.cpp's settings for a worker: everything off that writes, keeps or shares, and the sizes from the configuration.

llama.cpp's server is made for one person at one machine. Here many callers share it who may not learn of each
other (promise 10), and nothing that they ask may be kept (promise 5). What is not named below stays at llama.cpp's
default and was looked at: it is off, or cannot be reached through the three paths that `llamacpp.LlamaCpp` asks.
"""

from __future__ import annotations

from typing import Any

from tenzij.engines.worker import WorkerConfig


def settings_for(config: WorkerConfig, weights: str, socket: str) -> Any:
    """An `xllamacpp.CommonParams` (untyped: the package has no types)."""
    import xllamacpp  # here: loading the library is for the worker alone, after its output is dropped

    settings = xllamacpp.CommonParams()
    settings.model.path = weights
    settings.model_alias = {config.model}  # else answers name the path
    settings.hostnames = [socket]
    _set_sizes(settings, config)
    _share_nothing(settings)
    _keep_to_itself(settings)
    settings.prefill_assistant = False  # a last message from the assistant is a turn, as in OpenAI's API
    # Reasoning stays in the text: parsed out, it would travel in a field of its own and be lost.
    settings.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    if config.is_embedding:
        _for_embeddings(settings, config)
    return settings


def _set_sizes(settings: Any, config: WorkerConfig) -> None:
    settings.n_parallel = config.slots
    settings.n_ctx = config.context_tokens * config.slots  # llama.cpp divides it by its slots …
    settings.kv_unified = False  # … as long as they are apart: unified, one request's length is another's limit
    settings.ctx_shift = False  # a full context ends the answer; shifting would drop its beginning in silence
    settings.fit_params = False  # else it shrinks the context in silence where memory is short
    # A hang-up is noticed between two batches of a prompt, so the batch bounds how long a dead request holds a slot.
    settings.n_batch = settings.n_ubatch = config.batch_tokens
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = config.thread_count
    settings.n_gpu_layers = config.gpu_layers
    settings.warmup = True  # the first caller does not wait for the weights to be paged in


def _share_nothing(settings: Any) -> None:
    settings.cache_prompt = False  # a prompt that another caller sent before would be answered faster
    settings.cache_ram_mib = 0  # the same, beyond a slot's life
    settings.cache_idle_slots = False  # keeps what a slot held last
    settings.n_cache_reuse = 0
    settings.n_ctx_checkpoints = 0  # copies of the state at points in a prompt
    settings.slot_prompt_similarity = 0.0  # picks a slot by what its last prompt was
    settings.slot_save_path = ""  # saves slots to files
    settings.path_prompt_cache = ""
    settings.endpoint_slots = False  # shows every slot's prompt
    settings.endpoint_metrics = False  # counts over all callers
    settings.endpoint_props = False  # changes settings for all


def _keep_to_itself(settings: Any) -> None:
    settings.verbosity = -1  # below errors. It prints all the same at times: see `worker.drop_output`
    settings.log_json = False
    settings.ui = False
    settings.ui_mcp_proxy = False  # fetches any address for who asks
    settings.server_tools = []  # built-in tools read files and run commands
    settings.mcp_servers_config = settings.mcp_servers_json = ""
    settings.media_path = ""  # serves files below a folder
    settings.no_mmproj = True  # takes up a picture model that happens to lie beside the weights
    settings.lora_adapters = []
    settings.offline = True
    settings.sleep_idle_seconds = -1
    settings.timeout_read = 60  # a gateway that stops in the middle of a request
    settings.timeout_write = 600  # one that does not take the answer: a client that reads slowly holds it up


def _for_embeddings(settings: Any, config: WorkerConfig) -> None:
    settings.embedding = True  # pooling stays as the weights say
    # An input must fit one batch whole, so a hang-up is noticed between inputs, not within one.
    settings.n_batch = settings.n_ubatch = config.context_tokens
