/** The service worker, and pictures that other apps shared with this one. */
import { SHARED, SHARED_CACHE, SHELL_PREFIX } from "./names";

export function startServiceWorker(): void {
  if ("serviceWorker" in navigator) addEventListener("load", () => void navigator.serviceWorker.register("/m/sw.js", { scope: "/m/" }).catch(() => undefined));
}

/** The picture that was shared, once; null where there is none. */
export async function takeShared(): Promise<Blob | null> {
  if (!location.search.includes("shared")) return null;
  history.replaceState(history.state, "", "/m/");
  try {
    const cache = await caches.open(SHARED_CACHE);
    const found = await cache.match(SHARED);
    await cache.delete(SHARED);
    return found ? await found.blob() : null;
  } catch {
    return null;
  }
}

/** Lets go of all that was kept, but for the page itself. */
export async function eraseCaches(): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith("lapel-") && !name.startsWith(SHELL_PREFIX)) await caches.delete(name);
}
