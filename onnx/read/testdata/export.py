"""Exports small random vision transformers as ONNX in the ways that people do: NAME.onnx.gz beside this file, and in
expected.safetensors their inputs and the logits that PyTorch gives for them in float64 (logits.NAME; input.HxW).

    python -m venv V; V/bin/pip install torch==2.15.0 torchvision timm==1.0.31 optimum-onnx==0.1.0 transformers==4.57.6 \
        onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
    V/bin/python export.py [NAME...]
"""
import gzip, logging, os, shutil, sys, tempfile, warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import onnxruntime
import timm
import torch
import torchvision
import transformers
from onnxruntime.quantization import quantize_dynamic
from optimum.exporters.onnx import main_export
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEADS, DEPTH, SIZE, PATCH, CLASSES = 6, 3, 2, 16, 4, 5


def shake(model):
    """Random weights that leave nothing as it was: no zeros, no ones, no two alike."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if p.ndim >= 2 and "pos" not in name and "token" not in name:
                p.copy_(noise * 1.5 / p[0].numel() ** 0.5)
            elif "norm" in name and name.endswith("weight") or "gamma" in name or "lambda" in name:
                p.copy_(1 + 0.3 * noise)
            else:
                p.copy_(0.5 * noise)
    return model.eval()


def timm_vit(cls=timm.models.VisionTransformer, **options):
    sizes = dict(img_size=SIZE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, mlp_ratio=2,
                 num_classes=CLASSES)
    return shake(cls(**(sizes | options)))


class Wrapped(torch.nn.Module):
    def __init__(self, model, f):
        super().__init__()
        self.model, self.f = model, f

    def forward(self, x):
        return self.f(self.model, x)


def hf_model(name="ViT", head="ForImageClassification", attention="sdpa", **options):
    config = getattr(transformers, name + "Config")(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, intermediate_size=2 * WIDTH,
        image_size=SIZE, patch_size=PATCH, num_labels=CLASSES, attn_implementation=attention, **options)
    return shake(getattr(transformers, name + head)(config))


def hf(*args, **options):
    return Wrapped(hf_model(*args, **options), lambda m, x: m(pixel_values=x).logits)


def tv():
    return shake(torchvision.models.VisionTransformer(image_size=SIZE, patch_size=PATCH, num_layers=DEPTH,
                 num_heads=HEADS, hidden_dim=WIDTH, mlp_dim=2 * WIDTH, num_classes=CLASSES))


class Hand(torch.nn.Module):
    """A network as people write it by hand: patches by reshapes, attention by einsum, GELU spelt out."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Linear(3 * PATCH * PATCH, WIDTH)
        self.token = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos = torch.nn.Parameter(torch.zeros(1, (SIZE // PATCH) ** 2 + 1, WIDTH))
        self.norm1, self.norm2, self.norm = (torch.nn.LayerNorm(WIDTH) for _ in range(3))
        self.qkv, self.proj = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.fc1, self.fc2 = torch.nn.Linear(WIDTH, 2 * WIDTH), torch.nn.Linear(2 * WIDTH, WIDTH)
        self.head = torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        b, side = x.shape[0], SIZE // PATCH
        x = x.reshape(b, 3, side, PATCH, side, PATCH).permute(0, 2, 4, 3, 5, 1).reshape(b, side * side, -1)
        x = torch.cat([self.token.repeat(b, 1, 1), self.patches(x)], 1) + self.pos
        q, k, v = self.qkv(self.norm1(x)).view(b, -1, HEADS, 3, WIDTH // HEADS).unbind(3)
        share = (torch.einsum("bihd,bjhd->bhij", q, k) * (WIDTH // HEADS) ** -0.5).softmax(-1)
        x = self.proj(torch.einsum("bhij,bjhd->bihd", share, v).flatten(2)) + x
        y = self.fc1(self.norm2(x))
        return self.head(self.norm(x + self.fc2(0.5 * y * (1 + torch.erf(y / 2**0.5))))[:, 0])


def unfused():
    timm.layers.set_fused_attn(False)
    try:
        return timm_vit()
    finally:
        timm.layers.set_fused_attn(True)


def legacy(opset=17, axes={0: "batch"}, name="input", **options):
    """torch.onnx.export through TorchScript."""
    def export(model, x, path):
        torch.onnx.export(model, (x,), path, opset_version=opset, dynamo=False, input_names=[name],
                          output_names=["logits"], dynamic_axes=axes and {name: axes, "logits": {0: "batch"}}, **options)
    return export


def dynamo(opset=None, batch=True, **options):
    """torch.onnx.export through torch.export, PyTorch's default since 2.9."""
    def export(model, x, path):
        torch.onnx.export(model, (x,), path, opset_version=opset, dynamo=True,
                          dynamic_shapes=({0: torch.export.Dim("batch")},) if batch else None,
                          **(dict(external_data=False) | options))
    return export


def optimum(model, x, path):
    with tempfile.TemporaryDirectory() as d:
        model.model.save_pretrained(d)
        transformers.ViTImageProcessor(size=dict(height=SIZE, width=SIZE)).save_pretrained(d)
        main_export(d, d + "/onnx", task="image-classification")
        shutil.copy(d + "/onnx/model.onnx", path)


def half(model, x, path):
    legacy()(model.half(), x.half(), path)
    model.float()


def optimised(model, x, path):
    legacy()(model, x, path + ".first")
    o = onnxruntime.SessionOptions()
    o.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    o.optimized_model_filepath = path
    onnxruntime.InferenceSession(path + ".first", o, providers=["CPUExecutionProvider"])


def quantised(model, x, path):
    legacy()(model, x, path + ".first")
    quantize_dynamic(path + ".first", path)


def centred(model, x):
    return model((x - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / 0.225)


PIXELS = dict(axes={0: "batch_size", 1: "num_channels", 2: "height", 3: "width"}, name="pixel_values")
CASES = {
    # what is read
    "timm-legacy": (timm_vit, legacy()),
    "timm-legacy-steps": (lambda: timm_vit(init_values=0.1), legacy(opset=14, axes=None)),
    "timm-legacy-unfolded": (unfused, legacy(do_constant_folding=False)),
    "timm-legacy-batch": (lambda: timm_vit(qkv_bias=False), legacy(axes=None)),
    "timm-legacy-half": (timm_vit, half),
    "timm-legacy-softmax": (lambda: Wrapped(timm_vit(num_heads=1), lambda m, x: m(x).softmax(-1)), legacy()),
    "timm-rect": (lambda: timm_vit(img_size=(16, 24)), legacy()),
    "timm-distilled": (lambda: timm_vit(timm.models.deit.VisionTransformerDistilled), legacy()),
    "timm-dynamo": (timm_vit, dynamo()),
    "timm-dynamo-23": (lambda: timm_vit(init_values=0.1, no_embed_class=True), dynamo(opset=23)),
    "timm-dynamo-raw": (timm_vit, dynamo(optimize=False)),
    "timm-dynamo-external": (timm_vit, dynamo(batch=False, external_data=True)),
    "hf-legacy": (lambda: hf(attention="eager"), legacy(opset=12, **PIXELS)),
    "hf-distilled": (lambda: hf("DeiT", "ForImageClassificationWithTeacher"), legacy()),
    "hf-dynamo": (lambda: hf("DeiT"), dynamo()),
    "hf-headless": (lambda: Wrapped(hf_model(head="Model"), lambda m, x: tuple(m(x).values())), legacy(axes=None)),
    "optimum": (hf, optimum),
    "torchvision": (tv, legacy()),
    "hand": (lambda: shake(Hand()), legacy()),
    # what is read where the model may have it
    "timm-gap": (lambda: timm_vit(global_pool="avg"), legacy()),
    "timm-gap-normed": (lambda: timm_vit(global_pool="avg", fc_norm=False, class_token=False), legacy()),
    "timm-registers": (lambda: timm_vit(reg_tokens=4, no_embed_class=True), legacy()),
    "hf-dinov2": (lambda: hf("Dinov2", mlp_ratio=2), legacy()),
    # what is refused
    "no-prenorm": (lambda: timm_vit(depth=1, pre_norm=True), legacy()),
    "no-qknorm": (lambda: timm_vit(depth=1, qk_norm=True), legacy()),
    "no-quickgelu": (lambda: timm_vit(depth=1, act_layer="quick_gelu"), legacy()),
    "no-tanh": (lambda: timm_vit(depth=1, act_layer="gelu_tanh"), legacy(opset=20)),
    "no-centred": (lambda: Wrapped(timm_vit(depth=1), centred), legacy()),
    "no-optimised": (lambda: timm_vit(depth=1), optimised),
    "no-quantised": (lambda: timm_vit(depth=1), quantised),
}
EXPECTED = os.path.join(HERE, "expected.safetensors")
expected = load_file(EXPECTED) if os.path.exists(EXPECTED) else {}
for name, (make, export) in CASES.items():
    if len(sys.argv) > 1 and name not in sys.argv[1:]:
        continue
    h, w = (16, 24) if "rect" in name else (SIZE, SIZE)
    x = torch.randn(2, 3, h, w, generator=torch.Generator().manual_seed(1))
    model = make()
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, name + ".onnx")
        out, sys.stdout = sys.stdout, open(os.devnull, "w")
        try:
            export(model, x[:1] if "external" in name else x, path)
        finally:
            sys.stdout = out
        for f in sorted(os.listdir(d)):
            if f.startswith(name) and not f.endswith(".first"):
                with gzip.GzipFile(os.path.join(HERE, f + ".gz"), "wb", mtime=0) as to:
                    to.write(open(os.path.join(d, f), "rb").read())
    if name == "timm-legacy-softmax":
        model = model.model
    with torch.no_grad():  # in float64: networks as narrow as these lose some digits of float32
        y = model.double()(x.double())
    if not name.startswith("no-") and torch.is_tensor(y):
        expected[f"input.{h}x{w}"], expected["logits." + name] = x, y.float()
    print(name, flush=True)
save_file(expected, EXPECTED)
