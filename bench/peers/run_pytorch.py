"""PyTorch 2 on the CPU as a peer. MODEL is a directory; bf16 is autocast's, int8 that of torchao's X86InductorQuantizer,
calibrated on the images. SETTING is eager, or compile: torch.compile with frozen weights, which wants a C++ compiler."""
import peer  # first

import torch

from vit import ViT

torch.set_num_threads(peer.threads)
torch.set_num_interop_threads(1)
torch.set_flush_denormal(True)


def quantized(net, same):
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    exported = torch.export.export(net, (same,)).module()
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(exported, quantizer)
    for image in torch.from_numpy(peer.images()).split(len(same)):
        if len(image) == len(same):
            prepared(image)
    return convert_pt2e(prepared)


def load(same):
    net = ViT(peer.model).eval()
    if peer.precision == "int8":
        net = quantized(net, torch.from_numpy(same))
    if peer.setting == "compile":
        torch._inductor.config.freezing = True
        net = torch.compile(net)

    def infer(x):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=peer.precision == "bf16"):
            return net(torch.from_numpy(x)).float().numpy()
    infer(same)  # compiles
    return infer


peer.play(load, torch.__version__)
