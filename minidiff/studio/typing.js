/* Draw as one types: a pause in the typing presses a hidden button. What is asked for last is drawn; Enter draws at once. */
(() => {
  const studio = window.minidiff;
  const PAUSE = 300; // ms
  let timer;

  studio.typed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (document.querySelector("#typing input")?.checked) document.querySelector("#typed").click();
    }, PAUSE);
  };

  document.addEventListener("input", (event) => { if (event.target.closest("#prompt")) studio.typed(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Enter") clearTimeout(timer); });
})();
