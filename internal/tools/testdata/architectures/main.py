#!/usr/bin/env python3
"""Converts ViTs that timm and transformers made with random weights, and compares logits and pictures with theirs.

usage: main.py ADAVIT [--all] [--blocks N] [--table] [NAME…], the binary. 22 architectures at full depth, saved in the
ways of saving.py, those of more than 50 M parameters in some; --blocks makes them shorter, --table ends with the table
of RESULTS.md. With --all, all ViTs of timm in two blocks each, saved as its hub has them: the logits agree, or the
error says why the model is refused. It needs PyTorch, timm and transformers, and Lightning for checkpoints that are
really its own; without them it skips.

Logits may differ from theirs in single precision by 1e-5. Where they differ by more, the same model in double precision
decides: ours may not be farther from that than theirs are.
"""
import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

try:
    import timm
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
    from timm.models._hub import save_for_hf
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(0)

import pictures
import saving

warnings.filterwarnings("ignore")
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
torch.set_num_threads(1)  # more wait for each other where the machine is busy
torch.set_grad_enabled(False)
TOLERANCE = 1e-5
STEP = 2.1 / 127.5  # of a byte's value, where mean and deviation are a half

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


def call(*args):
    """Runs the binary; returns what is wrong, or None."""
    done = subprocess.run([sys.argv[1], *map(str, args)], capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


class Converted:
    """What the binary makes of a checkpoint; error says why it does not."""

    def __init__(self, src, work, *flags):
        self.dir, self.work = os.path.join(work, "converted"), work
        shutil.rmtree(self.dir, ignore_errors=True)
        self.error = call("convert", src, self.dir, *flags)

    def file(self, name):
        return os.path.join(self.dir, name)

    def eps(self):
        with open(self.file("config.json")) as f:
            return json.load(f)["layer_norm_eps"]

    def same(self, dir):
        """Whether dir holds the same model, byte by byte."""
        return all(filecmp.cmp(self.file(f), os.path.join(dir, f), False) for f in ("config.json", "model.safetensors"))

    def logits(self, x):
        given, got = os.path.join(self.work, "x.safetensors"), os.path.join(self.work, "y.safetensors")
        save_file({"input": x}, given)
        self.error = call("predict", "--model", self.dir, "--input", given, "--output", got, "--precision", "f32")
        return None if self.error else load_file(got)["logits"]

    def pixels(self, files, transform):
        """The largest difference between the binary's tensors of the pictures and theirs, or the error."""
        got = os.path.join(self.work, "p.safetensors")
        error = self.error or call("preprocess", "--model", self.dir, "--output", got, *files)
        return error or float((load_file(got)["input"] - torch.stack([transform(f) for f in files])).abs().max())


class Comparison:
    """What came out for one architecture."""

    def __init__(self, label, x, work):
        self.label, self.x, self.work = label, x, work
        self.results = []  # way, largest difference or error, whether that is wrong
        self.known = []  # directories that ran, and their logits
        self.bad, self.ours, self.theirs = 0, 0.0, 0.0  # the latter two are distances from double precision

    def add(self, way, result, tolerance):
        wrong = isinstance(result, str) or result > tolerance
        self.results.append((way, result, wrong))
        self.bad += wrong

    def logits(self, way, src, theirs, *flags):
        """Compares the logits of the checkpoint src with theirs. One that becomes the same model as another, byte by
        byte, does not run again."""
        made = Converted(src, self.work, *flags)
        if not made.error and made.eps() not in theirs.eps:
            made.error = f"eps is {made.eps()}, theirs {theirs.eps}"
        got = next((got for dir, got in self.known if not made.error and made.same(dir)), None)
        if got is None and not made.error:
            got = made.logits(self.x)
            keep = os.path.join(self.work, f"known{len(self.known)}")
            os.rename(made.dir, keep)
            made.dir = keep
            self.known.append((keep, got))
        if made.error:
            self.add(way, made.error, 0)
            return made
        far = lambda a, b: float((a - b).abs().max())
        ours, single = far(got, theirs.double), far(theirs.single, theirs.double)
        self.add(way, far(got, theirs.single), TOLERANCE if ours > single else max(TOLERANCE, 2 * single))
        self.ours, self.theirs = max(self.ours, ours), max(self.theirs, single)
        return made

    def line(self):
        shown = ", ".join(f"{way} {r if isinstance(r, str) else format(r, '.1e')}" for way, r, _ in self.results)
        return (f"{'FAILED' if self.bad else 'ok':7}{self.label}: {shown}; from double precision ours {self.ours:.1e}, "
                f"theirs {self.theirs:.1e}")

    def row(self):
        """The line of the table."""
        def largest(ways):
            found = [r for w, r, _ in self.results if w.removesuffix(w.partition(" of ")[2]) in ways]
            error = next((r for r in found if isinstance(r, str)), "")
            return error or (f"{max(found):.1e}" if found else "")

        exact = [r for w, r, _ in self.results if w.startswith("pictures") and "torchvision" not in w]
        return "| {} |".format(" | ".join([
            self.label, largest(saving.TIMM), largest(saving.CLASSES), largest(["Lightning of "]),
            f"{self.ours:.1e} / {self.theirs:.1e}", "equal" if set(exact) == {0.0} else str(exact)]))


HEAD = ("| architecture | timm | transformers | its state dict | from float64: ours / theirs | pictures |\n" +
        "|---" * 6 + "|")


def check(name, options, files):
    """Compares an architecture in all ways."""
    model = saving.make(name, options)
    height, width = model.patch_embed.img_size
    x = torch.randn(1 if saving.large(model) else 2, 3, height, width)
    said = ["--heads", model.blocks[0].attn.num_heads]
    said += [] if height == width else ["--image-size", f"{height}x{width}"]
    with tempfile.TemporaryDirectory() as work:
        c = Comparison(name + "".join(f" {k}={v}" for k, v in options.items()), x, work)
        theirs = saving.Theirs(model, x)
        for way, path in saving.ways(model, name, work):
            made = c.logits(way, path, theirs, *([] if os.path.isdir(path) else said))
            if way == "hub":
                with open(os.path.join(path, "config.json")) as f:
                    data = timm.data.resolve_data_config({}, pretrained_cfg=json.load(f)["pretrained_cfg"])
                transform = timm.data.create_transform(**data)
                c.add("pictures", made.pixels(files, lambda f: transform(pictures.rgb(f))), 0)
            elif way == "wrapper":
                processor = transformers.AutoImageProcessor.from_pretrained(path)
                c.add("pictures by wrapper", made.pixels(files, pictures.by(processor)), 0)
        for kind, hf, path in saving.classes(model, name, work):
            flags = []
            if kind == "ViTMAE":  # has no head: it gets one of ours
                flags = ["--num-classes", saving.CLASSES_OF_HEAD]
                made = Converted(path, work, *flags)
                if made.error:
                    c.add(kind, made.error, 0)
                    continue
                hf = saving.with_head(path, load_file(made.file("model.safetensors")))
            made = c.logits(kind, path, saving.Theirs(hf, x), *flags)
            if kind in ("ViTMAE", "ViTMSN"):
                continue
            if saving.large(model):
                break
            # torchvision resizes bytes a little otherwise than Pillow.
            for by, backend, tolerance in ("torchvision", "", STEP), ("Pillow", "Pil", 0):
                processor = getattr(transformers, "ViTImageProcessor" + backend).from_pretrained(path)
                c.add("pictures by " + by, made.pixels(files, pictures.by(processor)), tolerance)
            saving.usual_eps(hf)  # which a state dict does not say
            saving.lightning(hf, path + ".ckpt")
            c.logits("Lightning of " + kind, path + ".ckpt", saving.Theirs(hf, x), *said)
    print(c.line(), flush=True)
    return c


def check_all(names):
    """Every model of timm's with a ViT's name, in two blocks, and what becomes of it; returns how many are wrong."""
    count = {"agree": 0, "refused": 0, "wrong": 0}
    for name in names or timm.list_models(["vit*", "*deit*", "flexivit*", "eva*", "beit*", "test_vit*"]):
        try:
            model = saving.make(name, {"depth": 2})
            model.patch_embed.img_size
        except (AssertionError, AttributeError, RuntimeError, TypeError) as error:
            print(f"        {name}: timm says {error}")
            continue
        x = torch.randn(1, 3, *model.patch_embed.img_size)
        with tempfile.TemporaryDirectory() as work:
            save_for_hf(model, os.path.join(work, "saved"), safe_serialization=True)
            made, what = Converted(os.path.join(work, "saved"), work), "refused"
            result = made.error
            if not made.error:
                theirs, got = saving.Theirs(model, x), made.logits(x)
                result = made.error or (got - theirs.single).abs().max().item()
                what = "agree" if not made.error and result <= TOLERANCE and made.eps() in theirs.eps else "wrong"
        count[what] += 1
        print(f"{what.upper() if what == 'wrong' else '':8}{name}: {result}", flush=True)
    print(", ".join(f"{n} {what}" for what, n in count.items()))
    return count["wrong"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("adavit")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("names", nargs="*")
    given = parser.parse_intermixed_args()
    if given.all:
        return check_all(given.names)
    shorter = {"depth": given.blocks} if given.blocks else {}
    with tempfile.TemporaryDirectory() as folder:
        files = pictures.make(folder)
        done = [check(name, {**options, **shorter}, files) for name, options in ARCHITECTURES
                if not given.names or name in given.names]
    if given.table:
        print("\n".join([HEAD, *(c.row() for c in done)]))
    bad = sum(c.bad for c in done)
    print(f"{len(done)} architectures, {bad} faults; timm {timm.__version__}, transformers {transformers.__version__}, "
          f"torch {torch.__version__}")
    return bad


if __name__ == "__main__":
    sys.exit(main() > 0)
