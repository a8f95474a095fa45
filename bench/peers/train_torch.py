"""PyTorch 2 on the CPU as a peer that trains: what it is asked and answers is described in process.go.

A batch is a training step of the plain ViT that everybody writes: forward, cross-entropy with label smoothing 0.1,
backward, clipping to norm 1 and AdamW (fused). Image i has label i modulo the number of classes; "logits" are the loss
of the first batch and its gradients. Weights come from a model directory in transformers' layout. The last argument
says how it computes:

    f32           in float32
    bf16          by autocast: products in bfloat16; weights, norms, softmax and the optimizer in float32
    f32+compile   the same through torch.compile, which wants a C++ compiler and Python's header files, or
    bf16+compile  autotuned: slower to compile, never slower to run in what was seen
"""
import json
import os
import sys
import time

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read when the libraries are loaded
    os.environ[variable] = sys.argv[2]

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


class Block(torch.nn.Module):
    def __init__(self, w, prefix, heads, eps):
        super().__init__()

        def filled(module, *names):
            module.weight = torch.nn.Parameter(torch.cat([w[prefix + n + ".weight"] for n in names]))
            module.bias = torch.nn.Parameter(torch.cat([w[prefix + n + ".bias"] for n in names]))
            return module

        def linear(*names):
            return filled(torch.nn.Linear(1, 1), *names)

        def norm(name):
            return filled(torch.nn.LayerNorm(w[prefix + name + ".weight"].shape[0], eps), name)

        self.heads = heads
        self.qkv = linear(*("attention.attention." + n for n in ("query", "key", "value")))
        self.proj = linear("attention.output.dense")
        self.fc1, self.fc2 = linear("intermediate.dense"), linear("output.dense")
        self.norm1, self.norm2 = norm("layernorm_before"), norm("layernorm_after")

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
        w = tensors(folder + "/model.safetensors")
        self.patch, self.eps = c["patch_size"], c["layer_norm_eps"]
        for name, key in (("cls", "vit.embeddings.cls_token"), ("pos", "vit.embeddings.position_embeddings"),
                          ("patch_w", "vit.embeddings.patch_embeddings.projection.weight"),
                          ("patch_b", "vit.embeddings.patch_embeddings.projection.bias"),
                          ("norm_w", "vit.layernorm.weight"), ("norm_b", "vit.layernorm.bias"),
                          ("head_w", "classifier.weight"), ("head_b", "classifier.bias")):
            self.register_parameter(name, torch.nn.Parameter(w[key]))
        self.blocks = torch.nn.Sequential(*(Block(w, f"vit.encoder.layer.{i}.", c["num_attention_heads"], self.eps)
                                            for i in range(c["num_hidden_layers"])))

    def forward(self, x):
        x = F.conv2d(x, self.patch_w, self.patch_b, stride=self.patch).flatten(2).transpose(1, 2)
        x = self.blocks(torch.cat((self.cls.expand(x.shape[0], -1, -1), x), 1) + self.pos)
        x = F.layer_norm(x[:, 0], (x.shape[-1],), self.norm_w, self.norm_b, self.eps)
        return F.linear(x, self.head_w, self.head_b)


def timed(work, seconds):
    """Milliseconds of each of the runs that fit into so many seconds, three at least, after one that is not counted."""
    work()
    ms, start = [], time.perf_counter()
    while len(ms) < 3 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        work()
        ms.append((time.perf_counter() - begin) * 1000)
    return ms


def say(**message):
    print(json.dumps(message), flush=True)


def main():
    folder, threads, batch, source, *shape, mode = sys.argv[1:]
    batch, shape = int(batch), [int(n) for n in shape[:3]]
    kind, _, compiled = mode.partition("+")
    torch.set_num_threads(int(threads))
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    images = torch.from_numpy(np.fromfile(source, np.float32, count=batch * int(np.prod(shape))).reshape(-1, *shape))
    net = ViT(folder).train()
    labels = torch.arange(batch) % net.head_b.shape[0]
    decay = [p for p in net.parameters() if p.dim() == 2]
    rest = [p for p in net.parameters() if p.dim() != 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, fused=True)

    def cost():
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
            return F.cross_entropy(net(images).float(), labels, label_smoothing=0.1)

    if compiled:
        cost = torch.compile(cost, mode=os.environ.get("TORCH_COMPILE_MODE", "max-autotune-no-cudagraphs"))

    def backward():
        optimizer.zero_grad(set_to_none=True)
        loss = cost()
        loss.backward()
        return loss

    def step():
        backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0, foreach=True)
        optimizer.step()

    backward()  # compiles
    say(ready=True, version=torch.__version__, held=0)
    for line in sys.stdin:
        request = json.loads(line)
        if "run" in request:
            say(ms=timed(step, request["run"]))
        elif request.get("logits"):
            loss = backward()
            parts = [loss.detach().reshape(1)] + [p.grad.flatten() for p in (net.cls, net.pos, net.patch_b, net.head_b)]
            say(logits=torch.cat(parts).tolist())
        else:
            say(error="unknown request " + line)


try:
    main()
except Exception as e:  # the other side shows it to the user
    say(error=f"{type(e).__name__}: {e}")
    raise
