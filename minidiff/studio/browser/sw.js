/**
 * Keeps the folder on the reader's machine: what was fetched once is never fetched again, and the page works without a network.
 * `minidiff export web` writes the name of the export in here, so that a browser which finds another file takes the new page.
 */

const OURS = `minidiff ${registration.scope} `; // other pages of this host have stores of their own
const CACHE = `${OURS}@STAMP@`;
const ABOUT = "model/about.json";

/** The page itself, at once; the models' parts when the page reads them, which shows how far it is. */
async function keepPage() {
  const cache = await caches.open(CACHE);
  const about = await fetch(ABOUT, { cache: "no-cache" });
  const { files } = await about.clone().json();
  await cache.put(new URL(ABOUT, registration.scope), about);
  await cache.addAll(["./", ...files].map((file) => new Request(file, { cache: "no-cache" })));
}

async function forgetOthers() {
  const others = (await caches.keys()).filter((name) => name.startsWith(OURS) && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
  await clients.claim();
}

async function answer(event) {
  const cache = await caches.open(CACHE);
  const found = await cache.match(event.request, { ignoreSearch: true });
  if (found && event.request.cache !== "reload") return found;
  const response = await fetch(event.request);
  if (response.status === 200) {
    // a full disk is no reason not to show the page
    event.waitUntil(cache.put(event.request, response.clone()).catch(() => undefined));
  }
  return response;
}

// A new export waits until a page that just starts, and has loaded nothing yet, calls it: old and new files are never mixed.
addEventListener("message", () => skipWaiting());
addEventListener("install", (event) => event.waitUntil(keepPage()));
addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
addEventListener("fetch", (event) => {
  const ours = event.request.url.startsWith(registration.scope);
  if (ours && event.request.method === "GET") event.respondWith(answer(event));
});
