/** The page: what was written and chosen, which view is shown, and what is said about it. */

import { Cancelled, Engine } from "./engine.js";
import { paintRough } from "./picture.js";
import { EXAMPLES, LESSONS, number, say } from "./texts.js";
import { asTrouble, Trouble } from "./trouble.js";
import { changeView } from "./views/change.js";
import { drawView } from "./views/draw.js";
import { seedsView } from "./views/seeds.js";
import { stepsView } from "./views/steps.js";
import { teacherView } from "./views/teacher.js";
import { wordsView } from "./views/words.js";

const PAUSE = 250; // ms after the last letter
const MOST_SEED = 2 ** 31 - 1;
const VIEWS = {
  draw: drawView, steps: stepsView, words: wordsView, change: changeView, seeds: seedsView, teacher: teacherView,
};
const $ = (id) => document.getElementById(id);

/** What a reader chose, where the browser allows to keep it. */
const kept = {
  get(key) {
    try {
      return localStorage.getItem(`minidiff-${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`minidiff-${key}`, value);
    } catch {
      // it then holds until the page is closed
    }
  },
};

export class App {
  constructor() {
    const wanted = kept.get("language") ?? navigator.language.slice(0, 2);
    this.lang = wanted === "vi" ? "vi" : "en";
    this.view = "draw";
    this.step = Infinity; // the last one, until another is chosen
    this.ready = false;
    this.told = {}; // what is said where, as [key, values], to be said again in the other language
    this.reading = null;
    this.caught = (error) => this.fail(error);
    this.last = null;
    this.wire();
    this.retell();
  }

  say(key, values) {
    return say(key, this.lang, values);
  }

  trouble(key, values) {
    return new Trouble(key, values);
  }

  // ------------------------------------------------------------------------------------------------- what the views use

  /** What is asked for now. @returns {import("./engine.js").Job} Throws a Trouble for what can't be drawn. */
  job() {
    const prompt = $("prompt").value.trim();
    const text = $("seed").value.trim();
    if (!prompt) throw new Trouble("empty");
    if (!/^\d{1,10}$/.test(text) || Number(text) > MOST_SEED) throw new Trouble("bad_seed");
    return { who: "student", prompt, seed: Number(text) };
  }

  /**
   * Draws, with the rough colours of every step on a canvas.
   * @param {number} run
   * @param {import("./engine.js").Job} job
   * @param {HTMLCanvasElement} canvas
   * @param {(step: object, index: number) => void} [watch]
   * @param {boolean} [first] whether it is the sentence of the prompt's box, about which the note is
   */
  async draw(run, job, canvas, watch, first = true) {
    const { steps } = this.engine.about.how[job.who];
    const drawing = await this.engine.draw(run, job, {
      reading: (reading) => first && this.note(reading),
      step: (step, index) => {
        paintRough(canvas, step.x0, this.engine.about);
        $("bar").value = (index + 1) / steps;
        watch?.(step, index);
      },
    });
    this.last = drawing;
    return drawing;
  }

  /** A view has all its pictures. @param {object} [drawing] the only one, whose figures are said */
  finished(drawing) {
    $("bar").value = 0;
    if (!drawing) return this.tell("status", "all_drawn");
    return this.tell("status", "drawn", { seconds: drawing.seconds, evaluations: drawing.evaluations });
  }

  strangers({ words }) {
    const unknown = [...new Set(words.filter((word) => word.unknown).map((word) => word.text))];
    return unknown.length ? this.say("unknown", { words: unknown.join(", ") }) : "";
  }

  redrawOnInput(box) {
    box.addEventListener("input", () => this.later());
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return; // which Enter ends a word of an input method
      event.preventDefault();
      this.redraw();
    });
  }

  setSeed(seed, view = this.view) {
    $("seed").value = seed;
    this.show(view);
  }

  // ------------------------------------------------------------------------------------------------------ what is said

  /** Says a text in one of the page's places, now and after the language was switched. */
  tell(id, key, values = {}) {
    this.told[id] = [key, values];
    const plain = (value) => (Number.isInteger(value) || typeof value === "string" ? value : number(value, this.lang));
    const shown = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, plain(value)]));
    $(id).textContent = key ? this.say(key, shown) : "";
    if (id === "alert") $(id).hidden = !key;
  }

  note(reading) {
    this.reading = reading;
    const rest = reading.unread.length > 60 ? `${reading.unread.slice(0, 60)} …` : reading.unread;
    const cut = rest && this.say("unread", { most: this.engine.about.max_tokens, rest });
    $("note").replaceChildren(...[cut, this.strangers(reading)].filter(Boolean).map((text) => {
      const line = document.createElement("span");
      line.textContent = text;
      return line;
    }));
  }

  /** Every text in the language that is chosen. */
  retell() {
    document.documentElement.lang = this.lang;
    document.title = `minidiff: ${this.say("title")}`;
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = this.say(element.dataset.text);
    for (const element of document.querySelectorAll("[data-label]")) {
      element.setAttribute("aria-label", this.say(element.dataset.label));
    }
    for (const button of [$("theme"), $("dice")]) button.title = button.getAttribute("aria-label");
    $("prompt").placeholder = this.say("placeholder");
    $("language").textContent = this.say("language");
    $("language").lang = this.lang === "vi" ? "en" : "vi";
    for (const [id, [key, values]] of Object.entries(this.told)) this.tell(id, key, values);
    if (!this.ready) return;
    if (this.reading) this.note(this.reading);
    this.link();
    for (const view of Object.values(this.views)) view.retell?.();
  }

  link() {
    const { course } = this.engine.about;
    $("lesson").hidden = !course;
    $("lesson").firstElementChild.href = course ? `${course}/${this.lang}/${LESSONS[this.view]}.ipynb` : "#";
  }

  fail(error) {
    if (error instanceof Cancelled) return;
    const { key, values } = asTrouble(error);
    if (key === "empty") $("note").replaceChildren();
    $("bar").value = 0;
    this.tell("status", "");
    this.tell(key === "empty" ? "status" : "alert", key, values);
  }

  // ------------------------------------------------------------------------------------------------------ what is done

  /** Draws what is asked for now, in the view that is shown; whatever was being drawn is dropped. */
  async redraw() {
    clearTimeout(this.timer);
    if (!this.ready) return;
    const run = this.engine.begin();
    this.tell("alert", "");
    this.tell("status", "drawing");
    $("bar").value = 0;
    try {
      this.job();
      await this.views[this.view].show(run);
    } catch (error) {
      if (run === this.engine.run) this.fail(error);
    }
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.redraw(), PAUSE);
  }

  show(view) {
    this.view = view;
    document.querySelectorAll("[role=tab]").forEach((tab) => {
      const chosen = tab.dataset.view === view;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      $(tab.dataset.view).hidden = !chosen || !this.ready;
    });
    if (this.ready) this.link();
    this.redraw();
  }

  wire() {
    $("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.redraw();
    });
    this.redrawOnInput($("prompt"));
    this.redrawOnInput($("seed"));
    $("dice").addEventListener("click", () => this.setSeed(crypto.getRandomValues(new Uint32Array(1))[0] >>> 1));
    $("language").addEventListener("click", () => {
      this.lang = this.lang === "vi" ? "en" : "vi";
      kept.set("language", this.lang);
      this.retell();
    });
    $("theme").addEventListener("click", () => {
      const { dataset } = document.documentElement;
      const dark = dataset.theme ? dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      dataset.theme = dark ? "light" : "dark";
      kept.set("theme", dataset.theme);
    });
    $("examples").append(...EXAMPLES.map((example) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = example;
      button.addEventListener("click", () => {
        $("prompt").value = example;
        this.redraw();
      });
      return button;
    }));
    const tabs = [...document.querySelectorAll("[role=tab]")];
    for (const tab of tabs) {
      tab.id = `tab-${tab.dataset.view}`;
      tab.setAttribute("aria-controls", tab.dataset.view);
      $(tab.dataset.view).setAttribute("aria-labelledby", tab.id);
      tab.addEventListener("click", () => this.show(tab.dataset.view));
      tab.addEventListener("keydown", ({ key }) => {
        const shown = tabs.filter((one) => !one.hidden);
        const move = { ArrowRight: 1, ArrowLeft: -1 }[key];
        if (!move) return;
        const next = shown[(shown.indexOf(tab) + move + shown.length) % shown.length];
        next.focus();
        this.show(next.dataset.view);
      });
    }
    $("prompt").value = EXAMPLES[this.lang === "vi" ? 1 : 0];
  }

  async start() {
    $("boot").hidden = true;
    document.querySelectorAll("main, footer").forEach((element) => (element.hidden = false));
    const theme = kept.get("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    this.show("draw");
    this.tell("loading-text", "loading");
    try {
      await keepOffline();
      this.engine = new Engine((loaded, total) => this.progress(loaded, total));
      const about = await this.engine.start();
      this.views = Object.fromEntries(Object.entries(VIEWS).map(([name, make]) => [name, make(this, $(name))]));
      $("tab-teacher").hidden = !about.student;
      this.ready = true;
      const { model, version, threads, numbers } = about;
      this.tell("about", "about", { model, version, threads, million: numbers / 1e6 });
      this.retell();
      this.show(this.view);
    } catch (error) {
      this.fail(error);
    } finally {
      $("loading").hidden = true;
    }
  }

  progress(loaded, total) {
    $("loading-bar").value = loaded / total;
    const megabytes = (bytes) => number(bytes / 1e6, this.lang);
    this.tell("loading-text", loaded < total ? "loading" : "preparing");
    this.tell("loading-size", loaded < total ? "loading_size" : "", { loaded: megabytes(loaded), total: megabytes(total) });
  }
}

/** Waits for the service worker, so that it keeps what is fetched next; two seconds at most: nothing depends on it. */
async function keepOffline() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  const controlled = new Promise((resolve) => serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
  const late = new Promise((resolve) => setTimeout(resolve, 2000));
  try {
    const { waiting } = await serviceWorker.register("sw.js");
    if (serviceWorker.controller && !waiting) return;
    waiting?.postMessage("take over"); // a newer export, found at the last visit
    const changed = await Promise.race([controlled, late]);
    if (!waiting || !changed) return;
    location.reload();
    await new Promise(() => undefined); // nothing more of the old page
  } catch {
    // private windows may refuse it
  }
}

const app = new App();
window.minidiff = app; // for the console, and for tests
app.start();
