/* Arrow keys, Home and End go along the tabs, as screen readers tell their users. Enter and Space open one. */
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.('[role="tablist"] [role="tab"]');
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
  if (!tab || !step || event.altKey || event.ctrlKey || event.metaKey) return;
  const tabs = [...tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
  const wanted = tabs.indexOf(tab) + step;
  const place = Number.isFinite(wanted) ? (wanted + tabs.length) % tabs.length : step < 0 ? 0 : tabs.length - 1;
  tabs[place].focus();
  event.preventDefault();
});
