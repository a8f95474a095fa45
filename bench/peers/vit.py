"""The plain ViT that everybody writes in PyTorch, with q, k and v in one product; weights come from a model directory in
transformers' layout."""
import json

import numpy as np
import torch
import torch.nn.functional as F


def tensors(path):
    """Reads a safetensors file of F32: eight bytes of length, a JSON header, raw data."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    header.pop("__metadata__", None)

    def tensor(shape, begin, end):
        numbers = np.frombuffer(data, np.float32, offset=begin, count=(end - begin) // 4)
        return torch.from_numpy(numbers.reshape(shape).copy())

    return {name: tensor(t["shape"], *t["data_offsets"]) for name, t in header.items()}


def filled(module, w, *names):
    """A module with the weights and biases of these names, one below the other."""
    module.weight = torch.nn.Parameter(torch.cat([w[n + ".weight"] for n in names]))
    module.bias = torch.nn.Parameter(torch.cat([w[n + ".bias"] for n in names]))
    return module


def linear(w, *names):
    outputs, inputs = sum(len(w[n + ".bias"]) for n in names), w[names[0] + ".weight"].shape[1]
    return filled(torch.nn.Linear(inputs, outputs), w, *names)


def norm(w, name, eps):
    return filled(torch.nn.LayerNorm(len(w[name + ".bias"]), eps), w, name)


class Block(torch.nn.Module):
    def __init__(self, w, prefix, heads, eps):
        super().__init__()
        self.heads = heads
        self.qkv = linear(w, *(prefix + "attention.attention." + n for n in ("query", "key", "value")))
        self.proj = linear(w, prefix + "attention.output.dense")
        self.fc1, self.fc2 = linear(w, prefix + "intermediate.dense"), linear(w, prefix + "output.dense")
        self.norm1 = norm(w, prefix + "layernorm_before", eps)
        self.norm2 = norm(w, prefix + "layernorm_after", eps)

    def forward(self, x):
        b, n, e = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, e // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(y.transpose(1, 2).reshape(b, n, e))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViT(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        with open(folder + "/config.json") as f:
            c = json.load(f)
        w, eps = tensors(folder + "/model.safetensors"), c["layer_norm_eps"]
        self.patch = c["patch_size"]
        for name, key in (("cls", "vit.embeddings.cls_token"), ("pos", "vit.embeddings.position_embeddings"),
                          ("patch_w", "vit.embeddings.patch_embeddings.projection.weight"),
                          ("patch_b", "vit.embeddings.patch_embeddings.projection.bias")):
            self.register_parameter(name, torch.nn.Parameter(w[key]))
        self.blocks = torch.nn.Sequential(*(Block(w, f"vit.encoder.layer.{i}.", c["num_attention_heads"], eps)
                                            for i in range(c["num_hidden_layers"])))
        self.norm, self.head = norm(w, "vit.layernorm", eps), linear(w, "classifier")

    def forward(self, x):
        x = F.conv2d(x, self.patch_w, self.patch_b, stride=self.patch).flatten(2).transpose(1, 2)
        x = self.blocks(torch.cat((self.cls.expand(x.shape[0], -1, -1), x), 1) + self.pos)
        return self.head(self.norm(x[:, 0]))
