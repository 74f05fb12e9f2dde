"""Models whose weights are elsewhere while nobody reads them, or in few bits: extended as any other, and restored."""

from functools import partial

import pytest
import torch
from torch import nn

from paribus.context_extension import extend, restore
from paribus.context_extension.transformers_cache import Places
from paribus.core.errors import InputError
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.scaling.ntk_aware import NTKAware

transformers = pytest.importorskip("transformers")

SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 60,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
METHODS = [ReRoPE(window=5), StreamingLLM(window=5), NTKAware(factor=4.0)]
methods = pytest.mark.parametrize("change", METHODS, ids=repr)
GIVEN = torch.randint(3, 60, (1, 40), generator=torch.Generator().manual_seed(0))
OPTIONS = {"attention_mask": torch.ones_like(GIVEN), "max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}


def model(**more):
    made = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SIZE, **more})).eval()
    with torch.no_grad():
        for i, (_, weight) in enumerate(sorted(made.named_parameters())):
            if weight.dim() > 1:
                weight.copy_(0.15 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(i)))
    return made


@torch.no_grad()
def logits(made):
    return made(GIVEN).logits


def by_hand(made, folder):
    """As libraries do: weights come when a module is called and go behind it, by a forward of its own."""
    held = {name: weight.detach().clone() for name, weight in made.named_parameters()}

    def put(module, prefix, device):
        for name, weight in module.named_parameters(recurse=False):
            there = held[f"{prefix}.{name}"]
            module._parameters[name] = nn.Parameter(there.to(device), requires_grad=weight.requires_grad)

    def loaded(module, prefix, forward, *given, **named):
        put(module, prefix, "cpu")
        try:
            return forward(*given, **named)
        finally:
            put(module, prefix, "meta")

    for prefix, module in made.named_modules():
        if not list(module.children()):
            module.forward = partial(loaded, module, prefix, module.forward)
            put(module, prefix, "meta")
    return made


def on_disk(made, folder):
    accelerate = pytest.importorskip("accelerate")
    return accelerate.disk_offload(made, folder, execution_device=torch.device("cpu"))


def in_parts(made, folder):
    """A layer on the disk, a layer in memory that is moved in when it is called, the others where they are used."""
    accelerate = pytest.importorskip("accelerate")
    where = dict.fromkeys(["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head", "model.layers.0"], "cpu")
    where |= {"model.layers.1": "disk", "model.layers.2": "cpu"}
    return accelerate.dispatch_model(made, where, main_device="cpu", offload_dir=folder, force_hooks=True)


@methods
@pytest.mark.parametrize("offloaded", [by_hand, on_disk, in_parts])
def test_offloaded(tmp_path, offloaded, change):
    plain = model()
    before = logits(plain)
    expected = logits(extend(plain, change))
    written = plain.generate(GIVEN, **OPTIONS)
    made = offloaded(model(), str(tmp_path))
    forwards = {name: module.__dict__.get("forward") for name, module in made.named_modules()}
    extend(made, change)
    assert torch.allclose(logits(made), expected, atol=1e-5)
    assert torch.equal(made.generate(GIVEN, **OPTIONS), written)
    restore(made)
    assert torch.allclose(logits(made), before, atol=1e-6)
    assert {name: module.__dict__.get("forward") for name, module in made.named_modules()} == forwards
    assert made.model.layers[1].mlp.up_proj.weight.is_meta


def test_layers_on_several_devices():
    """Each asks for the positions where it is."""
    places = Places()
    places.begin(None)
    places.hear(torch.tensor([[0, 1, 7, 8]]))
    here, there = places.keys(3, torch.device("cpu")), places.keys(3, torch.device("meta"))
    assert here[0].tolist() == [[1, 7, 8]]
    assert here[1].tolist() == [[True, False, False]]
    assert there[0].is_meta
    assert there[1].is_meta
    assert places.keys(3, torch.device("cpu"))[0] is here[0]


def with_few_bits(kind):
    made = model(hidden_size=64, intermediate_size=96)
    if kind.startswith("quanto"):
        quanto = pytest.importorskip("optimum.quanto")
        quanto.quantize(made, weights=quanto.qint8 if kind == "quanto int8" else quanto.qint4)
        quanto.freeze(made)
    else:
        torchao = pytest.importorskip("torchao.quantization")
        kinds = {"weights": torchao.Int8WeightOnlyConfig, "activations": torchao.Int8DynamicActivationInt8WeightConfig}
        torchao.quantize_(made, kinds[kind.removeprefix("torchao ")]())
    return made


@pytest.mark.filterwarnings("ignore")  # theirs, of torch and of one another
@pytest.mark.parametrize("kind", ["quanto int8", "quanto int4", "torchao weights", "torchao activations"])
def test_quantised(kind):
    made = with_few_bits(kind)
    before = logits(made)
    extend(made, ReRoPE(window=64))
    # A last bit of the attention may be a step of an activation in 8.
    assert float((logits(made) - before).norm() / before.norm()) < (0.1 if "activations" in kind else 1e-4)
    for change in METHODS:
        extend(made, change)
        assert float((logits(made) - before).norm() / before.norm()) > 0.1
        assert made.generate(GIVEN, **OPTIONS).shape == (1, 44)
    assert torch.equal(logits(restore(made)), before)


def test_activations_that_hang_on_a_last_bit():
    """Where weights are quantised that is no sign of another attention."""
    made = model()
    for layer in made.model.layers:
        layer.self_attn.o_proj.register_forward_pre_hook(
            lambda _, given: (given[0] * (1 + 5e-3 * (1e9 * given[0]).sin()),)
        )
    with pytest.raises(InputError, match="differs from itself on 8 tokens"):
        extend(made, ReRoPE(window=5))
    made.hf_quantizer = object()
    extend(made, ReRoPE(window=5))
