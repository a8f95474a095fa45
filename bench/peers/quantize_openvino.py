"""Writes an ONNX model in OpenVINO's own format, in float32 and quantised to int8 by NNCF.

    quantize_openvino.py MODEL.onnx F32.xml INT8.xml INPUT CHANNELS HEIGHT WIDTH

INPUT is a file of float32 images [n, C, H, W] for calibration.
"""
import sys

import nncf
import numpy as np
import openvino as ov

source, f32, int8, images, *shape = sys.argv[1:]
images = np.fromfile(images, np.float32).reshape(-1, 1, *(int(n) for n in shape))
model = ov.Core().read_model(source)
ov.save_model(model, f32, compress_to_fp16=False)
quantized = nncf.quantize(model, nncf.Dataset(images), model_type=nncf.ModelType.TRANSFORMER,
                          preset=nncf.QuantizationPreset.MIXED, subset_size=len(images))
ov.save_model(quantized, int8, compress_to_fp16=False)
