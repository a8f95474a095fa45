#!/usr/bin/env python3
"""Asks adavit serve with the stock clients of the Open Inference Protocol, and compares with adavit predict bit by bit.

usage: clients.py ADAVIT, the binary. It makes a virtual environment with tritonclient and what it needs for itself, and
skips where no package index is in reach. The clients speak HTTP (binary, JSON, compressed, asynchronous) and gRPC (raw,
typed, asynchronous, streams); the service's description is compared with tritonclient's own, field by field.
"""
import json
import os
import queue
import re
import subprocess
import sys
import tempfile

PACKAGES = ["tritonclient[grpc,http]==2.73.0", "grpcio-health-checking", "grpcio-reflection"]
OUT_OF_REACH = r"(?i)connection|unreachable|name.?resolution|timed? ?out|proxy|ensurepip"
MODELS = ["fashion-dense", "fashion-adaptive"]


def in_environment():
    """Runs this script again in a virtual environment, if this is not one of its own making."""
    if os.environ.get("ADAVIT_CLIENTS"):
        return
    with tempfile.TemporaryDirectory(prefix="adavit-clients-") as where:
        python = os.path.join(where, "bin", "python")
        made = subprocess.run([sys.executable, "-m", "venv", where], capture_output=True, text=True)
        if made.returncode == 0:
            made = subprocess.run([python, "-m", "pip", "install", "-q", "--timeout=20", "--retries=1",
                                   "--disable-pip-version-check", *PACKAGES], capture_output=True, text=True)
        if made.returncode != 0:
            said = made.stdout + made.stderr
            if re.search(OUT_OF_REACH, said):
                print("skipped, tritonclient cannot be had here:", said.strip().splitlines()[-1])
                sys.exit(0)
            sys.exit(said)
        env = dict(os.environ, ADAVIT_CLIENTS="1")
        sys.exit(subprocess.run([python, os.path.abspath(__file__), *sys.argv[1:]], env=env).returncode)


if __name__ == "__main__":
    in_environment()

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tritonclient.grpc  # noqa: E402
import tritonclient.http  # noqa: E402
from google.protobuf import descriptor_pb2  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase  # noqa: E402
from reference import Reference, same  # noqa: E402
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

HTTP, GRPC = tritonclient.http, tritonclient.grpc

# What the interfaces answer to the same mistakes.
CODES = {
    HTTP: {"missing": "404", "wrong": "400", "damaged": "422", "late": "504", "away": "503", "unable": "404"},
    GRPC: {"missing": "NOT_FOUND", "wrong": "INVALID_ARGUMENT", "damaged": "INVALID_ARGUMENT",
           "late": "DEADLINE_EXCEEDED", "away": "UNAVAILABLE", "unable": "UNIMPLEMENTED"},
}


def fails(code, what, call, *args, **kwargs):
    """Fails unless call raises the clients' exception with a status and a sentence."""
    try:
        call(*args, **kwargs)
    except InferenceServerException as e:
        assert code in str(e.status()), f"{what}: {e.status()} ({e.message()}), want {code}"
        assert len(e.message()) > 15, f"{what}: says only {e.message()!r}"
        return
    raise AssertionError(f"{what}: no error")


def pixels_input(api, pixels, **how):
    tensor = api.InferInput("input", list(pixels.shape), "FP32")
    tensor.set_data_from_numpy(pixels, **how)
    return [tensor]


def picture_input(api, files):
    tensor = api.InferInput("image", [len(files)], "BYTES")
    tensor.set_data_from_numpy(np.array(files, dtype=np.object_))
    return [tensor]


def parameters(api, result):
    """The parameters of an answer."""
    if api is HTTP:
        return result.get_response().get("parameters", {})
    return {k: getattr(v, v.WhichOneof("parameter_choice")) for k, v in result.get_response().parameters.items()}


