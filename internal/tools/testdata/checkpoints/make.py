#!/usr/bin/env python3
"""Writes the files of this folder: one tiny ViT as others save it. Run it here (torch 2.15, timm 1.0.31,
transformers 5.24, torchvision 0.29). Each library's own model is made of the weights first, and must agree."""

import json
import os
from collections import OrderedDict

import numpy as np
import timm
import torch
import transformers
from safetensors.torch import load_file, save_file
from torchvision.models.vision_transformer import VisionTransformer

E, HEADS, BLOCKS, HIDDEN, SIDE, PATCH, CLASSES = 8, 2, 2, 16, 8, 4, 3

torch.manual_seed(1)
model = timm.create_model("vit_tiny_patch16_224", embed_dim=E, num_heads=HEADS, depth=BLOCKS, mlp_ratio=HIDDEN / E,
                          img_size=SIDE, patch_size=PATCH, num_classes=CLASSES).eval()
with torch.no_grad():
    for p in model.parameters():
        p.copy_(torch.randn_like(p) * 0.4)
x = torch.randn(2, 3, SIDE, SIDE)
state = OrderedDict(model.state_dict())
with torch.no_grad():
    logits = model(x)


def same(other):
    with torch.no_grad():
        out = other.eval()(x)
    assert (getattr(out, "logits", out) - logits).abs().max() < 1e-5


save_file({"input": x, "logits": logits}, "expect.safetensors")
torch.save(state, "timm.pth")

# torchvision
vision = VisionTransformer(SIDE, PATCH, BLOCKS, HEADS, E, HIDDEN, num_classes=CLASSES)
outer = {"class_token": "cls_token", "conv_proj": "patch_embed.proj", "encoder.pos_embedding": "pos_embed",
         "encoder.ln": "norm", "heads.head": "head"}
inner = {"ln_1": "norm1", "self_attention.in_proj": "attn.qkv", "self_attention.out_proj": "attn.proj",
         "ln_2": "norm2", "mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2"}


def from_timm(name):
    for kind in (".weight", ".bias", "_weight", "_bias", ""):
        base = name.removesuffix(kind)
        if base in outer and name.endswith(kind):
            return outer[base] + kind.replace("_", ".")
        if base.startswith("encoder.layers."):
            number, rest = base.removeprefix("encoder.layers.encoder_layer_").split(".", 1)
            if rest in inner:
                return f"blocks.{number}.{inner[rest]}{kind.replace('_', '.')}"
    raise KeyError(name)


vision.load_state_dict({name: state[from_timm(name)] for name in vision.state_dict()})
same(vision)
torch.save(vision.state_dict(), "torchvision.pth")

# transformers: version 5's names in memory, as Lightning saves a module that holds the model; shards by hand, since
# transformers writes safetensors alone.
config = transformers.ViTConfig(hidden_size=E, num_hidden_layers=BLOCKS, num_attention_heads=HEADS,
                                intermediate_size=HIDDEN, image_size=SIDE, patch_size=PATCH, layer_norm_eps=1e-6,
                                num_labels=CLASSES)
hf = transformers.ViTForImageClassification(config)


def hf_state():
    for name, t in state.items():
        if ".attn.qkv." in name:
            block, kind = name.split(".attn.qkv.")
            for part, third in zip("qkv", t.chunk(3)):
                yield f"{block}.attention.{part}_proj.{kind}".replace("blocks", "vit.layers"), third.clone()
            continue
        for a, b in (("cls_token", "vit.embeddings.cls_token"), ("pos_embed", "vit.embeddings.position_embeddings"),
                     ("patch_embed.proj", "vit.embeddings.patch_embeddings.projection"), ("head.", "classifier."),
                     ("norm1", "layernorm_before"), ("norm2", "layernorm_after"), ("attn.proj", "attention.o_proj"),
                     ("blocks.", "vit.layers.")):
            name = name.replace(a, b)
        yield (f"vit.layernorm.{name[5:]}" if name.startswith("norm.") else name), t


