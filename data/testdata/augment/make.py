"""Makes the files in this folder with Pillow, torchvision and timm (0.9.16), against which package data's augmentation is tested.

    PYTHONPATH=<timm> python3 make.py

Each .png stacks its results from top to bottom in the order of the list in cases.json that has its name.
"""
import json
import random
from unittest import mock

import numpy as np
import torch
from PIL import Image
from timm.data import auto_augment as aa
from timm.data.mixup import Mixup
from timm.data.transforms import RandomResizedCropAndInterpolation
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

MODES = {"bilinear": (Image.BILINEAR, InterpolationMode.BILINEAR), "bicubic": (Image.BICUBIC, InterpolationMode.BICUBIC)}
FILL = (124, 116, 104)
cases = {}


def stack(name, pictures):
    Image.fromarray(np.concatenate([np.asarray(p) for p in pictures])).save(name + ".png", optimize=True)


# A small picture with smooth parts, noise, and bytes at both ends.
rng = np.random.default_rng(1)
small = np.asarray(Image.open("../chelsea.png").convert("RGB").crop((120, 60, 190, 118)).resize((35, 29), Image.BICUBIC)).astype(int)
small[:9] += rng.integers(-60, 60, (9, 35, 3))
small[20:, 25:] = small[20:, 25:] * 2 - 160
small = Image.fromarray(small.clip(0, 255).astype(np.uint8))
small.save("small.png", optimize=True)
dull = Image.fromarray((np.asarray(small) // 3 + np.array([40, 90, 7])).astype(np.uint8))  # does not use all of 0 ... 255
dull.save("dull.png", optimize=True)

# Operations with their arguments.
ops = [("AutoContrast", []), ("Equalize", []), ("Invert", [])]
ops += [("Rotate", [v]) for v in (0.0, 7.25, -29.0, 30.0, -90.0, 45.5)]
ops += [("Posterize", [v]) for v in (0, 1, 4, 8)]
ops += [("Solarize", [v]) for v in (0, 26, 128, 256)]
ops += [("SolarizeAdd", [v]) for v in (0, 50, 110)]
ops += [(n, [v]) for n in ("Color", "Contrast", "Brightness", "Sharpness") for v in (0.1, 0.73, 1.0, 1.27, 1.9)]
ops += [(n, [v]) for n in ("ShearX", "ShearY") for v in (0.0, 0.27, -0.3, 0.0413)]
ops += [(n, [v]) for n in ("TranslateXRel", "TranslateYRel") for v in (0.0, 0.405, -0.45, 0.2, 0.0317)]
cases["ops"] = []
results = {"rgb": [], "grey": []}
for base, picture in (("small", small), ("dull", dull)):
    for mode in MODES:
        moving = ("Rotate", "Shear", "Translate")
        for name, args in ops:
            if mode == "bilinear" and not name.startswith(moving) or base == "dull" and name.startswith(moving):
                continue
            cases["ops"].append({"picture": base, "op": name, "arg": args[0] if args else 0, "filter": mode})
            for kind, p, fill in (("rgb", picture, FILL), ("grey", picture.convert("L"), FILL[1])):
                results[kind].append(aa.NAME_TO_OP[name](p, *args, resample=MODES[mode][0], fillcolor=fill))
stack("ops", results["rgb"])
stack("ops.grey", results["grey"])

# Arguments at a level: timm turns them around where its coin shows more than a half.
cases["levels"] = []
for increasing, names in ((False, aa._RAND_TRANSFORMS), (True, aa._RAND_INCREASING_TRANSFORMS)):
    for index, name in enumerate(names):
        if aa.LEVEL_TO_ARG[name] is None:
            continue
        for level in (0.0, 0.31, 2.5, 4.99, 5.0, 8.77, 9.0, 9.51, 10.0, 12.0):
            for negative in (False, True):
                with mock.patch.object(random, "random", lambda: 0.9 if negative else 0.1):
                    (arg,) = aa.LEVEL_TO_ARG[name](level, {})
                cases["levels"].append({"op": index, "increasing": increasing, "level": level, "negative": negative, "arg": arg})

# Colour jitter: brightness, contrast and saturation in an order, each with its factor.
adjust = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation]
cases["jitter"] = [{"order": o, "factor": f} for o, f in (
    ([0, 1, 2], [0.6, 1.4, 1.1]), ([2, 1, 0], [1.35, 0.7, 0.0]), ([1, 0, 2], [1.0, 1.39, 1.22]), ([2, 0, 1], [0.81, 0.65, 1.4]))]
jittered = []
for c in cases["jitter"]:
    p = small
    for which in c["order"]:
        p = adjust[which](p, c["factor"][which])
    jittered.append(p)
stack("jitter", jittered)

# Parts of photographs, resized to 20 x 28 (height x width).
cases["crops"] = [{"picture": f, "top": t, "left": l, "height": h, "width": w, "filter": m}
                  for f, t, l, h, w in (("chelsea.png", 0, 0, 300, 451), ("chelsea.png", 31, 77, 111, 190), ("chelsea.png", 200, 300, 17, 13),
                                        ("rocket.jpg", 101, 33, 250, 201), ("rocket.jpg", 7, 301, 20, 28), ("rocket.jpg", 12, 15, 1, 3))
                  for m in MODES]
stack("crops", [F.resized_crop(Image.open("../" + c["picture"]).convert("RGB"), c["top"], c["left"], c["height"], c["width"], (20, 28),
                               MODES[c["filter"]][1]) for c in cases["crops"]])

# Pictures that no crop of those areas and shapes fits into: the part in the middle.
cases["middle"] = []
for h, w, ratio in ((10, 1000, (0.75, 4 / 3)), (1000, 11, (0.75, 4 / 3)), (3, 1, (1.0, 1.0)), (1, 1, (0.75, 4 / 3)), (7, 100, (1.5, 1.5))):
    with mock.patch.object(random, "uniform", lambda low, high: 1e9 if high == 1 else low):  # an area that never fits
        box = RandomResizedCropAndInterpolation.get_params(Image.new("L", (w, h)), (0.5, 1), ratio)
    cases["middle"].append({"height": h, "width": w, "ratio": ratio, "box": box})

# Mixup and cutmix of a batch [5 or 4, 2, 5, 6]: timm wants even batches, so the odd one is left to hand-worked cases.
cases["mix"] = []
x = torch.tensor(np.random.default_rng(2).normal(size=(4, 2, 5, 6)).astype(np.float32))
labels = torch.tensor([2, 0, 1, 2])
cases["batch"] = {"images": [float(v) for v in x.flatten()], "labels": labels.tolist(), "classes": 3}
for cutmix, lam, centre, smoothing in ((False, 0.3, None, 0.1), (False, 0.995, None, 0.0), (True, 0.3, (2, 1), 0.1), (True, 0.55, (0, 5), 0.0), (True, 0.999, (4, 0), 0.2)):
    m = Mixup(mixup_alpha=0.0 if cutmix else 1.0, cutmix_alpha=1.0 if cutmix else 0.0, label_smoothing=smoothing, num_classes=3)
    places = iter(centre or ())
    with mock.patch.object(np.random, "beta", lambda a, b: lam), mock.patch.object(np.random, "randint", lambda *a, **k: next(places)):
        images, targets = m(x.clone(), labels)
    cases["mix"].append({"cutmix": cutmix, "share": lam, "centre": centre, "smoothing": smoothing,
                         "images": [float(v) for v in images.flatten()], "targets": [float(v) for v in targets.flatten()]})

with open("cases.json", "w") as f:
    f.write("{\n" + ",\n".join(f'"{k}": ' + ("[\n" + ",\n".join(json.dumps(c) for c in v) + "\n]" if isinstance(v, list) else json.dumps(v)) for k, v in cases.items()) + "\n}\n")
