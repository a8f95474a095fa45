"""Times training steps of a dense DeiT in PyTorch with torch.compile on a GPU (or on the processor, to try it), for
gpu.sh:

    python peer.py deit-tiny|deit-small f32|bf16 BATCH STEPS cuda|cpu

A step goes from pictures in the host's memory (pinned) to new weights, as in adavit-xla bench: forward in f32 or in
bf16 by autocast, cross-entropy with label smoothing and drop path 0.1, backward, clipping to norm 1, fused AdamW, and a
moving average of the weights. TF32 is off. Prints the median step's images a second.
"""
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

E, HEADS = {"deit-tiny": (192, 3), "deit-small": (384, 6)}[sys.argv[1]]
BF16, BATCH, STEPS, DEVICE = sys.argv[2] == "bf16", int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
LAYERS, WARM = 12, 5


class Block(nn.Module):
    def __init__(self, drop):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(E, 1e-6), nn.LayerNorm(E, 1e-6)
        self.qkv, self.proj = nn.Linear(E, 3 * E), nn.Linear(E, E)
        self.fc1, self.fc2 = nn.Linear(E, 4 * E), nn.Linear(4 * E, E)
        self.keep = 1 - drop

    def path(self, y):
        if self.keep == 1:
            return y
        return y * (torch.rand(y.shape[0], 1, 1, device=y.device) < self.keep) / self.keep

    def forward(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, HEADS, E // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, E)
        x = x + self.path(self.proj(a))
        return x + self.path(self.fc2(F.gelu(self.fc1(self.norm2(x)))))


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, E, 16, 16)
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, E)), nn.Parameter(torch.randn(1, 197, E) * 0.02)
        self.blocks = nn.Sequential(*(Block(0.1 * l / (LAYERS - 1)) for l in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(E, 1e-6), nn.Linear(E, 1000)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x)[:, 0]))


def main():
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = ViT().to(DEVICE)
    synchronize = torch.cuda.synchronize if DEVICE == "cuda" else lambda: None
    forward = torch.compile(model)
    matrices = [p for p in model.parameters() if p.ndim in (2, 4)]
    others = [p for p in model.parameters() if p.ndim not in (2, 4)]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": others, "weight_decay": 0}], lr=1e-6,
                                  weight_decay=0.05, fused=True)
    weights = list(model.parameters())
    average = [p.detach().clone() for p in weights]
    images, labels = torch.randn(BATCH, 3, 224, 224), torch.randint(1000, (BATCH,))
    if DEVICE == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()
    took = []
    for step in range(WARM + STEPS):
        synchronize()
        begin = time.perf_counter()
        x, y = images.to(DEVICE, non_blocking=True), labels.to(DEVICE, non_blocking=True)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=BF16):
            loss = F.cross_entropy(forward(x), y, label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in weights], 1e-4)
        loss.item()
        synchronize()
        if step >= WARM:
            took.append(time.perf_counter() - begin)
    print(f"{BATCH / statistics.median(took):.2f}")


main()
