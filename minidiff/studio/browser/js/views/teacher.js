/** The student beside its teacher: the same sentence and seed, and what each picture took. */

import { clear, paint } from "../picture.js";
import { number } from "../texts.js";

const BOTH = ["student", "teacher"];

/** @param {import("../app.js").App} app */
export function teacherView(app, panel) {
  const canvases = [...panel.querySelectorAll("canvas")];
  const captions = [...panel.querySelectorAll("figcaption")];
  const drawn = {};

  function caption(who, said) {
    const { steps } = app.engine.about.how[who];
    const name = document.createElement("strong");
    name.textContent = app.say(`${who}_name`, { steps });
    captions[BOTH.indexOf(who)].replaceChildren(name, document.createElement("br"), said);
  }

  function figures(who) {
    if (!drawn[who]) return "…";
    const { seconds, evaluations } = drawn[who];
    return app.say("figures", { seconds: number(seconds, app.lang), evaluations });
  }

  function retell() {
    const { steps, guidance_scale: guidance } = app.engine.about.how.teacher;
    panel.querySelector("#distilled").textContent = app.say("distilled", { steps, guidance });
    for (const who of BOTH) caption(who, figures(who));
  }

  return {
    async show(run) {
      for (const who of BOTH) drawn[who] = null;
      clear(canvases[1]);
      retell();
      for (const [i, who] of BOTH.entries()) {
        const { steps } = app.engine.about.how[who];
        if (who === "teacher") caption(who, app.say("teacher_preparing"));
        const watch = (_, index) => caption(who, app.say("step", { index: index + 1, n: steps }));
        const drawing = await app.draw(run, { ...app.job(), who }, canvases[i], watch, i === 0);
        drawn[who] = drawing;
        paint(canvases[i], drawing.image, `${app.say(`${who}_name`, { steps })}: ${drawing.prompt}`);
        caption(who, figures(who));
      }
      app.finished();
    },
    retell,
  };
}
