/**
 * From the files' small numbers to the float32 numbers that ONNX Runtime wants, and the update that makes the teacher's
 * network the student's. about.json says where each tensor lies (studio/export_web.py, write_part).
 *
 * @typedef {{kind: string, at: number}} Stored how numbers are stored, and where in the file, in bytes
 * @typedef {Stored & {name: string, transposed: boolean, shape: number[], offset: number}} Row
 *   offset: where it begins among the float32 numbers
 * @typedef {{floats: number, tensors: Row[]}} Part
 */

/** All 65536 numbers of IEEE half precision, by their bits. */
const HALVES = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
});

/** A tensor's rows as the file holds them: a row for each output. @returns {(row: number, line: Float32Array) => void} */
function reader({ kind, at }, file, rows, columns) {
  if (kind !== "int8") {
    const bits = new Uint16Array(file, at, rows * columns);
    return (row, line) => line.forEach((_, column) => (line[column] = HALVES[bits[row * columns + column]]));
  }
  const scales = new Float32Array(file, at, rows);
  const whole = new Int8Array(file, at + 4 * rows, rows * columns);
  return (row, line) => {
    for (let column = 0; column < columns; column++) line[column] = scales[row] * whole[row * columns + column];
  };
}

/** @returns {Float32Array} (rows * columns,) */
function matrix(stored, file, rows, columns) {
  const numbers = new Float32Array(rows * columns);
  const read = reader(stored, file, rows, columns);
  for (let row = 0; row < rows; row++) read(row, numbers.subarray(row * columns, (row + 1) * columns));
  return numbers;
}

/** Adds row after row of up @ down. @returns {(row: number, line: Float32Array) => void} */
function updater(layer, file, rows, columns) {
  const { rank } = layer;
  const down = matrix(layer.down, file, rank, columns);
  const up = matrix(layer.up, file, rows, rank);
  return (row, line) => {
    for (let r = 0; r < rank; r += 4) { // four at once, which takes half the time; those beyond the rank count for nothing
      const [a, b, c, d] = [0, 1, 2, 3].map((i) => (r + i < rank ? up[row * rank + r + i] : 0));
      const [p, q, s, t] = [0, 1, 2, 3].map((i) => Math.min(r + i, rank - 1) * columns);
      for (let i = 0; i < columns; i++) line[i] += a * down[p + i] + b * down[q + i] + c * down[s + i] + d * down[t + i];
    }
  };
}

/**
 * Every large tensor of a network in its graph's shape, one after another.
 * @param {Part} part
 * @param {ArrayBuffer} file its weights
 * @param {{tensor: string, rank: number, down: Stored, up: Stored}[]} [layers] that a LoRA changes: W (out, in) += up @ down
 * @param {ArrayBuffer} [update] the LoRA's file: of each layer down (rank, in) and up (out, rank)
 * @returns {Float32Array} (part.floats,)
 */
export function widen(part, file, layers = [], update = null) {
  const buffer = new Float32Array(part.floats);
  const changed = new Map(layers.map((layer) => [layer.tensor, layer]));
  for (const tensor of part.tensors) {
    const size = tensor.shape.reduce((product, side) => product * side, 1);
    const rows = tensor.transposed ? tensor.shape[1] : tensor.shape[0];
    const columns = size / rows;
    const line = new Float32Array(columns);
    const read = reader(tensor, file, rows, columns);
    const add = changed.has(tensor.name) ? updater(changed.get(tensor.name), update, rows, columns) : null;
    for (let row = 0; row < rows; row++) {
      read(row, line);
      add?.(row, line);
      if (!tensor.transposed) buffer.set(line, tensor.offset + row * columns);
      else for (let column = 0; column < columns; column++) buffer[tensor.offset + column * rows + row] = line[column];
    }
  }
  return buffer;
}
