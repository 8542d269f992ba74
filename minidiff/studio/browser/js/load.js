/** Files of the folder: read piece by piece, so that progress can be shown, and checked by length and checksum. */

import { crc32 } from "./crc32.js";
import { Trouble } from "./trouble.js";

/** @typedef {{file: string, bytes: number, crc32: number}} Checked */

/** A kept copy that is damaged must not come back at the next visit. */
async function forget(url) {
  if (!("caches" in globalThis)) return;
  for (const name of await caches.keys()) await (await caches.open(name)).delete(url);
}

async function ask(url, cache) {
  let response;
  try {
    response = await fetch(url, { cache });
  } catch {
    throw new Trouble("error_missing", { file: name(url) });
  }
  if (!response.ok) throw new Trouble("error_missing", { file: name(url) });
  return response;
}

const name = (url) => new URL(url).pathname.split("/").at(-1);

/** @returns {Promise<ArrayBuffer>} of `bytes` bytes; onBytes is called with the number of each piece's bytes */
async function read(url, { bytes, crc32: wanted }, onBytes, cache) {
  const response = await ask(url, cache);
  const data = new Uint8Array(bytes);
  const damaged = new Trouble("error_damaged", { file: name(url) });
  let at = 0;
  try {
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > bytes) {
        await reader.cancel();
        throw damaged;
      }
      data.set(value, at);
      at += value.length;
      onBytes(value.length);
    }
  } catch (error) {
    throw error === damaged ? damaged : new Trouble("error_missing", { file: name(url) }); // the line broke
  }
  if (at !== bytes || crc32(data) !== wanted) throw damaged;
  return data.buffer;
}

/**
 * A file of the folder. A damaged one is asked for once more, past every cache.
 * @param {string} url  @param {Checked} checked  @param {(bytes: number) => void} onBytes  @returns {Promise<ArrayBuffer>}
 */
export async function load(url, checked, onBytes) {
  let told = 0;
  const count = (bytes) => onBytes(((told += bytes), bytes));
  try {
    return await read(url, checked, count, "default");
  } catch (error) {
    if (error.key !== "error_damaged") throw error;
    await forget(url);
    onBytes(-told);
    return read(url, checked, onBytes, "reload");
  }
}

/** about.json, which says what else there is. @returns {Promise<object>} */
export async function loadAbout(url, format) {
  const response = await ask(url, "default");
  let about;
  try {
    about = await response.json();
  } catch {
    await forget(url);
    throw new Trouble("error_damaged", { file: name(url) });
  }
  if (about?.format !== format) throw new Trouble("error_format", { format: String(about?.format).slice(0, 40) });
  return about;
}
