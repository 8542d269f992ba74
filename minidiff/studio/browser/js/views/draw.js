/** One picture, as large as there is room, and its PNG. */

import { paint } from "../picture.js";
import { png, texts } from "../png.js";

/** @param {import("../app.js").App} app */
export function drawView(app, panel) {
  const canvas = panel.querySelector("canvas");
  const button = panel.querySelector("button");
  let shown = null;

  button.addEventListener("click", async () => {
    const address = URL.createObjectURL(await file(app.engine.about, shown));
    const link = document.createElement("a");
    link.href = address;
    link.download = `minidiff-${shown.seed}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  });

  return {
    async show(run) {
      button.disabled = true;
      shown = await app.draw(run, app.job(), canvas);
      paint(canvas, shown.image, app.say("picture", { prompt: shown.prompt }));
      button.disabled = false;
      app.finished(shown);
    },
  };
}

/** @returns {Promise<Blob>} a drawing as a PNG that says how it was made */
export function file(about, { who, prompt, seed, image }) {
  const { sampler, steps, guidance_scale: guidance } = about.how[who];
  const { version, model_hash: hash, image_size: size } = about;
  const model = who === "student" ? about.model : about.teacher;
  return png(image, texts({ prompt, seed, model, sampler, steps, guidance, hash, version, size }));
}
