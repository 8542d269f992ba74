/* The page's language, the link that brings all settings back, and nothing else. */
(() => {
  const studio = window.minidiff;
  const names = ["prompt", "negative", "sampler", "steps", "guidance", "seed", "images", "eta", "expand", "start", "end",
    "rescale", "model"];

  studio.speak = (lang) => {
    studio.lang = lang;
    document.documentElement.lang = lang;
    document.title = studio.titles[lang];
    return lang;
  };

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
    document.querySelector(".stage")?.setAttribute("data-waiting", "");
    return values;
  };
  studio.answered = () => document.querySelector(".stage")?.removeAttribute("data-waiting");

  studio.copyLink = async (...values) => {
    const query = new URLSearchParams({ lang: studio.lang });
    names.forEach((name, i) => { if (values[i] !== "" && values[i] != null) query.set(name, values[i]); });
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
