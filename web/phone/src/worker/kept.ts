/** Bytes by their hash in the browser's cache: what is there is never asked for again. */
import { connect, type Client } from "@lapel/client";

export const CACHE = "lapel-pieces";
const MANIFEST = "/m/kept/";

export class Kept {
  private constructor(
    private readonly cache: Cache,
    readonly api: Client,
  ) {}

  static async open(address: string, key: string): Promise<Kept> {
    return new Kept(await caches.open(CACHE), connect(address, { key: key || undefined, timeout: 120_000 }));
  }

  /** A piece by its SHA-256, and how many bytes came over the network for it. */
  async piece(sha256: string): Promise<{ bytes: ArrayBuffer; loaded: number }> {
    const name = `/m/kept/${sha256}`;
    const known = await this.cache.match(name);
    if (known) return { bytes: await known.arrayBuffer(), loaded: 0 };
    const bytes = await this.api.piece(sha256);
    await this.cache.put(name, new Response(bytes));
    return { bytes, loaded: bytes.byteLength };
  }

  async has(sha256: string): Promise<boolean> {
    return Boolean(await this.cache.match(`/m/kept/${sha256}`));
  }

  /** A file of the page itself, whose name holds its hash. */
  async file(url: string): Promise<ArrayBuffer> {
    const known = await this.cache.match(url, { ignoreVary: true });
    if (known) return known.arrayBuffer();
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
    await this.cache.put(url, answer.clone());
    return answer.arrayBuffer();
  }

  async note<T>(name: string): Promise<T | null> {
    const known = await this.cache.match(`${MANIFEST}${name}.json`);
    return known ? ((await known.json()) as T) : null;
  }

  async putNote(name: string, value: unknown): Promise<void> {
    await this.cache.put(`${MANIFEST}${name}.json`, new Response(JSON.stringify(value)));
  }

  /** Lets go what no manifest names any more. */
  async keepOnly(names: Set<string>): Promise<void> {
    for (const request of await this.cache.keys()) {
      const sha256 = /\/m\/kept\/([0-9a-f]{64})$/.exec(new URL(request.url).pathname)?.[1];
      if (sha256 && !names.has(sha256)) await this.cache.delete(request);
    }
  }
}
