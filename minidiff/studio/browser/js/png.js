/** A PNG with texts that say how the picture was made, in the form of minidiff/pipelines/png_metadata.py. */

import { crc32 } from "./crc32.js";

const latin = (text) => Uint8Array.from(text, (letter) => letter.codePointAt(0));
const joined = (...parts) => new Uint8Array(parts.flatMap((part) => Array.from(part)));
const number = (value) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);

function chunk(kind, data) {
  const body = joined(latin(kind), data);
  return joined(number(data.length), body, number(crc32(body)));
}

/** tEXt holds Latin-1 alone; Vietnamese needs iTXt, which is UTF-8. */
function text(key, value) {
  if (/^[\n -~\xa0-\xff]*$/.test(value)) return chunk("tEXt", joined(latin(`${key}\0`), latin(value)));
  return chunk("iTXt", joined(latin(`${key}\0\0\0\0\0`), new TextEncoder().encode(value)));
}

async function deflate(data) {
  const stream = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param {ImageData} image  @param {Object<string, string>} texts  @returns {Promise<Blob>} */
export async function png(image, texts) {
  const { data, width, height } = image;
  const rows = new Uint8Array(height * (1 + 3 * width)); // each begins with the number of its filter: 0, none
  for (let y = 0, to = 0; y < height; y++) {
    to++;
    for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++) rows[to++] = data[4 * (y * width + x) + c];
  }
  const header = joined(number(width), number(height), [8, 2, 0, 0, 0]); // 8 bits each of red, green, blue
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", header),
    ...Object.entries(texts).map(([key, value]) => text(key, value)),
    chunk("IDAT", await deflate(rows)),
    chunk("IEND", new Uint8Array(0)),
  ];
  return new Blob(parts, { type: "image/png" });
}

const SAMPLERS = { ddim: "DDIM", dpmpp_2m: "DPM++ 2M" };

/**
 * The texts of one picture: "parameters" as other programs write them, "minidiff" for the studio, which can load it.
 * @param {{prompt: string, seed: number, model: string, sampler: string, steps: number, guidance: number, size: number,
 *   hash: string, version: string}} made
 */
export function texts(made) {
  const facts = {
    Steps: made.steps,
    Sampler: SAMPLERS[made.sampler] ?? made.sampler,
    "CFG scale": made.guidance,
    Seed: made.seed,
    Size: `${made.size}x${made.size}`,
    "Model hash": made.hash.slice(0, 10),
    Model: made.model,
    Version: `minidiff ${made.version}`,
  };
  const line = Object.entries(facts).map(([name, value]) => `${name}: ${value}`);
  const settings = {
    prompt: made.prompt, negative_prompt: "", sampler: made.sampler, steps: made.steps, guidance_scale: made.guidance,
    seed: made.seed, num_images: 1, expand_prompt: false, model: made.model, model_hash: made.hash, version: made.version,
  };
  return { parameters: `${made.prompt}\n${line.join(", ")}`, minidiff: JSON.stringify(settings) };
}
