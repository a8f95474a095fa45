"""Quantises an ONNX model to int8 with ONNX Runtime's own tools.

    fastapi_quantize.py MODEL.onnx DYNAMIC.onnx STATIC.onnx FOLDER PICTURES

DYNAMIC: scales of what goes into a product are found while it runs. STATIC: they are found here, on the picture files in
the folder PICTURES. FOLDER has the model's config.json and preprocessor_config.json.
"""

import os
import sys

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

source, dynamic, static, folder, pictures = sys.argv[1:]
products = ["MatMul", "Gemm"]
prepared = static + ".prepared"
quant_pre_process(source, prepared, skip_symbolic_shape=True)
quantize_dynamic(prepared, dynamic, op_types_to_quantize=products, per_channel=True, weight_type=QuantType.QInt8)

# The server's own code prepares the pictures; it loads a model, too.
os.environ.update(MODEL=source, FILES=folder, THREADS="1")
import fastapi_server  # noqa: E402


class Pictures(CalibrationDataReader):
    def __init__(self):
        names = sorted(os.listdir(pictures))[:100]
        self.rest = iter([os.path.join(pictures, n) for n in names])

    def get_next(self):
        name = next(self.rest, None)
        if name is None:
            return None
        with open(name, "rb") as f:
            return {fastapi_server.name: fastapi_server.prepare(f.read())}


quantize_static(prepared, static, Pictures(), quant_format=QuantFormat.QDQ, op_types_to_quantize=products,
                per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
os.remove(prepared)