def check_health(api, client, names):
    assert client.is_server_live() and client.is_server_ready()
    for name in names:
        assert client.is_model_ready(name) and client.is_model_ready(name, "1")
    if api is HTTP:
        server = client.get_server_metadata()
    else:
        server = client.get_server_metadata(as_json=True)
    assert server["name"] == "adavit" and server["version"]
    wanted = {"binary_tensor_data", "classification", "schedule_policy", "model_repository", "statistics", "parameters"}
    assert wanted <= set(server["extensions"]), server["extensions"]


def check_description(api, client, ref):
    how = {} if api is HTTP else {"as_json": True}
    m = client.get_model_metadata(ref.name, **how)
    assert m["name"] == ref.name and m["versions"] == ["1"] and m["platform"], m
    tensors = {t["name"]: (t["datatype"], [int(n) for n in t["shape"]]) for t in m["inputs"] + m["outputs"]}
    classes, tokens = ref.logits.shape[1], ref.depth.shape[1]
    assert tensors == {"input": ("FP32", [-1, 1, 28, 28]), "image": ("BYTES", [-1]), "logits": ("FP32", [-1, classes]),
                       "probabilities": ("FP32", [-1, classes]), "depth": ("INT32", [-1, tokens])}, tensors
    config = client.get_model_config(ref.name, **how)
    config = config if api is HTTP else config["config"]
    assert config["name"] == ref.name and config["max_batch_size"] > 0, config
    dims = {t["name"]: (t["data_type"], [int(n) for n in t["dims"]]) for t in config["input"] + config["output"]}
    assert dims["input"] == ("TYPE_FP32", [1, 28, 28]) and dims["logits"] == ("TYPE_FP32", [classes]), dims


def check_outputs(result, ref, rows, what):
    """Compares all outputs with predict's, for the images of rows."""
    same(result.as_numpy("logits"), ref.logits[rows], what)
    same(result.as_numpy("depth"), ref.depth[rows], what + " depth")
    p = result.as_numpy("probabilities").astype(np.float64)
    e = np.exp(ref.logits[rows].astype(np.float64) - ref.logits[rows].max(axis=1, keepdims=True))
    np.testing.assert_allclose(p, e / e.sum(axis=1, keepdims=True), atol=1e-6, err_msg=what)


def check_inference(api, client, ref):
    def infer(inputs, model=ref.name, **how):
        return client.infer(model, inputs, **how)
    result = infer(pixels_input(api, ref.pixels), request_id="seven")
    check_outputs(result, ref, slice(0, 7), "batch")
    response = result.get_response() if api is HTTP else result.get_response(as_json=True)
    assert (response["id"], response["model_name"], response["model_version"]) == ("seven", ref.name, "1"), response
    cost = parameters(api, result)
    assert cost["token_blocks"] == ref.depth.sum() and cost["macs"] > 0, cost
    assert cost["budget_reason"] == "default" and 0 < cost["compute_budget_applied"] <= 1, cost
    result = infer(pixels_input(api, ref.pixels[2:3]), model_version="1", outputs=[api.InferRequestedOutput("logits")])
    same(result.as_numpy("logits"), ref.logits[2:3], "one image")
    assert result.as_numpy("depth") is None, "an output that nobody asked for"
    same(infer(picture_input(api, ref.files)).as_numpy("logits"), ref.picture_logits, "pictures")
    pending = [[api.InferRequestedOutput("probabilities", class_count=3)]]
    if api is HTTP:
        pending.append([api.InferRequestedOutput("probabilities", binary_data=False, class_count=3)])
    for outputs in pending:
        top = infer(pixels_input(api, ref.pixels), outputs=outputs).as_numpy("probabilities")
        assert top.shape == (7, 3), top
        best = [[int((c.decode() if isinstance(c, bytes) else c).split(":")[1]) for c in row] for row in top]
        assert best == np.argsort(-ref.logits, axis=1, kind="stable")[:, :3].tolist(), best
    for share in (0.5, "0.5"):
        result = infer(pixels_input(api, ref.pixels), parameters={"compute_budget_max": share})
        cap = int(0.5 * ref.depth.shape[1] * ref.layers)
        assert (result.as_numpy("depth").sum(axis=1) <= cap).all(), "a cap was exceeded"
        assert parameters(api, result)["token_blocks"] == result.as_numpy("depth").sum()


