#!/usr/bin/env python3
"""Converts ViTs that timm and transformers made with random weights, and compares logits and preprocessing with theirs.

usage: architectures.py ADAVIT [--all] [--blocks N] [NAME…], the binary. Twenty architectures are saved by timm as its hub has them,
as state dict, as Lightning and torch.compile leave them, and by transformers where it has the class; --blocks makes them
shorter. With --all, all ViTs of timm in two blocks each, saved as its hub has them: the logits agree, or the error says
why the model is refused. It needs PyTorch, timm and transformers, and skips without them: a gigabyte that nothing else here wants.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections import OrderedDict

try:
    import numpy as np
    import timm
    import torch
    import transformers
    from PIL import Image
    from safetensors.torch import load_file, save_file
    from timm.models._hub import save_for_hf
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(0)

warnings.filterwarnings("ignore")
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(2)
TOLERANCE = 1e-5

# Name in timm, and what is asked of it besides.
ARCHITECTURES = [
    ("vit_tiny_patch16_224", {}),
    ("vit_small_patch16_224", {}),
    ("vit_base_patch16_224", {}),
    ("vit_base_patch32_224", {}),
    ("vit_small_patch8_224", {}),
    ("vit_base_patch16_224_miil", {}),  # without biases of queries, keys and values
    ("vit_small_patch16_36x1_224", {}),
    ("flexivit_small", {}),
    ("deit_tiny_patch16_224", {}),
    ("deit_small_distilled_patch16_224", {}),
    ("deit3_small_patch16_224", {}),
    ("deit3_base_patch16_224", {}),
    ("vit_small_patch14_dinov2", {"img_size": 224}),
    ("vit_base_patch14_dinov2", {}),
    ("vit_small_patch14_reg4_dinov2", {"img_size": 224}),
    ("vit_base_patch14_reg4_dinov2", {"img_size": 224}),
    ("vit_base_patch16_224", {"global_pool": "avg"}),  # MAE, fine-tuned: fc_norm
    ("vit_base_patch16_gap_224", {}),
    ("vit_medium_patch16_gap_240", {}),
    ("vit_medium_patch16_reg4_gap_256", {}),
    ("vit_tiny_patch16_224", {"img_size": (192, 320)}),
    ("vit_base_patch16_siglip_gap_224", {}),
]


def make(name, options, classes=10):
    """Makes a model whose logits are of order 1."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=classes, **options).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "gamma" in key:
                p.uniform_(0.2, 1)
            elif p.dim() < 2 or "token" in key or "pos_embed" in key or "head" in key:
                p.add_(torch.randn_like(p) * 0.05)
    return model


