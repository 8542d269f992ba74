/* <minidiff-inside>: a drawing that was looked into, shown moment by moment. The server made everything once; nothing here asks
   it again. Each <… data-show="name"> is filled by the function that belongs to its name. */
(() => {
  const { say, number } = window.minidiff;
  const BEAT = 420; // ms that a moment is shown for while it plays

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

  customElements.define("minidiff-inside", class extends HTMLElement {
    static observedAttributes = ["data-inside"];

    attributeChangedCallback(_, before) {
      if (before !== null && this.isConnected) this.begin();
    }

    connectedCallback() {
      this.retell = () => this.speak();
      document.addEventListener("minidiff-language", this.retell);
      this.addEventListener("input", this);
      this.addEventListener("click", this);
      this.begin();
    }

    disconnectedCallback() {
      document.removeEventListener("minidiff-language", this.retell);
      this.removeEventListener("input", this);
      this.removeEventListener("click", this);
      clearInterval(this.playing);
    }

    find(name) {
      return this.querySelector(`[data-show="${name}"]`);
    }

    begin() {
      this.told = JSON.parse(new TextDecoder().decode(bytes(this.dataset.inside)));
      this.range = this.querySelector("input[type=range]");
      this.place = this.told.moments.length - 1;
      this.range.value = this.place;
      const { attention } = this.told;
      this.maps = attention && bytes(attention.maps);
      this.layer = this.head = -1; // the mean
      if (attention) this.chosen = this.telling();
      this.speak();
    }

    /* All that holds words of the page's language. */
    speak() {
      if (this.maps) {
        this.listWords();
        this.pickers();
      }
      this.look();
    }

    handleEvent(event) {
      if (event.type === "input" && event.target === this.range) this.go(Number(this.range.value));
      if (event.type === "input" && event.target.dataset.pick) {
        this[event.target.dataset.pick] = Number(event.target.value);
        this.lookAtWords();
      }
      const button = event.type === "click" ? event.target.closest("button") : null;
      if (button?.dataset.columns) this.choose(button.dataset.columns.split(" ").map(Number));
      if (button?.dataset.do === "play") this.play();
    }

    go(place) {
      this.place = place;
      this.range.value = place;
      this.look();
    }

    /* From the noise to the picture, once. */
    play() {
      const sign = this.querySelector(".play .sign");
      if (this.playing) {
        clearInterval(this.playing);
        this.playing = null;
        sign.textContent = "▶";
        return;
      }
      sign.textContent = "❚❚";
      this.go(0);
      this.playing = setInterval(() => {
        if (this.place + 1 < this.told.moments.length) this.go(this.place + 1);
        if (this.place + 1 === this.told.moments.length) this.play();
      }, BEAT);
    }

    look() {
      const moment = this.told.moments[this.place];
      const now = say("inside_now", { step: moment.step, n: this.told.n, noise: moment.noise });
      this.querySelector(".now").textContent = now;
      this.range.setAttribute("aria-valuetext", now);
      this.find("x").src = moment.x;
      this.find("x0").src = moment.x0;
      moment.channels.forEach((row, which) => this.channels(this.find(`channels-${which}`), row));
      this.compare();
      if (this.maps) this.lookAtWords();
      const svg = this.querySelector(".curves");
      const x = svg.dataset.places.split(" ")[this.place];
      svg.querySelector(".here").setAttribute("x1", x);
      svg.querySelector(".here").setAttribute("x2", x);
    }

    channels(place, row) {
      place.replaceChildren(...row.map((src, index) => {
        const caption = say("inside_channel", { index: index + 1 });
        return element("figure", {}, element("img", { src, alt: caption, class: "pixelated" }),
          element("figcaption", { "aria-hidden": "true" }, caption));
      }));
    }

    /* Guidance was looked at in some moments: the nearest one that is not later. */
    compare() {
      const one = this.told.compared.filter(({ moment }) => moment <= this.place).at(-1);
      const moment = this.told.moments[one.moment];
      this.find("compared-at").textContent = say("inside_now", { step: moment.step, n: this.told.n, noise: moment.noise });
      for (const name of ["with", "without", "difference"]) this.find(name).src = one[name];
      this.find("guided").src = moment.x0;
      this.find("gain").textContent = say("inside_difference", { gain: number(one.gain, 1) });
    }

    /* The share that goes to some columns at each place, at the moment, layer and head that are chosen: (rows * columns,). */
    shares(columns, place = this.place) {
      const [, layers, heads, length, height, width] = this.told.attention.shape;
      const area = height * width;
      const found = new Float32Array(area);
      const pick = (chosen, n) => (chosen < 0 ? [...Array(n).keys()] : [chosen]);
      const [ls, hs] = [pick(this.layer, layers), pick(this.head, heads)];
      for (const layer of ls) {
        for (const head of hs) {
          for (const column of columns) {
            const start = (((place * layers + layer) * heads + head) * length + column) * area;
            for (let i = 0; i < area; i++) found[i] += (this.maps[start + i] / 255) ** 2;
          }
        }
      }
      return found.map((value) => value / (ls.length * hs.length));
    }

    /* The word that stands out most at the end: a better beginning than the first, which is often "a". */
    telling() {
      const words = this.told.attention.words.filter(({ text }) => text);
      const contrast = words.map(({ columns }) => {
        const map = this.shares(columns);
        return Math.max(...map) - Math.min(...map);
      });
      return words[Math.max(contrast.indexOf(Math.max(...contrast)), 0)]?.columns ?? [0];
    }

    name({ text, columns }) {
      return text || say(columns[0] === 0 ? "inside_begin" : "inside_end");
    }

    choose(columns) {
      this.chosen = columns;
      this.lookAtWords();
    }

    listWords() {
      const buttons = this.told.attention.words.map((word) => {
        const pieces = word.tokens.length > 1 ? word.tokens : [this.name(word)];
        const made = pieces.map((piece, i) => element("button", {
          type: "button", class: word.text ? "token" : "token edge",
          "data-columns": word.tokens.length > 1 ? word.columns[i] : word.columns.join(" "),
        }, piece || "␣"));
        return element("span", { class: "word" }, ...made);
      });
      this.find("words").replaceChildren(...buttons);
      this.find("multiples").replaceChildren(...this.told.attention.words.filter(({ text }) => text).map((word) => {
        const canvas = element("canvas", { "aria-hidden": "true" });
        const attributes = { type: "button", class: "multiple", "data-columns": word.columns.join(" ") };
        return element("button", attributes, canvas, element("span", {}, word.text));
      }));
    }

    pickers() {
      const [, layers, heads] = this.told.attention.shape;
      for (const [name, n] of [["layer", layers], ["head", heads]]) {
        const select = this.querySelector(`[data-pick=${name}]`);
        const options = [...Array(n).keys()].map((i) => element("option", { value: i }, String(i + 1)));
        select.replaceChildren(element("option", { value: -1 }, say("inside_mean")), ...(n > 1 ? options : []));
        select.value = this[name];
        select.disabled = n < 2;
      }
    }

    lookAtWords() {
      const { words } = this.told.attention;
      const key = this.chosen.join(" ");
      for (const button of this.querySelectorAll("button[data-columns]")) {
        button.setAttribute("aria-pressed", button.dataset.columns === key);
      }
      const word = words.find(({ columns }) => columns.join(" ") === key);
      const piece = this.querySelector(`.words button[data-columns="${key}"]`);
      const name = word ? this.name(word) : piece.textContent;
      const { least, most } = this.veil(this.find("veil"), this.shares(this.chosen));
      this.find("looked").src = this.told.moments[this.place].x0;
      this.find("chosen").textContent = say("inside_chosen", { word: name });
      this.find("least").textContent = `${number(100 * least, 1)} %`;
      this.find("most").textContent = `${number(100 * most, 1)} %`;
      const multiples = [...this.find("multiples").children];
      multiples.forEach((button) => this.glow(button.firstChild, this.shares(button.dataset.columns.split(" ").map(Number))));
    }

    /* Dark where a word is looked for least, clear where most. */
    veil(canvas, map) {
      return this.paint(canvas, map, (bright) => [10, 12, 20, 190 * (1 - bright)]);
    }

    /* The map alone, from the page's ground to its accent. */
    glow(canvas, map) {
      return this.paint(canvas, map, (bright) => [20 + 224 * bright, 22 + 209 * bright, 28 + 172 * bright, 255]);
    }

    paint(canvas, map, colour) {
      const [, , , , height, width] = this.told.attention.shape;
      canvas.width = width;
      canvas.height = height;
      const image = new ImageData(width, height);
      const [least, most] = [Math.min(...map), Math.max(...map)];
      map.forEach((value, i) => image.data.set(colour(most > least ? (value - least) / (most - least) : 1), 4 * i));
      canvas.getContext("2d").putImageData(image, 0, 0);
      return { least, most };
    }
  });
})();
