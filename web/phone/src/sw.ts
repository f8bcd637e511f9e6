/**
 * The service worker: the page opens without a network, pictures of products that were seen stay, and pictures that
 * other apps share are taken in. What the page asks of the API goes past it.
 */
/// <reference lib="webworker" />
import { SHARED, SHARED_CACHE, SHELL_PREFIX, THUMBNAILS_CACHE } from "./names";

declare const self: ServiceWorkerGlobalScope;
declare const __FILES__: string[]; // of the page, put in by the build
declare const __VERSION__: string; // a hash of them

const SHELL = `${SHELL_PREFIX}${__VERSION__}`;
const MOST_THUMBNAILS = 300;
const PATIENCE_MS = 1500; // that a newer page is waited for

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(SHELL)
      .then((cache) => cache.addAll(__FILES__))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  const old = async () => {
    for (const name of await caches.keys()) if (name.startsWith(SHELL_PREFIX) && name !== SHELL) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(old());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== location.origin) return;
  if (request.method === "POST" && url.pathname === "/m/share") event.respondWith(taken(request));
  else if (request.method !== "GET") return;
  else if (url.pathname.startsWith("/v1/thumbnails/")) event.respondWith(thumbnail(event));
  else if (request.mode === "navigate" && /^\/m\/?$/.test(url.pathname)) event.respondWith(page(request));
  else if (url.pathname.startsWith("/m/")) event.respondWith(kept(url.pathname).then((found) => found ?? fetch(request)));
});

/** A file of the page, by its address alone: servers and proxies add a Vary of their own. */
async function kept(path: string): Promise<Response | undefined> {
  return (await caches.open(SHELL)).match(path, { ignoreSearch: true, ignoreVary: true });
}

/** The newest page where there is a network, else the one that was kept. */
async function page(request: Request): Promise<Response> {
  const old = await kept("/m/");
  const fresh = fetch(request);
  if (!old) return fresh;
  const soon = new Promise<Response>((done) => setTimeout(() => done(old), PATIENCE_MS));
  return Promise.race([fresh.catch(() => old), soon]);
}

async function thumbnail(event: FetchEvent): Promise<Response> {
  const cache = await caches.open(THUMBNAILS_CACHE);
  const there = await cache.match(event.request, { ignoreVary: true });
  if (there) return there;
  const fresh = await fetch(event.request);
  if (fresh.ok) {
    const copy = fresh.clone();
    event.waitUntil(cache.put(event.request, copy).then(() => trim(cache)));
  }
  return fresh;
}

async function trim(cache: Cache): Promise<void> {
  const all = await cache.keys();
  for (const old of all.slice(0, Math.max(0, all.length - MOST_THUMBNAILS))) await cache.delete(old);
}

async function taken(request: Request): Promise<Response> {
  const form = await request.formData();
  const file = form.get("image");
  if (file instanceof File) {
    const cache = await caches.open(SHARED_CACHE);
    await cache.put(SHARED, new Response(file, { headers: { "Content-Type": file.type } }));
  }
  return Response.redirect("/m/?shared", 303);
}
