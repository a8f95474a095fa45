"""Runs ONNX models by ONNX Runtime: reads lines FILE BYTES and, after each, that many bytes of float32 input; writes the
first output's float32 numbers as one line."""
import sys

import numpy
import onnxruntime

onnxruntime.set_default_logger_severity(3)
for line in iter(sys.stdin.buffer.readline, b""):
    path, size = line.decode().rsplit(" ", 1)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    x = numpy.frombuffer(sys.stdin.buffer.read(int(size)), numpy.float32)
    c, h, w = (d if isinstance(d, int) else o for d, o in zip(port.shape[1:], (3, 16, 16)))
    x = x.reshape(-1, c, h, w)
    if isinstance(port.shape[0], int):
        x = numpy.concatenate([x] * port.shape[0])[: port.shape[0]]
    if "float16" in port.type:
        x = x.astype(numpy.float16)
    y = session.run(None, {port.name: x})[0].astype(numpy.float32)
    print(*y.ravel().tolist(), flush=True)