def check_mistakes(api, client, ref):
    code = CODES[api]
    x = pixels_input(api, ref.pixels)
    fails(code["missing"], "no such model", client.infer, "nobody", x)
    fails(code["missing"], "no such version", client.infer, ref.name, x, model_version="9")
    fails(code["wrong"], "wrong shape", client.infer, ref.name, pixels_input(api, ref.pixels[:, :, :20]))
    fails(code["wrong"], "no such output", client.infer, ref.name, x, outputs=[api.InferRequestedOutput("heat")])
    fails(code["wrong"], "budget", client.infer, ref.name, x, parameters={"compute_budget_max": 1.5})
    fails(code["damaged"], "damaged picture", client.infer, ref.name, picture_input(api, [ref.files[0][:80]]))
    fails(code["late"], "one microsecond", client.infer, ref.name, x, timeout=1)
    fails(code["unable"], "shared memory", client.get_system_shared_memory_status)
    fails(code["unable"], "GPU memory", client.get_cuda_shared_memory_status)
    fails(code["unable"], "trace settings", client.get_trace_settings)
    fails(code["unable"], "log settings", client.get_log_settings)


def check_async(api, client, ref):
    """Thirty requests at once, each one image."""
    if api is HTTP:
        calls = [client.async_infer(ref.name, pixels_input(api, ref.pixels[i % 7:i % 7 + 1])) for i in range(30)]
        results = [call.get_result() for call in calls]
    else:
        done = queue.Queue()
        for i in range(30):
            client.async_infer(ref.name, pixels_input(api, ref.pixels[i % 7:i % 7 + 1]), request_id=str(i),
                               callback=lambda result, error: done.put((result, error)))
        results = [None] * 30
        for _ in range(30):
            result, error = done.get(timeout=60)
            assert error is None, error
            results[int(result.get_response().id)] = result
    for i, result in enumerate(results):
        check_outputs(result, ref, slice(i % 7, i % 7 + 1), f"asynchronous {i}")


def check_statistics(api, client, ref):
    def read():
        how = {} if api is HTTP else {"as_json": True}
        s, = client.get_inference_statistics(ref.name, **how)["model_stats"]
        assert s["name"] == ref.name and s["version"] == "1"
        return [int(n) for n in (s["inference_count"], s["execution_count"], s["inference_stats"]["success"]["count"],
                                 s["inference_stats"]["success"]["ns"], s["inference_stats"]["compute_infer"]["ns"])]
    before = read()
    client.infer(ref.name, pixels_input(api, ref.pixels))
    after = read()
    assert after[0] == before[0] + 7 and after[2] == before[2] + 1, (before, after)
    assert all(b > a for a, b in zip(before, after)), (before, after)
    everything = client.get_inference_statistics() if api is HTTP else client.get_inference_statistics(as_json=True)
    assert {s["name"] for s in everything["model_stats"]} == set(MODELS)


def check_repository(api, client, ref, other):
    def index():
        listed = client.get_model_repository_index() if api is HTTP else \
            client.get_model_repository_index(as_json=True)["models"]
        return {m["name"]: m["state"] for m in listed}
    assert index() == {name: "READY" for name in MODELS}
    client.unload_model(ref.name)
    assert index() == {ref.name: "UNAVAILABLE", other.name: "READY"}
    assert not client.is_model_ready(ref.name) and client.is_model_ready(other.name)
    fails(CODES[api]["away"], "unloaded", client.infer, ref.name, pixels_input(api, ref.pixels))
    check_outputs(client.infer(other.name, pixels_input(api, other.pixels)), other, slice(0, 7), "the other model")
    client.load_model(ref.name)
    assert client.is_model_ready(ref.name) and index()[ref.name] == "READY"
    check_outputs(client.infer(ref.name, pixels_input(api, ref.pixels)), ref, slice(0, 7), "loaded again")
    fails(CODES[api]["missing"], "load what is not there", client.load_model, "nobody")


