"""Quantises an ONNX model to int8 with ONNX Runtime's own tools.

    quantize_onnxruntime.py MODEL.onnx DYNAMIC.onnx STATIC.onnx INPUT CHANNELS HEIGHT WIDTH

DYNAMIC: scales of what goes into a product are found while it runs. STATIC: they are found here, on the float32 images
[n, C, H, W] in the file INPUT.
"""
import os
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

source, dynamic, static, images, *shape = sys.argv[1:]
images = np.fromfile(images, np.float32).reshape(-1, 1, *(int(n) for n in shape))
products = ["MatMul", "Gemm"]
prepared = static + ".prepared"
quant_pre_process(source, prepared, skip_symbolic_shape=True)
quantize_dynamic(prepared, dynamic, op_types_to_quantize=products, per_channel=True, weight_type=QuantType.QInt8)


class Images(CalibrationDataReader):
    def __init__(self):
        self.rest = iter(images)

    def get_next(self):
        image = next(self.rest, None)
        return None if image is None else {"input": image}


quantize_static(prepared, static, Images(), quant_format=QuantFormat.QDQ, op_types_to_quantize=products,
                per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
os.remove(prepared)
