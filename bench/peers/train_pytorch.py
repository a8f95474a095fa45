"""PyTorch 2 on the CPU as a peer that trains.

A batch is a training step: forward, cross-entropy with label smoothing 0.1, backward, clipping to norm 1 and AdamW
(fused). Image i has label i modulo the number of classes; "logits" are the first step's loss and gradients.
bf16 is autocast's: products in bfloat16; weights, norms, softmax and the optimizer in float32. SETTING is eager, or
compile: torch.compile, which wants a C++ compiler.
"""
import peer  # first

import torch
import torch.nn.functional as F

from vit import ViT


def main():
    torch.set_num_threads(peer.threads)
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    images = torch.from_numpy(peer.images(peer.batch))
    net = ViT(peer.model).train()
    labels = torch.arange(peer.batch) % len(net.head.bias)
    decay = [p for p in net.parameters() if p.dim() == 2]
    rest = [p for p in net.parameters() if p.dim() != 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, fused=True)

    def cost():
        with torch.autocast("cpu", torch.bfloat16, enabled=peer.precision == "bf16"):
            return F.cross_entropy(net(images).float(), labels, label_smoothing=0.1)

    if peer.setting == "compile":
        cost = torch.compile(cost)

    def backward():
        optimizer.zero_grad(set_to_none=True)
        loss = cost()
        loss.backward()
        return loss

    def step():
        backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0, foreach=True)
        optimizer.step()

    def compare():
        loss = backward()
        parts = [p.grad.flatten() for p in (net.cls, net.pos, net.patch_b, net.head.bias)]
        return torch.cat([loss.detach().reshape(1)] + parts)

    untrained = compare().tolist()  # compiles; every step changes the weights
    peer.say(ready=True, version=torch.__version__, held=0)
    peer.answer(step, lambda: untrained)


try:
    main()
except Exception as e:  # the other side shows it to the user
    peer.say(error=f"{type(e).__name__}: {e}")
    raise
