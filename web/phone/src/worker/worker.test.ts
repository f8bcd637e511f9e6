/** What the worker makes of pictures and pieces, against numbers that Pillow and the server's segmenter gave. */
import { describe, expect, it } from "vitest";
import type { Pack } from "@lapel/client";
import { Shop, type Columns } from "./pack";
import { place, preprocess, resize, type Preprocessing, type Rgb } from "./resize";
import { framed, isPlain, mainParts } from "./segment";

const SHAPE: Preprocessing = { height: 16, width: 12, background: [255, 255, 255], resample: "bicubic" };

/** The same noise as in Python: a linear congruential generator. */
function noise(width: number, height: number, seed: number): Rgb {
  const data = new Uint8Array(width * height * 3);
  let value = BigInt(seed);
  for (let at = 0; at < data.length; at++) {
    value = (value * 1103515245n + 12345n) % 2n ** 31n;
    data[at] = Number((value >> 16n) & 255n);
  }
  return { data, width, height };
}

const sum = (values: ArrayLike<number>) => Array.from(values).reduce((one, other) => one + other, 0);

describe("scaling", () => {
  it.each([
    { from: [13, 9], to: [7, 11], kernel: "bicubic", total: 28027, first: [116, 68, 171, 91, 134, 116], last: [76, 75, 167] },
    { from: [40, 30], to: [17, 12], kernel: "bicubic", total: 76952, first: [132, 113, 197, 171, 105, 149], last: [123, 112, 122] },
    { from: [16, 16], to: [16, 5], kernel: "bilinear", total: 30965, first: [142, 144, 143, 165, 139, 101], last: [162, 113, 145] },
    { from: [5, 7], to: [20, 21], kernel: "bicubic", total: 167088, first: [25, 0, 55, 29, 9, 54], last: [16, 235, 255] },
  ] as const)("gives Pillow's bytes from $from to $to", ({ from, to, kernel, total, first, last }) => {
    const { data } = resize(noise(from[0], from[1], from[0] * from[1]), to[0], to[1], kernel);
    expect(sum(data)).toBe(total);
    expect([...data.slice(0, 6)]).toEqual([...first]);
    expect([...data.slice(-3)]).toEqual([...last]);
  });

  it("places and pads as the server does", () => {
    expect(place(SHAPE, 31, 18)).toEqual([0, 4, 12, 7]);
    expect(place(SHAPE, 1, 500)).toEqual([5, 0, 1, 16]);
    expect(sum(preprocess(noise(31, 18, 3), SHAPE))).toBe(115303);
  });
});

describe("the cut-out", () => {
  it("keeps the main part and frames it as the server does", () => {
    const mask = new Float32Array(20 * 24);
    const put = (x0: number, x1: number, y0: number, y1: number, value: number) => {
      for (let y = y0; y < y1; y++) mask.fill(value, y * 20 + x0, y * 20 + x1);
    };
    put(6, 15, 4, 18, 0.9);
    put(5, 6, 4, 18, 0.5);
    put(1, 3, 20, 22, 0.8); // a speck
    const main = mainParts(mask, 20, 24);
    expect(sum(main)).toBeCloseTo(120.4, 3);
    const found = framed(noise(20, 24, 5), main, SHAPE)!;
    expect([found.width, found.height, sum(found.data)]).toEqual([11, 15, 78698]);
  });

  it("leaves pictures on white and of one colour alone", () => {
    const plain = (value: number): Rgb => ({ data: new Uint8Array(30 * 40 * 3).fill(value), width: 30, height: 40 });
    expect(isPlain(plain(250))).toBe(true);
    expect(isPlain(plain(20))).toBe(true);
    expect(isPlain(noise(30, 40, 1))).toBe(false);
  });
});

describe("the shop in the phone", () => {
  const piece = (photos: number) => ({ photos, bucket: 0, vectors: {}, products: {}, thumbnails: [] });
  const manifest = { dim: 4, photos: 4, bytes: 0, model: "m", format: 1, pieces: [piece(2), piece(2)] } as unknown as Pack;
  const vectors = (rows: number[][]) => {
    const bytes = new Uint8Array(rows.length * 8);
    new Int8Array(bytes.buffer).set(rows.flat());
    bytes.set(new Uint8Array(new Float32Array(rows.map(() => 1)).buffer), rows.length * 4);
    return bytes.buffer;
  };
  const columns = (id: string[], sha256: string[], colour: string[]): { columns: Columns } => ({
    columns: { key: [], id, sha256, colour, title: id.map((each) => `Shirt ${each}`) },
  });
  const shop = new Shop(
    manifest,
    [vectors([[127, 0, 0, 0], [90, 90, 0, 0]]), vectors([[0, 127, 0, 0], [126, 1, 0, 0]])],
    [columns(["a", "b"], ["1", "2"], ["Red", "Blue"]), columns(["b", "c"], ["3", "1"], ["Blue", "Red"])],
  );
  const ids = (question: Parameters<Shop["search"]>) => shop.search(...question).places.map((at) => shop.product(at)["id"]);

  it("gives each product and each photo once, the nearest first", () => {
    expect(ids([Float32Array.of(1, 0, 0, 0), 3])).toEqual(["a", "b"]); // c has the photo of a
    expect(ids([Float32Array.of(0, 1, 0, 0), 3])).toEqual(["b", "c"]);
  });

  it("filters by fields and words, and counts what passes", () => {
    expect(ids([Float32Array.of(1, 0, 0, 0), 3, { colour: ["Blue"] }])).toEqual(["b"]);
    expect(ids([Float32Array.of(1, 0, 0, 0), 3, {}, "shirt C"])).toEqual(["c"]);
    expect(shop.facets(["colour"])).toEqual({ colour: { Red: 2, Blue: 1 } });
    expect(shop.products).toBe(3);
  });
});
