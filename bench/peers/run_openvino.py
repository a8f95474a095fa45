"""OpenVINO as a peer. MODEL is its own format, as quantize_openvino.py writes it; PRECISION is f32, bf16, or int8 for a
model that NNCF has quantised. SETTING has two words with a plus between them:

    f32, bf16        what is not in int8 is computed in
    batch, streams   the batch goes through one stream that has all threads, or its images go through as many streams
                     as there are threads
"""
import peer  # first

import os

import openvino as ov

rest, way = peer.setting.split("+")


def escaped(compiled):
    """Says what runs on newer instructions than those that ONEDNN_MAX_CPU_ISA asks for."""
    kinds = [str(n.get_rt_info()["primitiveType"].value) for n in compiled.get_runtime_model().get_ordered_ops()]
    mlas, others = sum("mlas" in k for k in kinds), sum("avx512" in k for k in kinds)
    return f"{mlas} of its products run in MLAS, and {others} other steps in AVX-512, which this variable does not hold"


def load(same):
    streams = peer.threads if way == "streams" else 1
    core = ov.Core()
    core.set_property({"ENABLE_MMAP": True})
    config = {
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": str(streams), "INFERENCE_NUM_THREADS": str(peer.threads),
        "INFERENCE_PRECISION_HINT": rest, "ENABLE_CPU_PINNING": True, "CPU_DENORMALS_OPTIMIZATION": True,
    }
    if peer.once:  # the second start and all further ones find the compiled model
        config["CACHE_DIR"] = peer.model + f".{rest}.cache"
    model = core.read_model(peer.model)
    model.reshape([len(same) if way == "batch" else 1, *peer.shape])
    compiled = core.compile_model(model, "CPU", config)
    if "ONEDNN_MAX_CPU_ISA" in os.environ:
        peer.note = escaped(compiled)
    if way == "batch":
        request = compiled.create_infer_request()
        return lambda x: request.infer([x], share_inputs=True, share_outputs=True)[0]

    queue = ov.AsyncInferQueue(compiled, streams)
    found = [None] * len(same)

    def keep(request, i):
        found[i] = request.get_output_tensor().data.copy()
    queue.set_callback(keep)

    def infer(x):
        for i in range(len(x)):
            queue.start_async([x[i:i + 1]], i, share_inputs=True)
        queue.wait_all()
        return peer.np.concatenate(found)
    return infer


peer.play(load, ov.__version__.split("-")[0])
