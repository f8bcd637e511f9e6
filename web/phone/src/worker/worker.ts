/** The page's worker: encodes pictures, and holds the shop and searches it. Nothing here touches the page. */
import type { Device, Pack } from "@lapel/client";
import { Embedder, decode, runtimeUrl } from "./embed";
import { CACHE, Kept } from "./kept";
import { Shop, thumbnailsOf, type Columns } from "./pack";
import type { Asked, Message, Name, Reply, ShopQuestion, ShopState } from "./protocol";

type Progress = (done: number, total: number) => void;
type Handlers = { [N in Name]: (ask: Asked[N]["ask"], progress: Progress) => Promise<Asked[N]["told"]> };

const ABREAST = 4; // pieces loaded at a time
let kept: Promise<Kept> | null = null;
let embedder: Promise<Embedder> | null = null;
let shop: Shop | null = null;

const handlers: Handlers = {
  async configure({ address, key }) {
    kept = Kept.open(address, key);
    return null;
  },
  async openDevice({ fresh }, progress) {
    if (fresh) embedder = null;
    embedder ??= openDevice(progress);
    try {
      return { fingerprint: (await embedder).fingerprint };
    } catch (error) {
      embedder = null;
      throw error;
    }
  },
  async embed({ image }) {
    embedder ??= openDevice(() => undefined);
    const own = await embedder;
    const begun = performance.now();
    const vector = await own.embed(await decode(image));
    return { vector, fingerprint: own.fingerprint, took_ms: performance.now() - begun };
  },
  async openShop() {
    const store = await opened();
    const manifest = await store.note<Pack>("pack");
    if (!manifest) return null;
    if (!shop) await readShop(store, manifest, () => undefined);
    return state(store, 0);
  },
  async loadShop({ thumbnails }, progress) {
    const store = await opened();
    const manifest = await store.api.pack();
    let loaded = await readShop(store, manifest, progress);
    await store.putNote("pack", manifest);
    await store.putNote("loaded", { at: Date.now() });
    if (thumbnails) loaded += await loadThumbnails(store, manifest, progress);
    const device = await store.note<Device>("device");
    const names = manifest.pieces.flatMap((p) => [p.vectors.sha256, p.products.sha256, ...runsOf(p).map((run) => run.sha256)]);
    await store.keepOnly(new Set([...names, ...(device ? [device.model.sha256, device.segmenter.sha256] : [])]));
    return state(store, loaded);
  },
  async forget() {
    shop = null;
    embedder = null;
    await caches.delete(CACHE);
    kept = null;
    return null;
  },
  async search(question) {
    if (!shop) await handlers.openShop(null, () => undefined);
    if (!shop) throw new Error("no shop in the phone");
    return answer(shop, question);
  },
};

async function opened(): Promise<Kept> {
  if (!kept) throw new Error("not configured");
  return kept;
}

async function openDevice(progress: Progress): Promise<Embedder> {
  const store = await opened();
  const device = (await store.api.device().catch(() => store.note<Device>("device"))) as Device | null;
  if (!device) throw new Error("no networks in the phone, and no connection");
  const total = device.model.bytes + device.segmenter.bytes;
  let done = 0;
  const runtime = await store.file(runtimeUrl);
  const found = await Embedder.open(
    device,
    async (sha256) => {
      const { bytes } = await store.piece(sha256);
      progress((done += bytes.byteLength), total);
      return bytes;
    },
    runtime,
  );
  await store.putNote("device", device);
  return found;
}

/** Reads every piece, from the phone where it is there. Returns how many bytes were loaded. */
async function readShop(store: Kept, manifest: Pack, progress: Progress): Promise<number> {
  let [loaded, done] = [0, 0];
  const vectors: ArrayBuffer[] = [];
  const products: { columns: Columns }[] = [];
  await abreast(manifest.pieces, async (piece, number) => {
    const [one, other] = [await store.piece(piece.vectors.sha256), await store.piece(piece.products.sha256)];
    vectors[number] = one.bytes;
    products[number] = JSON.parse(new TextDecoder().decode(other.bytes)) as { columns: Columns };
    loaded += (one.loaded && piece.vectors.bytes) + (other.loaded && piece.products.bytes);
    progress((done += piece.vectors.bytes + piece.products.bytes), manifest.bytes);
  });
  shop = new Shop(manifest, vectors, products);
  return loaded;
}

type Bucket = Pack["pieces"][number];

function runsOf(piece: Bucket): { sha256: string; from: number; photos: number }[] {
  return piece.thumbnails as unknown as { sha256: string; from: number; photos: number }[];
}

async function loadThumbnails(store: Kept, manifest: Pack, progress: Progress): Promise<number> {
  let [loaded, done] = [0, 0];
  await abreast(manifest.pieces.flatMap(runsOf), async (run) => {
    loaded += (await store.piece(run.sha256)).loaded;
    progress((done += run.photos), manifest.photos);
  });
  return loaded;
}

async function abreast<T>(all: T[], work: (each: T, number: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < all.length) {
      const number = next++;
      await work(all[number]!, number);
    }
  };
  await Promise.all(Array.from({ length: ABREAST }, lane));
}

async function state(store: Kept, loaded: number): Promise<ShopState> {
  const at = (await store.note<{ at: number }>("loaded"))?.at ?? 0;
  const { manifest, products, photos } = shop!;
  return { products, photos, bytes: manifest.bytes, model: manifest.model, at, loaded_bytes: loaded };
}

async function answer(from: Shop, question: ShopQuestion): Promise<Asked["search"]["told"]> {
  const begun = performance.now();
  const { words = "", chosen = {}, productId = "", k } = question;
  const vector = question.vector ?? from.vectorOf(productId) ?? new Float32Array(from.manifest.dim);
  const found = from.search(vector, k, chosen, words, productId);
  const took_ms = performance.now() - begun;
  const store = await opened();
  const hits = await Promise.all(
    found.places.map(async (place, number) => ({
      rank: number + 1,
      score: found.scores[number]!,
      product: from.product(place),
      photo: from.photo(place),
      thumbnail: await thumbnail(store, from, place),
    })),
  );
  return { hits, total: found.total, facets: from.facets(question.facets ?? [], chosen, words), took_ms };
}

async function thumbnail(store: Kept, from: Shop, place: number): Promise<Blob | null> {
  const where = from.thumbnailPlace(place);
  if (!where || !(await store.has(where.sha256))) return null;
  const { bytes } = await store.piece(where.sha256);
  const photos = from.manifest.pieces.flatMap(runsOf).find((run) => run.sha256 === where.sha256)!.photos;
  return thumbnailsOf(bytes, photos)[where.at] ?? null;
}

self.addEventListener("message", (event: MessageEvent<Message>) => {
  const { id, name, ask } = event.data;
  const reply = (message: Reply) => self.postMessage(message);
  const handle = handlers[name] as (ask: unknown, progress: Progress) => Promise<unknown>;
  handle(ask, (done, total) => reply({ id, progress: { done, total } })).then(
    (told) => reply({ id, told }),
    (error: Error & { code?: string }) => reply({ id, problem: { message: error.message, code: error.code ?? "" } }),
  );
});
