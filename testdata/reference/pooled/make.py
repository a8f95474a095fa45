"""Makes testdata/reference/pooled: tiny models with random weights, as timm and transformers save them, and what they
make of two images, pixel i of which is sin(i) in the order [2, 3, H, W]. Needs torch, timm and transformers."""
import json, os, sys
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from transformers import (Dinov2Config, Dinov2ForImageClassification, Dinov2WithRegistersConfig,
                          Dinov2WithRegistersForImageClassification)

out = sys.argv[1]


def prepare(model):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.3, generator=generator)
    return model.eval()


def expect(name, model, height, width):
    x = torch.arange(2 * 3 * height * width, dtype=torch.float64).sin().float().view(2, 3, height, width)
    with torch.no_grad():
        y = model(x)
    y = getattr(y, "logits", y)
    save_file({"logits": y.contiguous()}, f"{out}/{name}/expect.safetensors")


timm_models = {
    "registers": dict(reg_tokens=3),
    "registers-unplaced": dict(reg_tokens=2, no_embed_class=True, init_values=0.1),
    "avg": dict(global_pool="avg"),
    "avg-registers": dict(global_pool="avg", reg_tokens=2),
    "gap": dict(global_pool="avg", class_token=False, img_size=(8, 16)),
    "gap-registers": dict(global_pool="avg", class_token=False, reg_tokens=4, no_embed_class=True, init_values=0.1),
    "gap-unnormed": dict(global_pool="avg", class_token=False, fc_norm=False, qkv_bias=False),
    "avg-unnormed": dict(global_pool="avg", fc_norm=False, reg_tokens=1),
}
for name, args in timm_models.items():
    args = dict(dict(patch_size=4, embed_dim=8, depth=2, num_heads=2, mlp_ratio=2, num_classes=3, img_size=(12, 12)), **args)
    model = prepare(VisionTransformer(**args))
    os.makedirs(f"{out}/{name}", exist_ok=True)
    save_file(model.state_dict(), f"{out}/{name}/model.safetensors")
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 3, "global_pool": args.get("global_pool", "token"),
              "model_args": {"num_heads": 2}, "pretrained_cfg": {"input_size": [3, *args["img_size"]]}}
    with open(f"{out}/{name}/config.json", "w") as f:
        json.dump(config, f)
    expect(name, model, *args["img_size"])
sizes = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=12, patch_size=4,
             num_labels=3, layerscale_value=0.5)
for name, model in {
    "dinov2": Dinov2ForImageClassification(Dinov2Config(**sizes)),
    "dinov2-registers": Dinov2WithRegistersForImageClassification(Dinov2WithRegistersConfig(num_register_tokens=2, **sizes)),
    "dinov2-resized": Dinov2ForImageClassification(Dinov2Config(**dict(sizes, image_size=28))),
    "dinov2-registers-resized": Dinov2WithRegistersForImageClassification(
        Dinov2WithRegistersConfig(num_register_tokens=1, **dict(sizes, image_size=28))),
}.items():
    prepare(model).save_pretrained(f"{out}/{name}")
    size = 12
    if name.endswith("-resized"):  # its preprocessor makes other pictures than its config.json says
        size = 20
        crop = {"height": size, "width": size}
        with open(f"{out}/{name}/preprocessor_config.json", "w") as f:
            json.dump({"do_resize": True, "size": {"shortest_edge": 24}, "resample": 3, "do_center_crop": True,
                       "crop_size": crop, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
                       "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, f)
    expect(name, model, size, size)
