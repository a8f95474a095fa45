"""ONNX Runtime as a peer, with all its graph optimisations. SETTING is batch, or single: a batch's images one by one."""
import peer  # first

import onnxruntime as ort


def load(_):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = peer.threads, 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = ort.InferenceSession(peer.model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    if peer.setting == "batch":
        return lambda x: session.run(None, {name: x})[0]
    return lambda x: peer.np.concatenate([session.run(None, {name: x[i:i + 1]})[0] for i in range(len(x))])


peer.play(load, ort.__version__)
