/**
 * From a prompt and a seed to pixels, by three networks in ONNX Runtime Web: text, network, vae. The same program in Python is
 * minidiff/pipelines/onnx_runner.py.
 */

import * as ort from "../ort/ort.wasm.min.mjs";
import { load } from "./load.js";
import { randn } from "./randn.js";
import { Tokenizer } from "./tokenizer.js";
import { Trouble } from "./trouble.js";
import { widen } from "./weights.js";

const KEPT_PROMPTS = 32;
const RUNTIME = new URL("../ort/", import.meta.url);
const MODEL = new URL("../model/", import.meta.url);

/**
 * @typedef {"student" | "teacher"} Who
 * @typedef {{x: Float32Array, x0: Float32Array, maps: Float32Array, evaluations: number}} Step
 *   x (C, h, w): what the network saw; x0: the picture that it expects; maps (L, rows, columns): where the picture looks for
 *   each token, <bos> and <eos> among them; evaluations: of the network in this step
 */
export class Painter {
  /** @param {object} about model/about.json */
  constructor(about) {
    this.about = about;
    this.tokenizer = new Tokenizer(about);
    this.sessions = {};
    this.contexts = new Map();
  }

  /** Fetches everything and makes ready what draws at first. @param {(loaded: number, total: number) => void} onProgress */
  async prepare(onProgress) {
    const { parts, student, runtime } = this.about;
    const files = Object.values(parts).flatMap((part) => [part.graph, part.weights]);
    if (student) files.push(student.weights);
    const total = files.reduce((sum, file) => sum + file.bytes, runtime.bytes);
    let loaded = 0;
    const count = (bytes) => onProgress((loaded += bytes), total);
    onProgress(0, total);
    const [program, ...data] = await Promise.all([
      load(new URL(runtime.file, RUNTIME).href, runtime, count),
      ...files.map((file) => load(new URL(file.file, MODEL).href, file, count)),
    ]);
    this.files = new Map(files.map((file, i) => [file.file, data[i]]));
    ort.env.wasm.wasmPaths = RUNTIME.href;
    ort.env.wasm.wasmBinary = program;
    // threads share memory, which browsers allow only to pages that are isolated from others
    this.threads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
    ort.env.wasm.numThreads = this.threads;
    ort.env.logLevel = "error";
    for (const part of ["text", "vae"]) {
      this.sessions[part] = await this.session(part, widen(parts[part], this.file(parts[part].weights)));
    }
    await this.network("student");
    for await (const step of this.steps("student", "a", 0, 1)) await this.decode(step.x0); // the first run is a slow one
  }

  /** What was fetched; all of it is kept, since the teacher's network may still be asked for. */
  file({ file }) {
    return this.files.get(file);
  }

  /** @param {string} part  @param {Float32Array} numbers its large weights */
  session(part, numbers) {
    const { graph, external } = this.about.parts[part];
    return ort.InferenceSession.create(new Uint8Array(this.file(graph)), {
      executionProviders: ["wasm"],
      externalData: [{ path: external, data: new Uint8Array(numbers.buffer) }],
    });
  }

  /** @param {Who} who  @returns {Promise<object>} the session that draws, made when it is first asked for */
  async network(who) {
    const { parts, student } = this.about;
    if (!student) who = "student"; // one network, which needs no update
    if (!this.sessions[who]) {
      const update = who === "student" && student ? [student.layers, this.file(student.weights)] : [];
      this.sessions[who] = await this.session("network", widen(parts.network, this.file(parts.network.weights), ...update));
    }
    return this.sessions[who];
  }

  /**
   * Prompts as the network reads them, kept for the next time.
   * @param {string[]} prompts
   * @returns {Promise<{context: object, mask: object}>} (B, L, D) and (B, L)
   */
  async encode(prompts) {
    const key = JSON.stringify(prompts);
    if (!this.contexts.has(key)) {
      const { ids, mask, shape } = this.tokenizer.encode(prompts);
      const inputs = { ids: new ort.Tensor("int64", ids, shape), mask: new ort.Tensor("bool", mask, shape) };
      const found = await this.sessions.text.run(inputs);
      if (this.contexts.size >= KEPT_PROMPTS) this.contexts.delete(this.contexts.keys().next().value);
      this.contexts.set(key, { context: Object.values(found)[0], mask: inputs.mask });
    }
    return this.contexts.get(key);
  }

  /**
   * Draws, one step at a time. A step is a weighted sum of x, the prediction and the last x0, with the table's weights.
   * @param {Who} who  @param {string} prompt  @param {number} seed  @param {number} [most] steps to do, of all
   * @returns {AsyncGenerator<Step>}
   */
  async *steps(who, prompt, seed, most = Infinity) {
    const { how, samplers, latent_shape: shape } = this.about;
    const { sampler, steps, guidance_scale: scale } = how[who];
    const session = await this.network(who);
    const { context, mask } = await this.encode(scale === 1 ? [prompt] : [prompt, ""]);
    const [batch, length] = mask.dims;
    const size = shape.reduce((product, side) => product * side, 1);
    let x = randn(seed, size);
    let before = new Float32Array(size);
    for (const [time, p, q, a, b, c] of samplers[sampler][steps].slice(0, most)) {
      const both = new Float32Array(batch * size);
      for (let i = 0; i < batch; i++) both.set(x, i * size);
      const { prediction, maps } = named(session, await session.run({
        x: new ort.Tensor("float32", both, [batch, ...shape]),
        timestep: new ort.Tensor("float32", new Float32Array(batch).fill(time), [batch]),
        context,
        mask,
      }));
      const guided = prediction.data.slice(0, size);
      if (scale !== 1) {
        for (let i = 0; i < size; i++) guided[i] = guided[i] * scale + prediction.data[size + i] * (1 - scale);
      }
      const x0 = x.map((value, i) => p * value + q * guided[i]);
      yield { x, x0, maps: maps.data.slice(0, maps.data.length / batch), length, evaluations: batch };
      x = x.map((value, i) => a * value + b * guided[i] + c * before[i]);
      before = x0;
    }
  }

  /** @param {Float32Array} latent (C, h, w)  @returns {Promise<Uint8ClampedArray>} its pixels (H, W, 4) */
  async decode(latent) {
    const { latent_shape: shape } = this.about;
    const found = await this.sessions.vae.run({ latents: new ort.Tensor("float32", latent, [1, ...shape]) });
    const [{ data }] = Object.values(found);
    const count = data.length / 3;
    const pixels = new Uint8ClampedArray(4 * count).fill(255);
    for (let c = 0; c < 3; c++) {
      for (let i = 0; i < count; i++) {
        const value = data[c * count + i];
        if (!Number.isFinite(value)) throw new Trouble("error_numbers");
        pixels[4 * i + c] = Math.round(Math.min(Math.max(value, -1), 1) * 127.5 + 127.5);
      }
    }
    return pixels;
  }
}

/** The network's two outputs, in the order of the graph, whatever they are called. */
function named(session, outputs) {
  const [prediction, maps] = session.outputNames.map((output) => outputs[output]);
  return { prediction, maps };
}
