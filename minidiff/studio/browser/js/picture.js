/** Canvases: pictures, the rough colours of latents, and the veil over what no word is looked at for. */

function put(canvas, image, rough) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.classList.toggle("rough", rough);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** @param {HTMLCanvasElement} canvas  @param {ImageData} image  @param {string} label for those who don't see it */
export function paint(canvas, image, label) {
  put(canvas, image, false);
  canvas.setAttribute("aria-label", label);
}

/**
 * A latent as h x w rough colours, at once: a linear map from its channels, which stands in for the VAE.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} latent (C, h, w)
 * @param {{latent_shape: number[], rough: number[][]}} about rough: (C + 1, 3), the last row for a constant 1
 */
export function paintRough(canvas, latent, { latent_shape: [channels, height, width], rough }) {
  const image = new ImageData(width, height);
  const places = width * height;
  for (let i = 0; i < places; i++) {
    for (let colour = 0; colour < 3; colour++) {
      let value = rough[channels][colour];
      for (let c = 0; c < channels; c++) value += rough[c][colour] * latent[c * places + i];
      image.data[4 * i + colour] = value * 127.5 + 127.5;
    }
    image.data[4 * i + 3] = 255;
  }
  put(canvas, image, true);
}

/**
 * Dark where a token is looked at least, clear where it is looked at most.
 * @param {HTMLCanvasElement} canvas  @param {Float32Array} map (side * side,)
 * @returns {{least: number, most: number}} shares of the attention
 */
export function paintVeil(canvas, map) {
  const side = Math.sqrt(map.length);
  const image = new ImageData(side, side);
  const least = Math.min(...map);
  const most = Math.max(...map);
  map.forEach((value, i) => {
    const bright = most > least ? (value - least) / (most - least) : 1;
    image.data.set([10, 12, 20, 208 * (1 - bright)], 4 * i);
  });
  put(canvas, image, true);
  return { least, most };
}

/** Nothing yet. */
export function clear(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  canvas.removeAttribute("aria-label");
}
