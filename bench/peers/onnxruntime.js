// ONNX Runtime as a peer: what it is asked and answers is described in process.go.
'use strict';
const fs = require('fs');
const readline = require('readline');
const ort = require('onnxruntime-node'); // installed beside a copy of this file
const { version } = require('onnxruntime-node/package.json');

// held is the anonymous memory of this process, in bytes; 0 where the system does not say.
function held() {
  try {
    const line = fs.readFileSync('/proc/self/status', 'utf8').match(/^RssAnon:\s+(\d+) kB/m);
    return line ? Number(line[1]) * 1024 : 0;
  } catch { return 0; }
}

function say(message) { process.stdout.write(JSON.stringify(message) + '\n'); }

async function main() {
  const [model, threads, batch, input, channels, height, width] = process.argv.slice(2);
  const size = channels * height * width, b = Number(batch);
  const dims = [b, Number(channels), Number(height), Number(width)];
  const bytes = fs.readFileSync(input);
  const images = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const count = images.length / size;
  // feeds holds the batch that begins with image first; a batch beyond the end is filled up with zeros.
  const feeds = (name, first) => {
    const data = new Float32Array(b * size);
    data.set(images.subarray(first * size, Math.min(first + b, count) * size));
    return { [name]: new ort.Tensor('float32', data, dims) };
  };

  const before = held();
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: Number(threads), interOpNumThreads: 1, executionMode: 'sequential',
    graphOptimizationLevel: 'all', logSeverityLevel: 3,
  });
  const [name] = session.inputNames, [output] = session.outputNames;
  const same = feeds(name, 0);
  await session.run(same);
  say({ ready: true, version, held: Math.max(held() - before, 0) });

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (request.run !== undefined) {
      await session.run(same);
      const ms = [], start = performance.now();
      while (ms.length < 3 || performance.now() - start < request.run * 1000) {
        const begin = performance.now();
        await session.run(same);
        ms.push(performance.now() - begin);
      }
      say({ ms });
    } else if (request.logits) {
      const logits = [];
      for (let first = 0; first < count; first += b) {
        const { data } = (await session.run(feeds(name, first)))[output];
        const each = data.length / b;
        for (const v of data.subarray(0, Math.min(b, count - first) * each)) logits.push(v);
      }
      say({ logits });
    } else {
      say({ error: 'unknown request ' + line });
    }
  }
}

main().catch((e) => { say({ error: String(e && e.stack || e) }); process.exit(1); });