def check_http_forms(client, ref):
    """JSON in either direction, and compressed bodies."""
    for given in (False, True):
        for wanted in (False, True):
            outputs = [HTTP.InferRequestedOutput(n, binary_data=wanted) for n in ("logits", "depth", "probabilities")]
            result = client.infer(ref.name, pixels_input(HTTP, ref.pixels, binary_data=given), outputs=outputs)
            check_outputs(result, ref, slice(0, 7), f"binary input {given}, output {wanted}")
    for kind in ("gzip", "deflate"):
        result = client.infer(ref.name, pixels_input(HTTP, ref.pixels), request_compression_algorithm=kind,
                              response_compression_algorithm=kind)
        check_outputs(result, ref, slice(0, 7), kind)


def typed_request(ref, **more):
    request = service_pb2.ModelInferRequest(model_name=ref.name, id="typed", **more)
    tensor = request.inputs.add(name="input", datatype="FP32", shape=ref.pixels.shape)
    tensor.contents.fp32_contents.extend(ref.pixels.ravel().tolist())
    return request


def check_grpc_forms(client, stub, ref):
    """Typed contents, answered by typed ones unless bytes are asked for; compression; the client's deadline."""
    reply = stub.ModelInfer(typed_request(ref))
    assert not reply.raw_output_contents and reply.id == "typed"
    outputs = {o.name: o for o in reply.outputs}
    same(np.array(outputs["logits"].contents.fp32_contents, np.float32).reshape(7, -1), ref.logits, "typed logits")
    same(np.array(outputs["depth"].contents.int_contents, np.int32).reshape(7, -1), ref.depth, "typed depth")
    request = typed_request(ref)
    request.parameters["binary_data_output"].bool_param = True
    check_outputs(GRPC.InferResult(stub.ModelInfer(request)), ref, slice(0, 7), "raw answer to typed contents")
    request = service_pb2.ModelInferRequest(model_name=ref.name)
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[len(ref.files)])
    tensor.contents.bytes_contents.extend(ref.files)
    request.outputs.add(name="probabilities").parameters["classification"].int64_param = 1
    best = stub.ModelInfer(request).outputs[0].contents.bytes_contents
    assert [int(b.decode().split(":")[1]) for b in best] == ref.picture_logits.argmax(axis=1).tolist(), best
    result = client.infer(ref.name, pixels_input(GRPC, ref.pixels), compression_algorithm="gzip", client_timeout=30)
    check_outputs(result, ref, slice(0, 7), "gzip")
    fails("DEADLINE_EXCEEDED", "deadline", client.infer, ref.name, pixels_input(GRPC, ref.pixels), client_timeout=1e-6)


def check_stream(client, ref):
    """Answers come in order, and a mistake in the midst ends nothing."""
    done = queue.Queue()
    client.start_stream(callback=lambda result, error: done.put((result, error)))
    for i in range(40):
        bad = i == 20
        client.async_stream_infer("nobody" if bad else ref.name, pixels_input(GRPC, ref.pixels[i % 7:i % 7 + 1]),
                                  request_id=str(i))
    for i in range(40):
        result, error = done.get(timeout=60)
        if i == 20:
            assert error is not None and "nobody" in error.message(), error
            continue
        assert error is None, error
        assert result.get_response().id == str(i), f"answer {i} is of {result.get_response().id}"
        check_outputs(result, ref, slice(i % 7, i % 7 + 1), f"streamed {i}")
    client.stop_stream()


def names_and_numbers(proto):
    """Everything of a .proto file that is on the wire: fields, values of enumerations, calls."""
    found = {}

    def enum(e, prefix):
        found.update({f"{prefix}{e.name}.{v.name}": v.number for v in e.value})

    def message(m, prefix):
        prefix += m.name + "."
        found[prefix] = "message"
        found.update({prefix + f.name: (f.number, f.type, f.label, f.type_name) for f in m.field})
        for nested in m.nested_type:
            message(nested, prefix)
        for e in m.enum_type:
            enum(e, prefix)
    for m in proto.message_type:
        message(m, "")
    for e in proto.enum_type:
        enum(e, "")
    for s in proto.service:
        found.update({f"{s.name}/{c.name}": (c.input_type, c.output_type, c.client_streaming, c.server_streaming)
                      for c in s.method})
    return found


