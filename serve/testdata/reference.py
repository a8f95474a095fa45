"""What adavit itself says about a model, for clients.py to compare with: files in, files out."""
import json
import os
import struct
import subprocess
import zlib

import numpy as np


def same(got, want, what):
    """Fails unless two arrays have the same shape, type and bits."""
    assert got is not None, f"{what}: nothing"
    assert got.shape == want.shape and got.dtype == want.dtype, \
        f"{what}: {got.dtype}{got.shape}, want {want.dtype}{want.shape}"
    assert got.tobytes() == want.tobytes(), f"{what}: differs at {np.argwhere(got != want)[:3].tolist()}"


class Reference:
    """What adavit itself says about a model: its answers to random pixels and to pictures."""

    def __init__(self, adavit, name, precision, folder):
        self.name, self.precision = name, precision
        described = json.loads(subprocess.check_output([adavit, "inspect", "--json", name]))
        rng = np.random.default_rng(7)
        self.pixels = rng.uniform(-1, 1, (7, 1, 28, 28)).astype(np.float32)
        self.pixels[:, :, 8:20, 8:20] += 0.5
        self.logits, self.depth = self.predict(adavit, folder, self.pixels)
        self.layers = described["config"]["layers"] if "config" in described else int(self.depth.max())
        self.files, names = [], []
        for i, (height, width) in enumerate([(28, 28), (40, 31), (9, 64)]):
            picture = rng.integers(0, 255, (height, width)).astype(np.uint8)
            picture[height // 4:height // 2] = 255
            self.files.append(png(picture))
            names.append(os.path.join(folder, f"{i}.png"))
            with open(names[-1], "wb") as f:
                f.write(self.files[-1])
        tensor = os.path.join(folder, "pictures.safetensors")
        subprocess.check_output([adavit, "preprocess", "--model", name, "--output", tensor, *names])
        self.pictures = load(tensor)["input"]
        self.picture_logits, _ = self.predict(adavit, folder, self.pictures)
        assert not (self.logits[0] == self.logits[1]).all(), "two images with the same logits test nothing"

    def predict(self, adavit, folder, pixels):
        given, wanted = os.path.join(folder, "x.safetensors"), os.path.join(folder, "y.safetensors")
        save(given, "input", pixels)
        subprocess.check_output([adavit, "predict", "--precision", self.precision, "--model", self.name,
                                 "--input", given, "--output", wanted])
        tensors = load(wanted)
        return tensors["logits"], tensors["depth"]


def png(picture):
    """A grey PNG file of a [height, width] array of bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    height, width = picture.shape
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def save(path, name, array):
    """Writes a safetensors file with one FP32 tensor."""
    header = json.dumps({name: {"dtype": "F32", "shape": array.shape, "data_offsets": [0, array.nbytes]}}).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + array.tobytes())


def load(path):
    """Reads the tensors of a safetensors file, those of types that are needed here."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    types = {"F32": np.float32, "I32": np.int32}
    return {name: np.frombuffer(data[slice(*t["data_offsets"])], types[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__" and t["dtype"] in types}
