"""Count Hugging Face models as the library calls them, and compare with torch's counter on real data.

Needs environments of their own, one for each version of transformers:

    python -m venv ../hf5
    ../hf5/bin/pip install torch "transformers>=5" pydantic rich cyclopts
    PYTHONPATH=src ../hf5/bin/python benchmarks/hf_models.py

Each model is built small from its configuration, with eager and with default attention, and is counted with and
without a mask. Exit status 1 when a count is refused, partial or differs from torch's. torch's counter has no rule for
the fused attention of a CPU and for grouped products, so that its run takes the unfused kernel and one expert after
the other.
"""

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

try:
    import transformers
except ImportError:
    print(
        "transformers is not installed here; its own environment is set up as this script's first lines say"
    )
    sys.exit(0)

from losslab.accounting import Ledger, count
from losslab.errors import LosslabError

LENGTH = 12
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
EXPERTS: dict[str, Any] = {
    "num_key_value_heads": 2,
    "moe_intermediate_size": 24,
    "num_experts": 4,
    "num_experts_per_tok": 2,
}


@dataclass(frozen=True)
class Case:
    """A model's class, the options of its configuration, and its inputs as shapes of a sample."""

    model: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=lambda: {"input_ids": f"{LENGTH}:int64"})
    mask: dict[str, Any] = field(default_factory=lambda: {"attention_mask": f"{LENGTH}:int64"})


IDS = {"input_ids": f"{LENGTH}:int64"}
PAIR = {**IDS, "decoder_input_ids": "7:int64"}
IMAGE = {"pixel_values": (3, 32, 32)}
NO_MASK: dict[str, Any] = {}
VIT = {**SMALL, "image_size": 32, "patch_size": 8}
CASES = {
    "BERT": Case("BertModel", "BertConfig", SMALL),
    "RoBERTa": Case("RobertaForSequenceClassification", "RobertaConfig", SMALL),
    "DistilBERT": Case(
        "DistilBertModel",
        "DistilBertConfig",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    ),
    "ALBERT": Case("AlbertModel", "AlbertConfig", {**SMALL, "embedding_size": 16}),
    "ELECTRA": Case("ElectraModel", "ElectraConfig", {**SMALL, "embedding_size": 16}),
    "DeBERTa-v2": Case(
        "DebertaV2Model",
        "DebertaV2Config",
        {
            **SMALL,
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "position_buckets": 8,
        },
    ),
    "BART": Case(
        "BartForConditionalGeneration",
        "BartConfig",
        {
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
        },
        PAIR,
    ),
    "BART classifier": Case(
        "BartForSequenceClassification",
        "BartConfig",
        {
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
        },
    ),
    "Longformer": Case(
        "LongformerModel",
        "LongformerConfig",
        {**SMALL, "attention_window": 4, "max_position_embeddings": 64},
    ),
    "T5": Case(
        "T5ForConditionalGeneration",
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
        PAIR,
    ),
    "Llama": Case("LlamaForCausalLM", "LlamaConfig", {**SMALL, "num_key_value_heads": 2}),
    "Mistral": Case(
        "MistralForCausalLM",
        "MistralConfig",
        {**SMALL, "num_key_value_heads": 2, "sliding_window": 8},
    ),
    "Qwen2": Case("Qwen2ForCausalLM", "Qwen2Config", {**SMALL, "num_key_value_heads": 2}),
    "Mixtral": Case(
        "MixtralForCausalLM",
        "MixtralConfig",
        {**SMALL, "num_key_value_heads": 2, "num_local_experts": 4},
    ),
    "Qwen3-MoE": Case(
        "Qwen3MoeForCausalLM", "Qwen3MoeConfig", {**SMALL, **EXPERTS, "head_dim": 8}
    ),
    "GPT-2": Case("GPT2LMHeadModel", "GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    "Whisper": Case(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "num_mel_bins": 8,
            "max_source_positions": 16,
        },
        {"input_features": (8, 32), "decoder_input_ids": "7:int64"},
        {"attention_mask": "32:int64"},
    ),
    "CLIP": Case(
        "CLIPModel",
        "CLIPConfig",
        {"text_config": SMALL, "vision_config": VIT, "projection_dim": 16},
        {**IDS, **IMAGE},
    ),
    "ViT": Case("ViTForImageClassification", "ViTConfig", VIT, IMAGE, NO_MASK),
    "DETR": Case(
        "DetrForObjectDetection",
        "DetrConfig",
        {
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "backbone": None,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "num_queries": 5,
        },
        {"pixel_values": (3, 64, 64)},
        {"pixel_mask": "64x64:int64"},
    ),
}


