/** The worker as the page sees it: promises of drawings and of decoded steps. A new run cancels what was asked before. */

import { Trouble } from "./trouble.js";

const KEPT = 24; // drawings

/** What a drawing or a decoding that nobody waits for any more is rejected with. */
export class Cancelled extends Error {}

/**
 * @typedef {{who: "student" | "teacher", prompt: string, seed: number}} Job
 * @typedef {Job & {reading: import("./tokenizer.js").Reading, steps: import("./draw.js").Step[], image: ImageData,
 *   seconds: number, prepared: number, evaluations: number, decoded: Map<string, Promise<ImageData>>}} Drawing
 *   seconds: of the drawing alone; prepared: what it took before to make its network ready
 * @typedef {{reading?: (reading: object) => void, step?: (step: object, index: number) => void}} Watcher
 */
export class Engine {
  /** @param {(loaded: number, total: number) => void} onProgress */
  constructor(onProgress) {
    this.onProgress = onProgress;
    this.run = 0;
    this.next = 1;
    this.asked = new Map(); // id -> {resolve, reject, watch}
    this.kept = new Map(); // of finished drawings, the last used at the end
    this.about = null;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const trouble = new Trouble("error_unknown", { said: event.message || "worker.js" });
      this.started?.reject(trouble);
      for (const { reject } of this.asked.values()) reject(trouble);
      this.asked.clear();
    };
  }

  /** @returns {Promise<object>} what about.json says, once everything is ready */
  start() {
    return new Promise((resolve, reject) => {
      this.started = { resolve, reject };
      this.worker.postMessage({ kind: "start" });
    });
  }

  receive({ kind, id, ...data }) {
    if (kind === "progress") return this.onProgress(data.loaded, data.total);
    if (kind === "ready") {
      this.about = data.about;
      return this.started.resolve(data.about);
    }
    const waits = id === undefined ? this.started : this.asked.get(id);
    if (!waits) return undefined;
    if (kind === "reading" || kind === "step") return waits.watch(kind, data);
    this.asked.delete(id);
    if (kind === "done") return waits.resolve(data);
    return waits.reject(kind === "cancelled" ? new Cancelled() : new Trouble(data.key, data.values));
  }

  /** A new run: everything that is asked from now on belongs to it, and what was asked before is dropped. */
  begin() {
    this.run += 1;
    this.worker.postMessage({ kind: "run", run: this.run });
    return this.run;
  }

  ask(request, watch = () => undefined) {
    if (request.run !== this.run) return Promise.reject(new Cancelled());
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.asked.set(id, { resolve, reject, watch });
      this.worker.postMessage({ ...request, id });
    });
  }

  image(pixels) {
    const side = this.about.image_size;
    return new ImageData(pixels, side, side);
  }

  /** @param {number} run  @param {Job} job  @param {Watcher} watcher  @returns {Promise<Drawing>} */
  async draw(run, { who, prompt, seed }, watcher = {}) {
    const key = JSON.stringify([who, prompt, seed]);
    if (this.kept.has(key)) {
      const drawing = this.kept.get(key);
      this.keep(key, drawing);
      watcher.reading?.(drawing.reading);
      return drawing;
    }
    const drawing = { who, prompt, seed, steps: [], decoded: new Map() };
    const { pixels, ...figures } = await this.ask({ kind: "draw", run, who, prompt, seed }, (kind, data) => {
      if (run !== this.run) return;
      if (kind === "reading") drawing.reading = data.reading;
      else drawing.steps.push(data.step);
      watcher[kind]?.(data[kind], data.index);
    });
    Object.assign(drawing, figures, { image: this.image(pixels) });
    this.keep(key, drawing);
    if (run !== this.run) throw new Cancelled();
    return drawing;
  }

  keep(key, drawing) {
    this.kept.delete(key);
    this.kept.set(key, drawing);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
  }

  /** What the network saw ("x") or expected ("x0") in a step, through the VAE. @returns {Promise<ImageData>} */
  async decoded(run, drawing, index, which) {
    if (which === "x0" && index === drawing.steps.length - 1) return drawing.image;
    const key = `${which} ${index}`;
    if (!drawing.decoded.has(key)) {
      const asked = this.ask({ kind: "decode", run, latent: drawing.steps[index][which] });
      drawing.decoded.set(key, asked.then(({ pixels }) => this.image(pixels)));
      asked.catch(() => drawing.decoded.delete(key)); // it may be asked for again
    }
    return drawing.decoded.get(key);
  }
}
