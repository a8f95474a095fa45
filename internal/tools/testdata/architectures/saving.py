"""Makes models as timm has them and saves them in the ways that people do."""
import argparse
import copy
import json
import logging
import os
import shutil

import timm
import torch
import transformers
from safetensors.torch import save_file
from timm.models._hub import save_for_hf

CLASSES_OF_HEAD = 10
TIMM = "hub", "hub .bin", "state dict", "train.py", "Lightning", "compiled", "compiled in Lightning", "wrapper"
CLASSES = "ViT", "DeiT", "Dinov2", "Dinov2WithRegisters", "IJepa", "ViTMSN", "ViTMAE"


def make(name, options):
    """Makes a model whose blocks change the tokens about as much as these are, and whose logits are of order 1."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=CLASSES_OF_HEAD, **options).eval()
    for key, p in model.named_parameters():
        if "gamma" in key:
            p.normal_(1, 0.1)
        elif p.dim() == 2:
            std = p.shape[1] ** -0.5
            p.normal_(0, std).clamp_(-2 * std, 2 * std)
        elif p.dim() == 1 or "token" in key or "pos_embed" in key:
            p.add_(torch.randn_like(p) * 0.05)
    return model


def large(model):
    """Whether a model is too large for all that is done with others on a machine of two cores."""
    return sum(p.numel() for p in model.parameters()) > 50e6


class Theirs:
    """Logits of a model for x in single and in double precision, and the eps that its layer norms have."""

    def __init__(self, model, x):
        run = lambda net, x: net(x).logits if isinstance(net, transformers.PreTrainedModel) else net(x)
        self.single, self.double = run(model, x), run(copy.deepcopy(model).double(), x.double())
        self.eps = {m.eps for m in model.modules() if isinstance(m, torch.nn.LayerNorm)}


def ways(model, name, work):
    """Saves the model in every way that timm's users have, a large one in two, and yields what that is called and
    where it is."""
    path = lambda end: os.path.join(work, "saved" + end)
    save_for_hf(model, path(""), safe_serialization=True)
    yield "hub", path("")
    compiled = torch.compile(model)
    lightning(compiled, path(".pth"))
    yield "compiled in Lightning", path(".pth")
    if large(model):
        shutil.rmtree(path(""))
        os.remove(path(".pth"))
        return
    wrapper(path(""), path("-wrapper"))
    yield "wrapper", path("-wrapper")
    save_for_hf(model, path("-bin"), safe_serialization=False)
    yield "hub .bin", path("-bin")
    torch.save(model.state_dict(), path(".pth"))
    yield "state dict", path(".pth")
    torch.save({"epoch": 3, "arch": name, "state_dict": model.state_dict(), "version": 2, "metric": 77.5,
                "args": argparse.Namespace(model=name, lr=1e-3, mean=None)}, path(".pth"))
    yield "train.py", path(".pth")
    lightning(model, path(".pth"))
    yield "Lightning", path(".pth")
    save_file({n: t.contiguous() for n, t in compiled.state_dict().items()}, path(".safetensors"))
    yield "compiled", path(".safetensors")
    for folder in "", "-wrapper", "-bin":
        shutil.rmtree(path(folder))


def wrapper(src, dst):
    """What transformers makes of a directory of timm's hub: its class for timm's models. That wants no model_args which
    it says itself."""
    with open(os.path.join(src, "config.json")) as f:
        config = json.load(f)
    for key in "num_classes", "in_chans", "global_pool":
        config["model_args"].pop(key, None)
    changed = dst + "-args"
    shutil.copytree(src, changed)
    with open(os.path.join(changed, "config.json"), "w") as f:
        json.dump(config, f)
    transformers.AutoModelForImageClassification.from_pretrained(changed).save_pretrained(dst)
    shutil.rmtree(changed)


def lightning(model, path):
    """What Lightning saves of a module that has the model as "model", hyperparameters, and a loss with weights."""
    try:
        from lightning import LightningModule, Trainer
    except ImportError:
        torch.save({"state_dict": {"model." + n: t for n, t in model.state_dict().items()}, "callbacks": {}, "epoch": 0,
                    "pytorch-lightning_version": "2.5.0", "optimizer_states": [],
                    "hyper_parameters": {"lr": 1e-4, "args": argparse.Namespace(arch="x")}}, path)
        return

    class Task(LightningModule):
        def __init__(self, model, lr, args):
            super().__init__()
            self.save_hyperparameters(ignore=["model"])
            self.model, self.loss = model, torch.nn.CrossEntropyLoss(weight=torch.ones(CLASSES_OF_HEAD))

    logging.disable(logging.WARNING)
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    trainer.strategy.connect(Task(model, 1e-4, argparse.Namespace(arch="x", size=[224, 224])))
    trainer.save_checkpoint(path)


def classes(model, name, work):
    """Yields the same model in the classes that transformers has for it: which, the model, and where it is saved."""
    state, (height, width) = model.state_dict(), model.patch_embed.img_size
    registers = state["reg_token"].shape[1] if "reg_token" in state else 0
    hidden, embed = state["blocks.0.mlp.fc1.weight"].shape
    sizes = dict(hidden_size=embed, num_hidden_layers=len(model.blocks), num_labels=CLASSES_OF_HEAD,
                 num_attention_heads=model.blocks[0].attn.num_heads, image_size=[height, width],
                 patch_size=model.patch_embed.patch_size[0], layer_norm_eps=model.blocks[0].norm1.eps)
    if "dinov2" in name:
        kinds, more = ["Dinov2WithRegisters" if registers else "Dinov2"], dict(mlp_ratio=hidden // embed)
        more |= dict(num_register_tokens=registers) if registers else {}
    elif registers or "fc_norm.weight" in state or "blocks.0.ls1.gamma" in state:
        return
    elif "head_dist.weight" in state:
        kinds, more = ["DeiT"], dict(intermediate_size=hidden)
    elif "cls_token" not in state:
        kinds, more = ["IJepa"], dict(intermediate_size=hidden)
    else:
        kinds, more = ["ViT"], dict(intermediate_size=hidden, qkv_bias="blocks.0.attn.qkv.bias" in state)
        if name == "vit_tiny_patch16_224" and height == width:
            kinds += ["ViTMSN", "ViTMAE"]
    for kind in kinds:
        end = {"DeiT": "ImageClassificationWithTeacher", "ViTMAE": "PreTraining"}.get(kind, "ImageClassification")
        hf = getattr(transformers, f"{kind}For{end}")(getattr(transformers, kind + "Config")(**sizes, **more)).eval()
        hf.load_state_dict({**hf.state_dict(), **named(state, kind, model)})
        path = os.path.join(work, kind)
        hf.save_pretrained(path)
        transformers.ViTImageProcessor(size={"height": height, "width": width}).save_pretrained(path)
        yield kind, hf, path
        shutil.rmtree(path)


def named(state, kind, model):
    """The tensors under the names that transformers 5 has for them in memory."""
    dino, deit = kind.startswith("Dinov2"), "head_dist.weight" in state
    base = {"Dinov2": "dinov2", "Dinov2WithRegisters": "dinov2_with_registers", "DeiT": "deit", "IJepa": "ijepa"}
    base = base.get(kind, "vit")
    position = state["pos_embed"]
    if position.shape[1] == model.patch_embed.num_patches and kind != "IJepa":
        position = torch.cat([torch.zeros(1, 1, position.shape[2]), position], 1)
    whole = {"cls_token": "cls_token", "dist_token": "distillation_token", "reg_token": "register_tokens",
             "pos_embed": "position_embeddings", "patch_embed.proj.weight": "patch_embeddings.projection.weight",
             "patch_embed.proj.bias": "patch_embeddings.projection.bias"}
    pairs = [("attn.proj", "attention.o_proj")]
    pairs += [("ls1.gamma", "layer_scale1.lambda1"), ("ls2.gamma", "layer_scale2.lambda1")] if dino else [
        ("norm1.", "layernorm_before."), ("norm2.", "layernorm_after.")]
    new = {}
    for key, t in {**state, "pos_embed": position}.items():
        if key in whole:
            new[f"{base}.embeddings.{whole[key]}"] = t
        elif key.startswith("norm."):
            new[f"{base}.layernorm.{key[5:]}"] = t
        elif key.startswith("head") and not dino and kind != "ViTMAE":  # DINOv2's classifier is another one
            new[key.replace("head_dist", "distillation_classifier").replace(
                "head", "cls_classifier" if deit else "classifier")] = t
        elif key.startswith("blocks."):
            block, rest = key[7:].split(".", 1)
            for a, b in pairs:
                rest = rest.replace(a, b)
            before = f"{base}.encoder.layer.{block}." if dino else f"{base}.layers.{block}."
            if rest.startswith("attn.qkv."):
                for part, third in zip("qkv", t.chunk(3)):
                    new[f"{before}attention.{part}_proj.{rest[9:]}"] = third.clone()
            else:
                new[before + rest] = t
    return new


def with_head(path, tensors):
    """The ViT in a directory that has no head, with that of tensors."""
    hf = transformers.ViTForImageClassification.from_pretrained(path, num_labels=CLASSES_OF_HEAD).eval()
    hf.classifier.weight.copy_(tensors["classifier.weight"])
    hf.classifier.bias.copy_(tensors["classifier.bias"])
    return hf


def usual_eps(hf):
    """Gives the layer norms the eps that the class has by default."""
    for module in hf.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = type(hf.config)().layer_norm_eps
