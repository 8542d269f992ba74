/**
 * Where everything is computed, so that the page never freezes. It is sent
 *   {kind: "start"}                                          and answers with progress, then ready (what about.json says)
 *   {kind: "run", run}                                       all that was asked for under an earlier run is dropped
 *   {kind: "draw", id, run, who, prompt, seed}               and answers with reading, step, step, ..., done
 *   {kind: "decode", id, run, latent}                        and answers with done, after drawings that wait
 * Every answer bears the id; a request that was dropped is answered with "cancelled", one that failed with "failed".
 */

import { loadAbout } from "./load.js";
import { asTrouble, Trouble } from "./trouble.js";

const FORMAT = "minidiff-web-2";
// (module (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)): valid where there are SIMD instructions
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

let painter = null;
let latest = 0;
let waiting = [];
let busy = false;

const tell = (kind, values, moved = []) => postMessage({ kind, ...values }, moved);
const rest = () => new Promise((resolve) => setTimeout(resolve)); // lets messages in

class Cancelled extends Error {}

async function check(run) {
  await rest();
  if (run !== latest) throw new Cancelled();
}

async function start() {
  if (typeof WebAssembly !== "object") throw new Trouble("error_wasm");
  if (!WebAssembly.validate(SIMD)) throw new Trouble("error_simd");
  const about = await loadAbout(new URL("../model/about.json", import.meta.url).href, FORMAT);
  const { Painter } = await import("./draw.js"); // not before it is known that it can run here
  painter = new Painter(about);
  await painter.prepare((loaded, total) => tell("progress", { loaded, total }));
  const { tokenizer, words, parts, samplers, ...rest } = about;
  const numbers = Object.values(parts).reduce((sum, part) => sum + part.floats, 0);
  tell("ready", { about: { ...rest, student: Boolean(about.student), numbers, threads: painter.threads } });
}

async function draw({ id, run, who, prompt, seed }) {
  tell("reading", { id, reading: painter.tokenizer.read(prompt) });
  const started = performance.now();
  let evaluations = 0;
  let last;
  await check(run);
  await painter.network(who); // making it ready is no part of the drawing's time
  const begun = performance.now();
  let index = 0;
  for await (const step of painter.steps(who, prompt, seed)) {
    evaluations += step.evaluations;
    last = step.x0;
    tell("step", { id, index: index++, step });
    await check(run);
  }
  const pixels = await painter.decode(last);
  const times = { seconds: (performance.now() - begun) / 1000, prepared: (begun - started) / 1000 };
  tell("done", { id, pixels, evaluations, ...times }, [pixels.buffer]);
}

async function decode({ id, run, latent }) {
  await check(run);
  const pixels = await painter.decode(latent);
  tell("done", { id, pixels }, [pixels.buffer]);
}

/** One request after another: drawings first, then what was asked for last, since that is looked at now. */
async function work() {
  if (busy) return;
  busy = true;
  while (waiting.length) {
    const [request] = waiting.splice(waiting.findIndex((one) => one.kind === "draw"), 1); // -1 is the last one
    try {
      if (request.run !== latest) throw new Cancelled();
      await (request.kind === "draw" ? draw(request) : decode(request));
    } catch (error) {
      if (error instanceof Cancelled) tell("cancelled", { id: request.id });
      else fail(error, request.id);
    }
  }
  busy = false;
}

function fail(error, id) {
  const { key, values } = asTrouble(error);
  tell("failed", { id, key, values });
}

addEventListener("message", ({ data }) => {
  if (data.kind === "start") start().catch((error) => fail(error));
  else if (data.kind === "run") latest = data.run;
  else {
    waiting.push(data);
    work();
  }
});
