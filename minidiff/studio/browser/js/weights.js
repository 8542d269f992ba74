/**
 * From the files' small numbers to the float32 numbers that ONNX Runtime wants, and the update that makes the teacher's
 * network the student's. about.json says where each tensor lies (studio/export_web.py, write_part).
 *
 * @typedef {{name: string, transposed: boolean, shape: number[], offset: number, kind: string, at: number}} Row
 *   offset: where it begins among the float32 numbers; at: where in the file, in bytes
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

const halves = (file, at, count) => Float32Array.from(new Uint16Array(file, at, count), (bits) => HALVES[bits]);

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

/** Adds row after row of up @ down. @returns {(row: number, line: Float32Array) => void} */
function updater({ rank, at }, file, rows, columns) {
  const down = halves(file, at, rank * columns); // (rank, columns)
  const up = halves(file, at + 2 * rank * columns, rows * rank); // (rows, rank)
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
 * @param {{tensor: string, rank: number, at: number}[]} [layers] that a LoRA changes: W (out, in) += up @ down
 * @param {ArrayBuffer} [update] the LoRA, float16: of each layer down (rank, in), then up (out, rank)
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