def call(*args):
    """Runs the binary; returns what is wrong, or None."""
    done = subprocess.run([sys.argv[1], *map(str, args)], capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def difference(src, x, want, work, *flags):
    """Converts src and returns the largest difference of the logits, or the error."""
    dst, given, got = (os.path.join(work, n) for n in ("dst", "x.safetensors", "y.safetensors"))
    save_file({"input": x}, given)
    subprocess.run(["rm", "-rf", dst], check=True)
    error = call("convert", src, dst, *flags) or call("predict", "--model", dst, "--input", given, "--output", got)
    return error or float((load_file(got)["logits"] - want).abs().max())


def transformers_of(model, name, work):
    """The same model as transformers has it, None if it has no class for it; and the model's logits by itself."""
    state, embed, blocks = model.state_dict(), model.embed_dim, len(model.blocks)
    sizes = dict(hidden_size=embed, num_hidden_layers=blocks, num_attention_heads=model.blocks[0].attn.num_heads,
                 image_size=list(model.patch_embed.img_size), patch_size=model.patch_embed.patch_size[0], num_labels=10)
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    registers = state["reg_token"].shape[1] if "reg_token" in state else 0
    if "dinov2" in name:
        kind = "Dinov2WithRegisters" if registers else "Dinov2"
        extra = dict(num_register_tokens=registers) if registers else {}
        config = getattr(transformers, kind + "Config")(mlp_ratio=hidden // embed, **sizes, **extra)
        hf = getattr(transformers, kind + "ForImageClassification")(config)
        base, rest = kind.lower().replace("with", "_with_"), ".encoder.layer."
        pairs = [("ls1.gamma", "layer_scale1.lambda1"), ("ls2.gamma", "layer_scale2.lambda1")]
    elif registers or "cls_token" not in state or "fc_norm.weight" in state or "blocks.0.ls1.gamma" in state:
        return None
    elif "head_dist.weight" in state:
        hf = transformers.DeiTForImageClassificationWithTeacher(
            transformers.DeiTConfig(intermediate_size=hidden, layer_norm_eps=1e-6, **sizes))
        base, rest, pairs = "deit", ".layers.", []
    else:
        hf = transformers.ViTForImageClassification(transformers.ViTConfig(
            intermediate_size=hidden, layer_norm_eps=1e-6, qkv_bias="blocks.0.attn.qkv.bias" in state, **sizes))
        base, rest, pairs = "vit", ".layers.", []
    if rest == ".layers.":
        pairs += [("norm1.", "layernorm_before."), ("norm2.", "layernorm_after.")]
    pairs += [("attn.proj", "attention.o_proj")]
    new = hf.state_dict()
    position = state["pos_embed"]
    if position.shape[1] == model.patch_embed.num_patches:
        position = torch.cat([torch.zeros(1, 1, embed), position], 1)
    whole = {"cls_token": "cls_token", "dist_token": "distillation_token", "reg_token": "register_tokens",
             "pos_embed": "position_embeddings", "patch_embed.proj.weight": "patch_embeddings.projection.weight",
             "patch_embed.proj.bias": "patch_embeddings.projection.bias"}
    for key, t in {**state, "pos_embed": position}.items():
        if key in whole:
            new[f"{base}.embeddings.{whole[key]}"] = t
        elif key.startswith("norm."):
            new[f"{base}.layernorm.{key[5:]}"] = t
        elif key.startswith("head") and "dinov2" not in name:  # DINOv2's classifier is another one
            both = "head_dist.weight" in state
            new[key.replace("head_dist", "distillation_classifier").replace(
                "head", "cls_classifier" if both else "classifier")] = t
        elif key.startswith("blocks."):
            block, kind = key[7:].split(".", 1)
            for a, b in pairs:
                kind = kind.replace(a, b)
            if kind.startswith("attn.qkv."):
                for part, third in zip("qkv", t.chunk(3)):
                    new[f"{base}{rest}{block}.attention.{part}_proj.{kind[9:]}"] = third.clone()
            else:
                new[f"{base}{rest}{block}.{kind}"] = t
    hf.load_state_dict(new)
    hf.eval().save_pretrained(work)
    height, width = model.patch_embed.img_size
    transformers.ViTImageProcessor(size={"height": height, "width": width}).save_pretrained(work)
    return hf


def ways(model, name, options, x, work):
    """Saves the model in every way and yields what that is called, the path, the logits and flags for convert."""
    with torch.no_grad():
        want = model(x)
    path = lambda end: os.path.join(work, "saved" + end)
    height, width = model.patch_embed.img_size
    said = [] if height == width else ["--image-size", f"{height}x{width}"]
    said += ["--heads", model.blocks[0].attn.num_heads]
    save_for_hf(model, path(""), safe_serialization=True)
    yield "hub", path(""), want, []
    torch.save({"epoch": 3, "arch": name, "state_dict": model.state_dict()}, path(".pth.tar"))
    yield "pth", path(".pth.tar"), want, said
    torch.save({"state_dict": OrderedDict(("model." + n, t) for n, t in model.state_dict().items()),
                "pytorch-lightning_version": "2.5.0", "callbacks": {}, "optimizer_states": []}, path(".ckpt"))
    yield "Lightning", path(".ckpt"), want, said
    save_file({n: t.contiguous() for n, t in torch.compile(model).state_dict().items()}, path(".safetensors"))
    yield "compiled", path(".safetensors"), want, said
    hf = transformers_of(model, name, path("-hf"))
    if hf is not None:
        with torch.no_grad():
            out = hf(x).logits
        if "dinov2" not in name and (out - want).abs().max() > TOLERANCE:
            raise SystemExit(f"{name}: this script makes another model of it for transformers")
        yield "transformers", path("-hf"), out, []
        if "dinov2" not in name:  # a state dict does not say eps: what transformers' configurations have is taken
            for module in hf.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    module.eps = 1e-12
            with torch.no_grad():
                out = hf(x).logits
        torch.save({"state_dict": OrderedDict(("model." + n, t) for n, t in hf.state_dict().items())}, path("5.ckpt"))
        yield "its state dict", path("5.ckpt"), out, said


def pictures(folder):
    """Ten odd pictures."""
    rng = np.random.default_rng(0)

    def field(h, w, c):
        low = rng.integers(0, 256, (max(h // 16, 2), max(w // 16, 2), c), dtype=np.uint8)
        planes = [np.asarray(Image.fromarray(low[..., i]).resize((w, h), Image.Resampling.BICUBIC)) for i in range(c)]
        return np.stack(planes, -1)

    made = {
        "wide.png": Image.fromarray(field(97, 811, 3)),
        "tall.png": Image.fromarray(field(701, 83, 3)),
        "tiny.png": Image.fromarray(field(3, 5, 3)),
        "grey.png": Image.fromarray(field(240, 300, 1)[..., 0]),
        "alpha.png": Image.fromarray(field(301, 257, 4), "RGBA"),
        "palette.png": Image.fromarray(field(256, 256, 3)).quantize(17),
        "bilevel.png": Image.fromarray(field(300, 200, 1)[..., 0]).convert("1"),
        "photo.jpg": Image.fromarray(field(600, 400, 3)),
        "grey.jpg": Image.fromarray(field(333, 444, 1)[..., 0]),
        "wave.webp": Image.fromarray(field(250, 350, 3)),
    }
    for name, image in made.items():
        image.save(os.path.join(folder, name), **({"lossless": True} if name.endswith("webp") else {}))
    return [os.path.join(folder, name) for name in made]


def preprocessing(src, files, transform, work):
    """The largest difference between the binary's tensors of the pictures and theirs, or the error."""
    dst, got = os.path.join(work, "dst"), os.path.join(work, "p.safetensors")
    subprocess.run(["rm", "-rf", dst], check=True)
    error = call("convert", src, dst) or call("preprocess", "--model", dst, "--output", got, *files)
    if error:
        return error
    ours = load_file(got)["input"]
    theirs = torch.stack([transform(Image.open(f).convert("RGB")) for f in files])
    return float((ours - theirs).abs().max())


def check(name, options, files):
    """Prints a line for each way; returns how many are right and how many wrong."""
    model = make(name, options)
    x = torch.randn(2, 3, *model.patch_embed.img_size)
    label = name + "".join(f" {k}={v}" for k, v in options.items())
    results = []
    with tempfile.TemporaryDirectory() as work:
        for way, path, want, flags in ways(model, name, options, x, work):
            results.append((way, difference(path, x, want, work, *flags)))
            if way == "hub":
                data = timm.data.resolve_data_config({}, pretrained_cfg=json.load(
                    open(os.path.join(path, "config.json")))["pretrained_cfg"])
                results.append(("pictures", preprocessing(path, files, timm.data.create_transform(**data), work)))
            if way == "transformers":
                for backend in ("", "Pil"):
                    processor = getattr(transformers, "ViTImageProcessor" + backend).from_pretrained(path)
                    transform = lambda image: torch.as_tensor(processor(image)["pixel_values"][0])
                    results.append(("pictures by " + (backend or "torchvision"), preprocessing(path, files, transform, work)))
    # torchvision's own resize of bytes, behind transformers' usual processor, is now and then a step from Pillow's.
    bad = [(w, r) for w, r in results if isinstance(r, str) or r > (2.1 / 127.5 if w.endswith("torchvision") else TOLERANCE)]
    print(f"{'FAILED' if bad else 'ok':7}{label}: " + ", ".join(
        f"{w} {r if isinstance(r, str) else format(r, '.1e')}" for w, r in results), flush=True)
    return len(results) - len(bad), len(bad)


def check_all(names):
    """Every ViT of timm in two blocks, and what becomes of it; returns how many agree and how many are wrong."""
    good = bad = refused = 0
    for name in names or sorted({*timm.list_models(module="vision_transformer"), *timm.list_models(module="deit")}):
        try:
            model = make(name, {"depth": 2})
        except TypeError as error:
            print(f"        {name}: timm says {error}")
            continue
        x = torch.randn(1, 3, *model.patch_embed.img_size)
        with torch.no_grad():
            want = model(x)
        with tempfile.TemporaryDirectory() as work:
            save_for_hf(model, os.path.join(work, "saved"), safe_serialization=True)
            result = difference(os.path.join(work, "saved"), x, want, work)
        if isinstance(result, str):
            refused += 1
        elif result > TOLERANCE:
            bad += 1
        else:
            good += 1
        print(f"{'WRONG' if not isinstance(result, str) and result > TOLERANCE else '':8}{name}: {result}", flush=True)
    print(f"{good} agree, {refused} refused, {bad} wrong")
    return good, bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("adavit")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--blocks", type=int)
    parser.add_argument("names", nargs="*")
    given = parser.parse_intermixed_args()
    if given.all:
        return check_all(given.names)
    good = bad = 0
    with tempfile.TemporaryDirectory() as folder:
        files = pictures(folder)
        for name, options in ARCHITECTURES:
            if not given.names or name in given.names:
                right, wrong = check(name, {**options, **({"depth": given.blocks} if given.blocks else {})}, files)
                good, bad = good + right, bad + wrong
    print(f"{good} agree, {bad} do not")
    return good, bad


if __name__ == "__main__":
    sys.exit(main()[1] > 0)
