/** The sentence as the model reads it, and where in the picture each piece of it is looked at. */

import { paint, paintRough, paintVeil } from "../picture.js";
import { number } from "../texts.js";
import { scrubber } from "./steps.js";

/** @param {import("../app.js").App} app */
export function wordsView(app, panel) {
  const [looked, veil] = panel.querySelectorAll("canvas");
  const tokens = panel.querySelector("#tokens");
  let drawing = null;
  let current = 0;
  let chosen = 0; // place among the tokens, <bos> being 0
  const scrub = scrubber(app, panel, look);

  /** The map of a token in a step: (rows * columns,). */
  function map(token, step = drawing.steps[app.step]) {
    const places = step.maps.length / step.length;
    return step.maps.subarray(token * places, (token + 1) * places);
  }

  /** The piece that stands out most at the end: a better beginning than the first, which is often "a". */
  function telling() {
    const contrast = drawing.reading.tokens.map((_, i) => {
      const shares = map(i + 1, drawing.steps.at(-1));
      return Math.max(...shares) - Math.min(...shares);
    });
    return 1 + Math.max(contrast.indexOf(Math.max(...contrast)), 0);
  }

  async function look() {
    const step = drawing.steps[app.step];
    const label = app.say("picture", { prompt: drawing.prompt });
    tokens.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", Number(button.value) === chosen));
    const { least, most } = paintVeil(veil, map(chosen));
    panel.querySelector("#least").textContent = `${number(100 * least, app.lang)} %`;
    panel.querySelector("#most").textContent = `${number(100 * most, app.lang)} %`;
    paintRough(looked, step.x0, app.engine.about);
    const image = await app.engine.decoded(current, drawing, app.step, "x0").catch(app.caught);
    if (image && drawing.steps[app.step] === step) paint(looked, image, label);
  }

  function button(text, place, extra = "") {
    const made = document.createElement("button");
    made.type = "button";
    made.value = place;
    made.className = `token ${extra}`;
    made.textContent = text;
    made.addEventListener("click", () => {
      chosen = place;
      look();
    });
    return made;
  }

  /** Buttons of the tokens, those of a word side by side. */
  function list() {
    const { reading } = drawing;
    const groups = reading.words.map(({ unknown }) => {
      const group = document.createElement("span");
      group.className = unknown ? "word unknown" : "word";
      return group;
    });
    reading.tokens.forEach(({ text, word }, i) => groups[word].append(button(text, i + 1)));
    const last = reading.tokens.length + 1;
    tokens.replaceChildren(button(app.say("begin"), 0, "edge"), ...groups, button(app.say("end"), last, "edge"));
    panel.querySelector("#unknown").textContent = app.strangers(reading);
  }

  return {
    async show(run) {
      const drawn = await app.draw(run, app.job(), looked, () => veil.getContext("2d").clearRect(0, 0, 8, 8));
      current = run;
      if (drawing !== drawn) {
        drawing = drawn;
        chosen = telling();
      }
      list();
      scrub.set(drawn);
      app.finished(drawn);
      await look();
    },
    retell() {
      scrub.retell();
      if (drawing) {
        list();
        look();
      }
    },
  };
}