def built(case: Case, attention: str) -> nn.Module:
    options = dict(case.options)
    if case.model.startswith("Detr"):
        options["backbone_config"] = transformers.ResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 16],
            depths=[1, 1],
            layer_type="basic",
            out_features=["stage2"],
        )
    config = getattr(transformers, case.config)(**options)
    config._attn_implementation = attention
    if case.model.startswith("Detr"):
        config.backbone_config._attn_implementation = "eager"  # its layers are convolutions
    torch.manual_seed(0)
    return getattr(transformers, case.model)._from_config(config).eval()


def real(shape: Any) -> Tensor:
    sizes, _, kind = (
        shape.partition(":") if isinstance(shape, str) else ("x".join(map(str, shape)), "", "")
    )
    full = (2, *map(int, sizes.split("x")))
    return torch.ones(full, dtype=torch.int64) if kind else torch.randn(full)


def measured(model: nn.Module, inputs: dict[str, Any]) -> int:
    """MACs of torch's counter on real data."""
    tensors = {name: real(shape) for name, shape in inputs.items()}
    for name in tensors:
        if name.endswith("ids"):
            tensors[name] = torch.arange(tensors[name].shape[1]).expand(2, -1).contiguous()
    experts = getattr(model.config, "_experts_implementation", None)
    if experts is not None:
        model.set_experts_implementation("eager")
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(**tensors)
    if experts is not None:
        model.set_experts_implementation(experts)
    return counter.get_total_flops() // 2


def attentions(case: Case) -> Iterator[str]:
    yield "eager"
    if getattr(getattr(transformers, case.model), "_supports_sdpa", False):
        yield "sdpa"


def outcome(model: nn.Module, inputs: dict[str, Any]) -> tuple[int | None, int | None, str]:
    """MACs here, MACs of torch's counter, and what differs."""
    try:
        torchs = measured(model, inputs)
    except Exception as error:
        return None, None, f"torch itself: {type(error).__name__}: {str(error).splitlines()[0]}"
    try:
        ledger = count(model, inputs, batch_size=2)
    except LosslabError as error:
        return None, torchs, str(error)
    return ledger.macs, torchs, differences(ledger, torchs, model)


def differences(ledger: Ledger, torchs: int, model: nn.Module) -> str:
    found = [f"{row.name} ({row.kind}) is not counted" for row in ledger.not_counted]
    if ledger.macs != torchs:
        found.append(f"differs by {ledger.macs - torchs:,}")
    if ledger.parameters != sum(parameter.numel() for parameter in model.parameters()):
        found.append("parameters differ")
    return "; ".join(found) or "equal"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="MODEL",
        help=f"of {', '.join(CASES)}; all when none is given",
    )
    names = parser.parse_args().names or list(CASES)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, batch 2")
    print(
        "| model | attention | mask | MACs | torch's counter | |\n|---|---|---|---:|---:|---|"
    )
    wrong = 0
    for name in names:
        case = CASES[name]
        for attention in attentions(case):
            model = built(case, attention)
            for mask in ({}, case.mask) if case.mask else ({},):
                ours, torchs, says = outcome(model, {**case.inputs, **mask})
                wrong += says != "equal"
                words = "with" if mask else "without"
                numbers = " | ".join(
                    "-" if number is None else f"{number:,}" for number in (ours, torchs)
                )
                print(f"| {name} | {attention} | {words} | {numbers} | {says} |", flush=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
