/** One sentence from four seeds. */

import { clear, paint } from "../picture.js";

const SEEDS = 2 ** 31;

/** @param {import("../app.js").App} app */
export function seedsView(app, panel) {
  const pair = panel.querySelector(".pair");
  const frames = Array.from({ length: 4 }, () => {
    const tags = ["figure", "canvas", "figcaption", "button"];
    const [figure, canvas, caption, keep] = tags.map((tag) => document.createElement(tag));
    canvas.width = canvas.height = 16;
    canvas.setAttribute("role", "img");
    keep.type = "button";
    keep.className = "quiet";
    keep.addEventListener("click", () => app.setSeed(Number(keep.value), "draw"));
    caption.append(keep);
    figure.append(canvas, caption);
    pair.append(figure);
    return { canvas, keep };
  });

  function retell() {
    for (const { keep } of frames) keep.textContent = app.say("use_seed", { seed: keep.value });
  }

  return {
    async show(run) {
      const job = app.job();
      const seeds = frames.map((_, i) => (job.seed + i) % SEEDS);
      frames.forEach(({ canvas, keep }, i) => {
        clear(canvas);
        keep.value = seeds[i];
      });
      retell();
      for (const [i, { canvas }] of frames.entries()) {
        const drawing = await app.draw(run, { ...job, seed: seeds[i] }, canvas, null, i === 0);
        paint(canvas, drawing.image, `${app.say("picture", { prompt: job.prompt })}, seed ${seeds[i]}`);
      }
      app.finished();
    },
    retell,
  };
}
