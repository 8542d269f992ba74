/* The page's language, what is said while a drawing waits or is refused, and the link that brings all settings back. What
   single tabs need is in files of their own. */
(() => {
  const studio = window.minidiff;
  const names = ["prompt", "negative", "sampler", "steps", "guidance", "seed", "images", "eta", "expand", "start", "end",
    "rescale", "model"];

  studio.speak = (lang) => {
    studio.lang = lang;
    document.documentElement.lang = lang;
    document.title = studio.titles[lang];
    document.dispatchEvent(new Event("minidiff-language"));
    return lang;
  };

  /* A text of `labels.py` in the page's language, its {blanks} filled; a number as that language writes it. */
  studio.say = (key, values = {}) => studio.words[key][studio.lang].replace(/\{(\w+)\}/g, (blank, name) => values[name] ?? blank);
  studio.number = (value, digits) => value.toLocaleString(studio.lang, {
    minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false,
  });

  const asked = new URLSearchParams(location.search).get("lang");
  studio.speak(asked in studio.titles ? asked : studio.lang);
  /* gradio writes its own title, and its guess of the language, when it has loaded: ours stay. */
  const root = document.documentElement;
  const keep = () => {
    if (root.lang !== studio.lang) root.lang = studio.lang;
    if (document.title !== studio.titles[studio.lang]) document.title = studio.titles[studio.lang];
  };
  new MutationObserver(keep).observe(root, { attributes: true, attributeFilter: ["lang"] });
  new MutationObserver(keep).observe(document.head, { childList: true, characterData: true, subtree: true });

  /* Somebody else's drawing may come first: say so at once, until the server has put another stage there or is done. */
  studio.waiting = (...values) => {
    delete root.dataset.refused;
    document.querySelector(".stage")?.setAttribute("data-waiting", "");
    return values;
  };
  studio.waitFor = (id, values) => {
    document.querySelector(`#${id} .line`)?.setAttribute("data-waiting", "");
    return values;
  };
  studio.answered = () => document.querySelectorAll("[data-waiting]").forEach((one) => one.removeAttribute("data-waiting"));

  /* A line that is full is gradio's to tell: in English, in a corner, and the stage would wait for good. */
  const ask = window.fetch;
  window.fetch = async (...request) => {
    const answer = await ask(...request);
    if ([429, 503].includes(answer.status) && String(request[0]?.url ?? request[0]).includes("/queue/join")) {
      root.dataset.refused = "";
      studio.answered();
      const seen = [...document.querySelectorAll(".notice")].find((notice) => notice.parentElement.offsetParent);
      if (seen) seen.outerHTML = studio.refusal;
    }
    return answer;
  };

  /* loras: names of the LoRAs whose weights come after the names that are chosen. */
  studio.copyLink = async (loras, ...values) => {
    const query = new URLSearchParams({ lang: studio.lang });
    names.forEach((name, i) => { if (values[i] !== "" && values[i] != null) query.set(name, values[i]); });
    const [chosen, ...weights] = values.slice(names.length);
    if (chosen?.length) query.set("loras", chosen.map((name) => `${name}:${weights[loras.indexOf(name)]}`).join(","));
    const link = `${location.origin}${location.pathname}?${query}`;
    history.replaceState(null, "", link);
    try {
      await navigator.clipboard.writeText(link);
    } catch {
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = link;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    return values;
  };
})();
