"""A classifier behind FastAPI as people write it: a picture file as the body, the likeliest classes as the answer.

The environment says what to serve:

    MODEL     the ONNX file
    FILES     the folder of its config.json and preprocessor_config.json
    THREADS   of ONNX Runtime, within one process
    INLINE    1: run the model on the event loop, which saves a hand-over where a process has one core; else in threads

uvicorn runs it, with as many processes as it is told.
"""

import io
import json
import os
from contextlib import asynccontextmanager

import anyio.to_thread
import numpy as np
import onnxruntime as ort
import orjson
from fastapi import FastAPI, Query, Request, Response
from PIL import Image, UnidentifiedImageError


def read(name):
    with open(os.path.join(os.environ["FILES"], name), encoding="utf-8") as f:
        return json.load(f)


config, pre = read("config.json"), read("preprocessor_config.json")
threads = int(os.environ["THREADS"])
labels = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
mode = "L" if config["num_channels"] == 1 else "RGB"
mean = np.asarray(pre["image_mean"], np.float32)
std = np.asarray(pre["image_std"], np.float32)
scale, shift = np.float32(pre["rescale_factor"]) / std, -mean / std

options = ort.SessionOptions()
options.intra_op_num_threads = threads
options.inter_op_num_threads = 1
options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name


def prepare(body):
    """The picture as the model wants it, [1, C, H, W]."""
    image = Image.open(io.BytesIO(body)).convert(mode)
    size = pre["size"]
    if "shortest_edge" in size:
        width, height = image.size
        short = size["shortest_edge"]
        wanted = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    else:
        wanted = (size["width"], size["height"])
    if image.size != wanted:
        image = image.resize(wanted, pre["resample"])
    if pre["do_center_crop"]:
        height, width = pre["crop_size"]["height"], pre["crop_size"]["width"]
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    pixels = np.asarray(image, np.float32).reshape(image.height, image.width, -1) * scale + shift
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def classify(body, top):
    logits = session.run(None, {name: prepare(body)})[0][0]
    p = np.exp(logits - logits.max())
    p /= p.sum()
    best = np.argsort(-p)[:top]
    return orjson.dumps(
        {"top": [{"class": int(i), "label": labels[i], "probability": float(p[i])} for i in best]})


@asynccontextmanager
async def lifespan(_):
    anyio.to_thread.current_default_thread_limiter().total_tokens = max(threads, 1)
    classify(warm_up(), 5)
    yield


def warm_up():
    b = io.BytesIO()
    Image.new(mode, (config["image_size"],) * 2).save(b, "PNG")
    return b.getvalue()


app = FastAPI(lifespan=lifespan)
inline = os.environ.get("INLINE") == "1"


@app.post("/v1/classify")
async def endpoint(request: Request, top: int = Query(5, ge=1, le=1000)):
    body = await request.body()
    try:
        answer = classify(body, top) if inline else await anyio.to_thread.run_sync(classify, body, top)
    except UnidentifiedImageError:
        return Response(b'{"error":"not a picture"}', 415, media_type="application/json")
    return Response(answer, media_type="application/json")
