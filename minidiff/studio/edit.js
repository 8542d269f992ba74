/* The tab Edit: pictures are chosen and made small here, masks are painted here, and the line between before and after is moved
   here. Nothing larger than MOST pixels a side is sent. */
(() => {
  const studio = window.minidiff;
  const MOST = 192, MOST_TEXT = 180000, MOST_BYTES = 24e6, MOST_PIXELS = 50e6;  // as in editing.py
  const MARK = "#c2256b"; // seen on every drawing
  const LARGE = "data:,large", UNREADABLE = "data:,unreadable";

  const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

  const asText = (blob) => new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = failed;
    reader.readAsDataURL(blob);
  });

  /* The middle square of a picture, made small by halves, so that no pixel is passed over. */
  const square = (image) => {
    let side = Math.min(image.width, image.height);
    let canvas = canvasOf(side, side);
    canvas.getContext("2d").drawImage(image, (side - image.width) / 2, (side - image.height) / 2);
    while (side > MOST) {
      side = Math.max(MOST, Math.ceil(side / 2));
      const smaller = canvasOf(side, side), pen = smaller.getContext("2d");
      pen.imageSmoothingQuality = "high";
      pen.drawImage(canvas, 0, 0, side, side);
      canvas = smaller;
    }
    return canvas.toDataURL("image/png");
  };

  const read = async (file) => {
    if (file.size > MOST_BYTES) return LARGE;
    let image;
    try {
      if (!["image/png", "image/jpeg"].includes(file.type)) return UNREADABLE;
      image = await createImageBitmap(file);
    } catch {
      return UNREADABLE;
    }
    if (image.width * image.height > MOST_PIXELS) return LARGE;
    const whole = image.width <= MOST && image.height <= MOST;
    const text = whole ? await asText(file) : ""; // as it is: it may say how it was drawn
    return text && text.length <= MOST_TEXT ? text : square(image);
  };

  /* A picture of this page, made small if it is too large to be sent. */
  const shown = async (selector) => {
    const image = document.querySelector(selector);
    if (!image) return "";
    await image.decode();
    if (image.src.length <= MOST_TEXT) return image.src;
    const scale = Math.min(1, MOST / Math.max(image.naturalWidth, image.naturalHeight));
    const canvas = canvasOf(Math.round(scale * image.naturalWidth), Math.round(scale * image.naturalHeight));
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/png");
  };

  studio.edit = {
    choose: () => new Promise((done) => {
      const input = Object.assign(document.createElement("input"), { type: "file", accept: "image/png,image/jpeg" });
      input.addEventListener("change", async () => done(input.files.length ? await read(input.files[0]) : "data:,none"));
      input.addEventListener("cancel", () => done("data:,none"));
      input.click();
    }),
    fromCreate: () => shown("#results .results img"),
    again: () => shown('minidiff-edit img[data-part="after"]'),
    way: (way) => {
      document.documentElement.dataset.edit = way;
      return way;
    },
    /* The values of the controls, the mask as it is painted now in the last one's place. */
    go: (values) => {
      studio.waitFor("edit-notice", values);
      return [...values.slice(0, -1), document.querySelector("minidiff-start")?.mask() ?? ""];
    },
  };

  customElements.define("minidiff-start", class extends HTMLElement {
    static observedAttributes = ["data-of"];

    attributeChangedCallback(_, before) {
      if (before !== null && this.isConnected) requestAnimationFrame(() => this.begin());
    }

    connectedCallback() {
      this.retell = () => this.tell();
      document.addEventListener("minidiff-language", this.retell);
      for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel", "click"]) this.addEventListener(name, this);
      this.begin();
    }

    disconnectedCallback() {
      document.removeEventListener("minidiff-language", this.retell);
    }

    begin() {
      this.canvas = this.querySelector("canvas");
      if (!this.canvas) return;
      this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
      this.erasing = false;
      this.clear();
    }

    clear() {
      this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
      this.tell();
    }

    handleEvent(event) {
      this[event.type](event);
    }

    place(event) {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * this.canvas.width / box.width, (event.clientY - box.top) * this.canvas.height / box.height];
    }

    pointerdown(event) {
      if (event.target !== this.canvas || event.button) return;
      event.preventDefault();
      this.canvas.setPointerCapture(event.pointerId);
      this.last = this.place(event);
      this.stroke(this.last);
    }

    pointermove(event) {
      if (this.last) this.stroke(this.place(event));
    }

    pointerup() {
      if (this.last) this.tell();
      this.last = null;
    }

    pointercancel() {
      this.pointerup();
    }

    stroke(to) {
      this.mode();
      this.pen.lineCap = this.pen.lineJoin = "round";
      this.pen.lineWidth = Number(this.querySelector("[data-brush]").value);
      this.pen.beginPath();
      this.pen.moveTo(...this.last);
      this.pen.lineTo(...to);
      this.pen.stroke();
      this.pen.beginPath(); // a tap: a line without length is not drawn
      this.pen.arc(...to, this.pen.lineWidth / 2, 0, 2 * Math.PI);
      this.pen.fill();
      this.last = to;
    }

    mode() {
      this.pen.globalCompositeOperation = this.erasing ? "destination-out" : "source-over";
      this.pen.strokeStyle = this.pen.fillStyle = MARK;
    }

    click(event) {
      const button = event.target.closest("[data-do]");
      if (!button) return;
      const { width, height } = this.canvas;
      const act = {
        paint: () => this.erase(false),
        erase: () => this.erase(true),
        clear: () => this.clear(),
        invert: () => {
          this.pen.globalCompositeOperation = "xor";
          this.pen.fillStyle = MARK;
          this.pen.fillRect(0, 0, width, height);
        },
        box: () => {
          const [x, y, wide, high] = ["x", "y", "width", "height"].map((name) => Number(this.querySelector(`[data-box=${name}]`).value));
          this.mode();
          this.pen.fillRect(Math.round(x), Math.round(y), Math.round(wide), Math.round(high));
        },
      };
      act[button.dataset.do]();
      this.tell();
    }

    erase(on) {
      this.erasing = on;
      for (const name of ["paint", "erase"]) this.querySelector(`[data-do=${name}]`).setAttribute("aria-pressed", on === (name === "erase"));
    }

    marks() {
      return this.pen.getImageData(0, 0, this.canvas.width, this.canvas.height).data;
    }

    tell() {
      const line = this.querySelector(".painted");
      if (!line || !this.pen) return;
      const marks = this.marks();
      let count = 0;
      for (let k = 3; k < marks.length; k += 4) count += marks[k] >= 128;
      const share = 400 * count / marks.length;
      line.textContent = studio.say("edit_painted", { share: studio.number(share, share > 0 && share < 10 ? 1 : 0) });
    }

    /* What is painted as white on black; empty where there is nothing. */
    mask() {
      if (!this.pen) return "";
      const { width, height } = this.canvas, made = canvasOf(width, height), pen = made.getContext("2d");
      const marks = this.marks(), pixels = pen.createImageData(width, height);
      let any = false;
      for (let k = 0; k < marks.length; k += 4) {
        const white = marks[k + 3] >= 128;
        any ||= white;
        pixels.data.fill(white ? 255 : 0, k, k + 3);
        pixels.data[k + 3] = 255;
      }
      pen.putImageData(pixels, 0, 0);
      return any ? made.toDataURL("image/png") : "";
    }
  });

  customElements.define("minidiff-edit", class extends HTMLElement {
    connectedCallback() {
      this.addEventListener("input", (event) => {
        if (event.target.type === "range") this.querySelector(".slide").style.setProperty("--cut", `${event.target.value}%`);
      });
      this.addEventListener("click", (event) => { // the file is the picture that is shown: it is sent once
        const link = event.target.closest("a[download]");
        if (link) link.href = this.querySelector('img[data-part="after"]').src;
      }, true);
      const link = this.querySelector("a[download]");
      if (link) link.href = "#";
    }
  });
})();
