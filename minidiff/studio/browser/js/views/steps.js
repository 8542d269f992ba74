/** Every step: what the network saw, and what it expected. The scrubber is shared with the words. */

import { paint, paintRough } from "../picture.js";

/** Wires a panel's scrubber. @returns {{set: (drawing: object) => void, index: () => number, retell: () => void}} */
export function scrubber(app, panel, onMove) {
  const range = panel.querySelector("input[type=range]");
  const text = panel.querySelector(".scrub-text");
  const retell = () => {
    text.textContent = app.say("step", { index: range.value, n: range.max });
    range.setAttribute("aria-valuetext", text.textContent);
  };
  range.addEventListener("input", () => {
    app.step = range.value - 1;
    retell();
    onMove();
  });
  return {
    set(drawing) {
      range.max = drawing.steps.length;
      app.step = Math.min(app.step, drawing.steps.length - 1);
      range.value = app.step + 1;
      retell();
    },
    retell,
  };
}

/** @param {import("../app.js").App} app */
export function stepsView(app, panel) {
  const [noisy, expected] = panel.querySelectorAll("canvas");
  const strip = panel.querySelector("#strip");
  let drawing = null;
  let current = 0; // the run that may decode
  const scrub = scrubber(app, panel, look);

  /** The step that is chosen: in rough colours at once, then through the VAE. */
  async function look() {
    const index = app.step;
    const step = drawing.steps[index];
    [...strip.children].forEach((button, i) => button.setAttribute("aria-pressed", i === index));
    await Promise.all([[noisy, "x", "noisy"], [expected, "x0", "expected"]].map(async ([canvas, which, key]) => {
      const label = `${app.say(key)}, ${app.say("step", { index: index + 1, n: drawing.steps.length })}`;
      paintRough(canvas, step[which], app.engine.about);
      canvas.setAttribute("aria-label", label);
      const image = await app.engine.decoded(current, drawing, index, which).catch(app.caught);
      if (image && drawing.steps[app.step] === step) paint(canvas, image, label);
    }));
  }

  function thumbnail(step, index) {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    button.type = "button";
    button.setAttribute("aria-label", app.say("step", { index: index + 1, n: drawing.steps.length }));
    paintRough(canvas, step.x0, app.engine.about);
    button.append(canvas);
    button.addEventListener("click", () => {
      app.step = index;
      scrub.set(drawing);
      look();
    });
    return button;
  }

  return {
    async show(run) {
      const drawn = await app.draw(run, app.job(), expected);
      [drawing, current] = [drawn, run];
      strip.replaceChildren(...drawn.steps.map(thumbnail));
      scrub.set(drawn);
      app.finished(drawn);
      await look();
      for (let i = 0; i < drawn.steps.length && app.engine.run === run; i++) { // the others, while nobody asks for more
        await app.engine.decoded(run, drawn, i, "x0").catch(app.caught);
        await app.engine.decoded(run, drawn, i, "x").catch(app.caught);
      }
    },
    retell: scrub.retell,
  };
}