hf.load_state_dict(dict(hf_state()))
same(hf)
torch.save({"epoch": 2, "global_step": 10, "pytorch-lightning_version": "2.5.0", "callbacks": {}, "optimizer_states": [],
            "hyper_parameters": {"lr": 1e-3}, "state_dict": OrderedDict(
                [("model." + n, t) for n, t in hf.state_dict().items()] + [("criterion.weight", torch.ones(CLASSES))])},
           "lightning.ckpt")

hf.save_pretrained("sharded")
saved = load_file("sharded/model.safetensors")
names = sorted(saved)
index = {"metadata": {"total_size": 1}, "weight_map": {}}
for i, part in enumerate((names[:5], names[5:]), 1):
    file = f"pytorch_model-0000{i}-of-00002.bin"
    torch.save({n: saved[n] for n in part}, f"sharded/{file}")
    index["weight_map"].update(dict.fromkeys(part, file))
os.remove("sharded/model.safetensors")
json.dump(index, open("sharded/pytorch_model.bin.index.json", "w"), indent=0)
text = json.load(open("sharded/config.json"))
text["id2label"] = {"0": 10, "1": "b", "2": 0}  # numbers are what labels of digits become
json.dump(text, open("sharded/config.json", "w"))

# DINO: student and teacher, each with its projection
projection = {"head.mlp.0.weight": torch.ones(4, E), "head.last_layer.weight_g": torch.ones(2, 1)}
body = OrderedDict((n, t) for n, t in state.items() if not n.startswith("head."))
torch.save({"student": {"module." + n: t for n, t in {**{"backbone." + n: 0 * t for n, t in body.items()},
                                                       **projection}.items()},
            "teacher": {**{"backbone." + n: t for n, t in body.items()}, **projection},
            "optimizer": {"state": {}, "param_groups": []}, "epoch": 100}, "dino.pth")

# JAX: the names of google-research/vision_transformer
arrays = {"cls": state["cls_token"], "Transformer/posembed_input/pos_embedding": state["pos_embed"],
          "embedding/kernel": state["patch_embed.proj.weight"].permute(2, 3, 1, 0),
          "embedding/bias": state["patch_embed.proj.bias"], "Transformer/encoder_norm/scale": state["norm.weight"],
          "Transformer/encoder_norm/bias": state["norm.bias"], "head/kernel": state["head.weight"].T,
          "head/bias": state["head.bias"]}
for l in range(BLOCKS):
    ours, theirs = f"blocks.{l}.", f"Transformer/encoderblock_{l}/"
    for a, b in (("LayerNorm_0", "norm1"), ("LayerNorm_2", "norm2")):
        arrays[f"{theirs}{a}/scale"], arrays[f"{theirs}{a}/bias"] = state[f"{ours}{b}.weight"], state[f"{ours}{b}.bias"]
    for a, b in (("Dense_0", "mlp.fc1"), ("Dense_1", "mlp.fc2")):
        arrays[f"{theirs}MlpBlock_3/{a}/kernel"] = state[f"{ours}{b}.weight"].T
        arrays[f"{theirs}MlpBlock_3/{a}/bias"] = state[f"{ours}{b}.bias"]
    attention = f"{theirs}MultiHeadDotProductAttention_1/"
    for part, w, b in zip(("query", "key", "value"), state[ours + "attn.qkv.weight"].chunk(3),
                          state[ours + "attn.qkv.bias"].chunk(3)):
        arrays[f"{attention}{part}/kernel"] = w.T.reshape(E, HEADS, E // HEADS)
        arrays[f"{attention}{part}/bias"] = b.reshape(HEADS, E // HEADS)
    arrays[f"{attention}out/kernel"] = state[ours + "attn.proj.weight"].T.reshape(HEADS, E // HEADS, E)
    arrays[f"{attention}out/bias"] = state[ours + "attn.proj.bias"]
np.savez_compressed("jax.npz", **{n: np.ascontiguousarray(t.numpy()) for n, t in arrays.items()})
# timm's own reader of such files must agree.
again = timm.create_model("vit_tiny_patch16_224", embed_dim=E, num_heads=HEADS, depth=BLOCKS, mlp_ratio=HIDDEN / E,
                          img_size=SIDE, patch_size=PATCH, num_classes=CLASSES)
again.load_pretrained("jax.npz")
again.head.load_state_dict({"weight": state["head.weight"], "bias": state["head.bias"]})
same(again)
