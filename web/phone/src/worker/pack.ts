/**
 * The shop in the phone: all vectors as signed bytes, and what products are, searched without a network. The pieces
 * come from `/v1/pack` and lie in the browser's cache by the hash of their content, so an update loads what changed.
 */
import type { Pack } from "@lapel/client";

const STEPS = 127; // of a signed byte

export type Value = string | number | boolean | null | string[];
export interface Columns {
  key: number[];
  sha256: string[];
  id: string[];
  [name: string]: Value[];
}

/** A product of an answer, in the API's shape as far as the page shows it. */
export interface OfflineHit {
  rank: number;
  score: number;
  product: Record<string, Value>;
  photo: { sha256: string };
  thumbnail: Blob | null;
}

export interface OfflineAnswer {
  hits: OfflineHit[];
  total: number;
  facets: Record<string, Record<string, number>>;
  took_ms: number;
}

/** Field -> the values of which a product has one. */
export type Chosen = Record<string, string[]>;

export class Shop {
  private readonly rows: Int8Array;
  private readonly scales: Float32Array;
  private readonly columns: Columns = { key: [], sha256: [], id: [] };
  private readonly places = new Map<string, number[]>(); // photos of a product
  readonly photos: number;

  /** Of the vectors' and the products' pieces, in the manifest's order. */
  constructor(
    readonly manifest: Pack,
    vectors: ArrayBuffer[],
    products: { columns: Columns }[],
  ) {
    const { dim, photos } = manifest;
    this.photos = photos;
    this.rows = new Int8Array(photos * dim);
    this.scales = new Float32Array(photos);
    let at = 0;
    manifest.pieces.forEach((piece, number) => {
      const bytes = vectors[number]!;
      this.rows.set(new Int8Array(bytes, 0, piece.photos * dim), at * dim);
      this.scales.set(new Float32Array(bytes.slice(piece.photos * dim)), at);
      for (const [name, values] of Object.entries(products[number]!.columns)) {
        const own = (this.columns[name] ??= []);
        for (const value of values) own.push(value as never);
      }
      at += piece.photos;
    });
    this.scales = this.scales.map((scale) => scale / STEPS);
    this.columns.id.forEach((id, place) => {
      const own = this.places.get(id);
      if (own) own.push(place);
      else this.places.set(id, [place]);
    });
  }

  get products(): number {
    return this.places.size;
  }

  /** The vector of a product's first photo. */
  vectorOf(id: string): Float32Array | null {
    const place = this.places.get(id)?.[0];
    if (place === undefined) return null;
    const { dim } = this.manifest;
    return Float32Array.from(this.rows.subarray(place * dim, (place + 1) * dim), (v) => v * this.scales[place]!);
  }

  /** The products that look most like a unit vector, each once with its best photo, and each photo once. */
  search(vector: Float32Array, k: number, chosen: Chosen = {}, words = "", without = ""): { places: number[]; scores: number[]; total: number } {
    const scores = this.scores(vector);
    const passes = this.filter(chosen, words);
    const best: number[] = []; // places, worst first: a heap would gain nothing for a few dozen
    const seen = new Map<string, number>();
    const photos = new Set<string>();
    let least = -Infinity;
    let total = 0;
    for (let place = 0; place < this.photos; place++) {
      if (passes && !passes(place)) continue;
      total++;
      const score = scores[place]!;
      if (score <= least && best.length >= 4 * k) continue;
      best.push(place);
      if (best.length >= 8 * k) {
        best.sort((a, b) => scores[b]! - scores[a]!);
        best.length = 4 * k;
        least = scores[best[best.length - 1]!]!;
      }
    }
    best.sort((a, b) => scores[b]! - scores[a]!);
    for (const place of best) {
      const [id, photo] = [this.columns.id[place]!, this.columns.sha256[place]!];
      if (id === without || seen.has(id) || photos.has(photo)) continue;
      seen.set(id, place);
      photos.add(photo);
      if (seen.size === k) break;
    }
    const places = [...seen.values()];
    return { places, scores: places.map((place) => scores[place]!), total };
  }

