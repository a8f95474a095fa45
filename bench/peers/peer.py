"""What the peers have in common: their half of the protocol, which process.go describes.

A peer imports this before anything else, since it tells the libraries how many threads they may have, and calls play.
"""
import json
import os
import sys
import time

model, precision, setting, threads, batch, source, *shape = sys.argv[1:10]
threads, batch, shape = int(threads), int(batch), [int(n) for n in shape]
once = sys.argv[10:] == ["once"]
note = ""  # what a reader of the figures must know
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when libraries are loaded
    os.environ[variable] = str(threads)

import numpy as np  # noqa: E402


def say(**message):
    print(json.dumps(message), flush=True)


def held():
    """The anonymous memory of this process, in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))
    except (OSError, StopIteration):
        return 0


def timed(work, seconds):
    """Milliseconds of each of the runs that fit into so many seconds, three at least, after one that is not counted."""
    work()
    ms, start = [], time.perf_counter()
    while len(ms) < 3 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        work()
        ms.append((time.perf_counter() - begin) * 1000)
    return ms


def images(count=-1):
    """The first so many of the images that all are given, [n, C, H, W]; all for -1."""
    numbers = np.fromfile(source, np.float32, count=count * int(np.prod(shape)) if count > 0 else -1)
    return numbers.reshape(-1, *shape)


def filled(part):
    """A whole batch: the given images, and zeros for those that are missing."""
    return np.concatenate((part, np.zeros((batch - len(part), *shape), np.float32))) if len(part) < batch else part


def answer(run, logits):
    """Answers requests until there are none: run() is a batch's work, logits() are numbers to compare."""
    for line in sys.stdin:
        request = json.loads(line)
        if "run" in request:
            say(ms=timed(run, request["run"]))
        elif request.get("logits"):
            say(logits=np.asarray(logits(), np.float32).flatten().tolist())
        else:
            say(error="unknown request " + line)


def play(load, version):
    """Runs a model. load(same) makes it ready for batches like same [B, C, H, W], and returns a function from one to its
    logits [B, classes]."""
    try:
        all_images = images(1 if once else -1)
        same = np.ascontiguousarray(filled(all_images[:batch]))
        before = held()
        infer = load(same)
        logits = infer(same)
        if once:
            return print(int(np.argmax(logits[0])), flush=True)
        say(ready=True, version=version, held=max(held() - before, 0), note=note)

        def compare():
            parts = (all_images[i:i + batch] for i in range(0, len(all_images), batch))
            return np.concatenate([np.array(infer(filled(p))[:len(p)]) for p in parts])
        answer(lambda: infer(same), compare)
    except Exception as e:  # the other side shows it to the user
        say(error=f"{type(e).__name__}: {e}")
        raise
