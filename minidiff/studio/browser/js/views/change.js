/** The same noise under two sentences that differ in a word. */

import { paint } from "../picture.js";
import { EXCHANGES } from "../texts.js";

/** The sentence with one word exchanged; as it was, where no word is known. */
export function exchanged(prompt) {
  const text = prompt.normalize("NFC");
  for (const [word, other] of EXCHANGES) {
    const found = new RegExp(`(?<!\\p{L})${word}(?!\\p{L})`, "iu");
    if (found.test(text)) return text.replace(found, other);
  }
  return text;
}

/** The words of `text`, those marked that stand between what it has in common with `other` at its beginning and end. */
function marked(text, other) {
  const [words, others] = [text.split(/\s+/), other.split(/\s+/)];
  const shorter = Math.min(words.length, others.length);
  let head = 0;
  while (head < shorter && words[head] === others[head]) head++;
  let tail = 0;
  while (tail < shorter - head && words.at(-1 - tail) === others.at(-1 - tail)) tail++;
  const mark = document.createElement("mark");
  mark.textContent = words.slice(head, words.length - tail).join(" ");
  return [`${words.slice(0, head).join(" ")} `, mark, ` ${words.slice(words.length - tail).join(" ")}`];
}

/** @param {import("../app.js").App} app */
export function changeView(app, panel) {
  const second = panel.querySelector("textarea");
  const canvases = [...panel.querySelectorAll("canvas")];
  const captions = [...panel.querySelectorAll("figcaption")];
  let before = null; // the prompt that the second sentence was made of
  app.redrawOnInput(second);

  return {
    async show(run) {
      const { prompt, seed } = app.job();
      if (before !== prompt) second.value = exchanged(prompt);
      before = prompt;
      const prompts = [prompt, second.value.trim()];
      prompts.forEach((text, i) => captions[i].replaceChildren(...marked(text, prompts[1 - i])));
      for (const [i, text] of prompts.entries()) {
        if (!text) throw app.trouble("empty");
        const drawing = await app.draw(run, { ...app.job(), prompt: text, seed }, canvases[i], null, i === 0);
        paint(canvases[i], drawing.image, app.say("picture", { prompt: text }));
      }
      app.finished();
    },
  };
}
