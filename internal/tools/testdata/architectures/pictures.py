"""Ten odd pictures, and how others open them."""
import os

import numpy as np
import torch
import transformers
from PIL import Image


def make(folder):
    """Writes them; returns the paths."""
    rng = np.random.default_rng(0)

    def field(h, w, c=3):
        low = rng.integers(0, 256, (max(h // 16, 2), max(w // 16, 2), c), dtype=np.uint8)
        planes = [np.asarray(Image.fromarray(low[..., i]).resize((w, h), Image.Resampling.BICUBIC)) for i in range(c)]
        return np.stack(planes, -1)

    turned = Image.Exif()
    turned[0x0112] = 6
    frames = [Image.fromarray(field(120, 160)).quantize(40) for _ in range(3)]
    made = {
        "wide.png": (Image.fromarray(field(97, 811)), {}),
        "tall.jpg": (Image.fromarray(field(2999, 61)), {"quality": 90}),
        "tiny.png": (Image.fromarray(field(3, 5)), {}),
        "grey.jpg": (Image.fromarray(field(333, 444, 1)[..., 0]), {}),
        "palette.png": (Image.fromarray(field(256, 256)).quantize(17), {"transparency": 3}),
        "alpha.webp": (Image.fromarray(field(301, 257, 4), "RGBA"), {"lossless": True}),
        "deep.png": (Image.fromarray((field(240, 300, 1)[..., 0].astype(np.uint16) * 257)), {}),
        "turned.jpg": (Image.fromarray(field(300, 200)), {"exif": turned, "subsampling": 2}),
        "inks.jpg": (Image.fromarray(field(200, 300, 4), "CMYK"), {}),
        "moving.gif": (frames[0], {"save_all": True, "append_images": frames[1:]}),
    }
    for name, (image, how) in made.items():
        image.save(os.path.join(folder, name), **how)
    return [os.path.join(folder, name) for name in made]


def rgb(path):
    """A picture as timm's data sets open it."""
    with Image.open(path) as image:
        return image.convert("RGB")


def by(processor):
    """A picture as transformers' pipelines open it and a processor of theirs prepares it."""
    def prepare(path):
        image = transformers.image_utils.load_image(path)
        return torch.as_tensor(processor(image)["pixel_values"][0])
    return prepare