def check_reflection(channel):
    """The server's own description of the service says what tritonclient was made from."""
    db = ProtoReflectionDescriptorDatabase(channel)
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(db.get_services()), db.get_services()

    def compare(symbol, module, whole):
        theirs = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(theirs)
        got, want = names_and_numbers(db.FindFileContainingSymbol(symbol)), names_and_numbers(theirs)
        wrong = {k: v for k, v in got.items() if want.get(k) != v}
        assert got and not wrong, f"not as tritonclient has it: {wrong}"
        assert not whole or len(got) == len(want), f"missing: {set(want) - set(got)}"
    compare("inference.GRPCInferenceService", service_pb2, True)
    compare("inference.ModelConfig", model_config_pb2, False)


def check_grpcurl(address):
    """A tool that knows nothing but the server's own description of itself."""
    def grpcurl(*args):
        return subprocess.run(["go", "run", "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4", "-plaintext", *args],
                              capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "PWD"})
    listed = grpcurl(address, "list")
    if listed.returncode != 0 and "Failed" not in listed.stderr:
        return "skipped, grpcurl cannot be had here: " + (listed.stderr.strip() or "no reason").splitlines()[-1]
    assert "inference.GRPCInferenceService" in listed.stdout.split(), listed
    said = grpcurl("-d", json.dumps({"name": MODELS[0]}), address, "inference.GRPCInferenceService/ModelReady")
    assert json.loads(said.stdout) == {"ready": True}, said
    return "ok"


def main():
    adavit = os.path.abspath(sys.argv[1])
    for precision in ("f32", "int8"):
        with tempfile.TemporaryDirectory(prefix="adavit-clients-") as folder:
            refs = [Reference(adavit, name, precision, folder) for name in MODELS]
            command = [adavit, "serve", "--precision", precision, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
                       "--admin", "off", "--model-control", "explicit"]
            for name in MODELS:
                command += ["--model", name]
            server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            try:
                check_server(server, refs)
            finally:
                server.terminate()
                said = server.stderr.read()
            assert server.wait(timeout=30) == 0, f"the server ended with {server.returncode}\n{said}"
        print(f"ok: all of it with {precision}")


def check_server(server, refs):
    for line in server.stderr:
        serving = re.match(r"serving http=(\S+) grpc=(\S+)", line)
        if serving:
            break
    else:
        raise AssertionError("the server did not start")
    http, rpc = serving.groups()

    def step(what, check, *args):
        said = check(*args)
        print(f"{said or 'ok'}: {what}", flush=True)
    with HTTP.InferenceServerClient(http, concurrency=8) as h, GRPC.InferenceServerClient(rpc) as g, \
            grpc.insecure_channel(rpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for api, client, word in ((HTTP, h, "HTTP"), (GRPC, g, "gRPC")):
            step(f"{word} health and metadata", check_health, api, client, MODELS)
            for ref in refs:
                for check in (check_description, check_inference, check_mistakes, check_async, check_statistics):
                    step(f"{word} {ref.name} {check.__name__[6:]}", check, api, client, ref)
            step(f"{word} repository", check_repository, api, client, *refs)
        for ref in refs:
            step(f"HTTP {ref.name} JSON and compression", check_http_forms, h, ref)
            step(f"gRPC {ref.name} typed contents, gzip, deadline", check_grpc_forms, g, stub, ref)
            step(f"gRPC {ref.name} stream", check_stream, g, ref)
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService"):
            reply = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        step("gRPC reflection", check_reflection, channel)
        step("grpcurl", check_grpcurl, rpc)


if __name__ == "__main__":
    main()
