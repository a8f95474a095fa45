#!/usr/bin/env python3
"""Writes the files of this folder with NumPy (2.4.6). Run it here."""

import numpy as np

arrays = {
    "cls": np.arange(3, dtype="<f4").reshape(1, 1, 3),
    "embedding/kernel": np.arange(12, dtype="<f4").reshape(2, 2, 1, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype="<f8").reshape(2, 3)),
    "half": np.array([1.5, -2], dtype="<f2"),
    "brain": np.array([0x3FC0, 0xC000], dtype="<u2").view("V2"),  # bfloat16: 1.5, -2
    "step": np.array(7, dtype="<i8"),
    "none": np.zeros((0, 4), dtype="<f4"),
    "mask": np.array([True, False]),
}
np.savez("plain.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays)
np.savez("big.npz", a=np.ones(2, dtype=">f4"))
np.savez("object.npz", a=np.array([{}], dtype=object))