  /** A product as the API tells it. */
  product(place: number): Record<string, Value> {
    const told: Record<string, Value> = {};
    for (const [name, values] of Object.entries(this.columns)) if (name !== "key" && name !== "sha256") told[name] = values[place]!;
    return told;
  }

  photo(place: number): { sha256: string } {
    return { sha256: this.columns.sha256[place]! };
  }

  /** Values of fields with how many products that pass have them; a field's own choice does not narrow its counts. */
  facets(names: string[], chosen: Chosen = {}, words = "", limit = 30): Record<string, Record<string, number>> {
    const told: Record<string, Record<string, number>> = {};
    for (const name of names) {
      if (!this.columns[name]) continue;
      const passes = this.filter({ ...chosen, [name]: [] }, words);
      const counts = new Map<string, number>();
      for (const own of this.places.values()) {
        if (passes && !passes(own[0]!)) continue;
        for (const text of textsOf(this.columns[name]![own[0]!]!)) counts.set(text, (counts.get(text) ?? 0) + 1);
      }
      const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, limit);
      if (sorted.length > 1) told[name] = Object.fromEntries(sorted);
    }
    return told;
  }

  /** Which run of thumbnails a photo is in, and where in it. */
  thumbnailPlace(place: number): { sha256: string; at: number } | null {
    let from = 0;
    for (const piece of this.manifest.pieces) {
      if (place < from + piece.photos) {
        const inside = place - from;
        const runs = piece.thumbnails as unknown as { sha256: string; from: number; photos: number }[];
        const run = runs.find((each) => inside >= each.from && inside < each.from + each.photos);
        return run ? { sha256: run.sha256, at: inside - run.from } : null;
      }
      from += piece.photos;
    }
    return null;
  }

  private scores(vector: Float32Array): Float32Array {
    const { dim } = this.manifest;
    const { rows, scales, photos } = this;
    const found = new Float32Array(photos);
    for (let place = 0, at = 0; place < photos; place++) {
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let i = 0; i < dim; i += 4, at += 4) {
        a += rows[at]! * vector[i]!;
        b += rows[at + 1]! * vector[i + 1]!;
        c += rows[at + 2]! * vector[i + 2]!;
        d += rows[at + 3]! * vector[i + 3]!;
      }
      found[place] = (a + b + c + d) * scales[place]!;
    }
    return found;
  }

  private filter(chosen: Chosen, words: string): ((place: number) => boolean) | null {
    const asked = Object.entries(chosen).filter(([, values]) => values.length);
    const wanted = fold(words).split(/\s+/).filter(Boolean);
    if (!asked.length && !wanted.length) return null;
    const sets = asked.map(([name, values]) => [this.columns[name] ?? [], new Set(values)] as const);
    return (place) =>
      sets.every(([column, values]) => textsOf(column[place] ?? null).some((text) => values.has(text))) &&
      wanted.every((word) => this.texts(place).includes(word));
  }

  private texts(place: number): string {
    return fold(["title", "brand", "colour", "gender", "category"].map((name) => String(this.columns[name]?.[place] ?? "")).join(" "));
  }
}

/** The values of a cell, as filters have them: a category by each of its levels. */
function textsOf(value: Value): string[] {
  if (value === null || value === "") return [];
  return Array.isArray(value) ? value : [String(value)];
}

function fold(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** The thumbnails of a piece: lengths, then bytes. */
export function thumbnailsOf(piece: ArrayBuffer, photos: number): (Blob | null)[] {
  const lengths = new Uint32Array(piece, 0, photos);
  let at = photos * 4;
  return [...lengths].map((length) => {
    const own = length ? new Blob([piece.slice(at, at + length)], { type: "image/webp" }) : null;
    at += length;
    return own;
  });
}
