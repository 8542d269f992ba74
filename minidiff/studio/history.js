/* <minidiff-history>: the pictures of this visit, kept in the page alone. A press brings back a picture with its settings. */
(() => {
  const studio = window.minidiff;
  const MOST = 24; // drawings
  const kept = [];
  let chosen = null;

  /* What was drawn last, when a drawing has ended: the page shows it a moment later. */
  studio.remember = () => setTimeout(() => {
    const drawn = document.querySelector("#results .results[data-settings]");
    if (!drawn) return;
    const settings = drawn.dataset.settings;
    const same = kept.findIndex((one) => one.settings === settings);
    if (same >= 0) kept.splice(same, 1);
    chosen = { settings, html: drawn.outerHTML, picture: drawn.querySelector("img").src };
    kept.unshift(chosen);
    kept.splice(MOST);
    document.querySelector("minidiff-history")?.show();
  }, 150);

  /* The values of Create's controls, its model, "a new seed each time" (off), the pictures, the notice, the LoRAs and a weight
     for each that there is, in that order. */
  studio.recall = () => {
    const { said, loras } = document.querySelector("minidiff-history").dataset;
    const settings = JSON.parse(chosen.settings);
    const strengths = settings.pop();
    const weights = JSON.parse(loras).map((name) => strengths[name] ?? 0.8);
    return [...settings, false, chosen.html, said, Object.keys(strengths), ...weights];
  };

  customElements.define("minidiff-history", class extends HTMLElement {
    connectedCallback() {
      this.retell = () => this.show();
      document.addEventListener("minidiff-language", this.retell);
      this.show();
    }

    disconnectedCallback() {
      document.removeEventListener("minidiff-language", this.retell);
    }

    show() {
      this.hidden = kept.length < 2; // a single picture is on the page anyway
      this.querySelector(".strip").replaceChildren(...kept.map((one) => this.button(one)));
    }

    button(one) {
      const [prompt, , , , , seed] = JSON.parse(one.settings);
      const made = document.createElement("button");
      const image = document.createElement("img");
      Object.assign(image, { src: one.picture, alt: "" });
      made.type = "button";
      made.title = studio.say("history_item", { prompt, seed });
      made.setAttribute("aria-label", made.title);
      made.setAttribute("aria-pressed", one === chosen);
      made.append(image);
      made.addEventListener("click", () => {
        chosen = one;
        document.querySelector("#recall").click();
        this.show();
        this.querySelectorAll("button")[kept.indexOf(one)].focus();
      });
      return made;
    }
  });
})();
