/**
 * The product of a photo on white, as the server's segmenter lays it: `lapel.encoders.segmenter` step by step, with the
 * same numbers, so that both make the same picture of it.
 */
import { place, resize, resizeFloat, round, type Preprocessing, type Rgb } from "./resize";

const MAX_SIDE = 512; // pixels of the longer side that is worked on
const PROBABILITY_BAND = [0.3, 0.7] as const; // below it background, above it product
const AREA_RANGE = [0.02, 0.97] as const; // shares of the picture that a product takes
const MIN_PART = 0.15; // share of the largest part
const MIN_EVEN_EDGE = 0.8; // share of the edge that has one colour where a product is on white,
const EDGE_TOLERANCE = 20; // of 255 steps: what still is one colour,
const MIN_WHITE = [150, 0.8] as const; // least channel of that colour, of 255 and as a share of its largest
const FRAME_FILL = 0.95; // of the new frame that the product fills

/** (height, width) of 0..1. */
export type Mask = Float32Array;

/** At most 512 pixels on the longer side. */
export function shrink(image: Rgb): Rgb {
  const longest = Math.max(image.width, image.height);
  if (longest <= MAX_SIDE) return image;
  const scale = MAX_SIDE / longest;
  return resize(image, Math.max(1, round(image.width * scale)), Math.max(1, round(image.height * scale)), "bicubic");
}

/** Whether a picture needs no segmentation: its product is on white, or nothing can be seen in it. */
export function isPlain(image: Rgb): boolean {
  return hasWhiteBackground(image) || isOneColour(image);
}

function hasWhiteBackground({ data, width, height }: Rgb): boolean {
  const edge: number[] = [];
  for (let x = 0; x < width; x++) edge.push(x, (height - 1) * width + x);
  for (let y = 0; y < height; y++) edge.push(y * width, y * width + width - 1);
  const middle = [0, 1, 2].map((c) => median(edge.map((pixel) => data[pixel * 3 + c]!)));
  const even = edge.filter((pixel) => middle.every((m, c) => Math.abs(data[pixel * 3 + c]! - m) <= EDGE_TOLERANCE));
  const least = Math.max(MIN_WHITE[0], MIN_WHITE[1] * Math.max(...middle));
  return even.length / edge.length >= MIN_EVEN_EDGE && Math.min(...middle) >= least;
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  const at = values.length >> 1;
  return values.length % 2 ? values[at]! : (values[at - 1]! + values[at]!) / 2;
}

function isOneColour({ data }: Rgb): boolean {
  const pixels = data.length / 3;
  for (let c = 0; c < 3; c++) {
    const counts = new Uint32Array(256);
    for (let at = c; at < data.length; at += 3) counts[data[at]!]!++;
    if (percentile(counts, pixels, 0.99) - percentile(counts, pixels, 0.01) > EDGE_TOLERANCE) return false;
  }
  return true;
}

/** By linear interpolation, as numpy has it. */
function percentile(counts: Uint32Array, total: number, share: number): number {
  const at = share * (total - 1);
  const [low, high] = [nth(counts, Math.floor(at)), nth(counts, Math.ceil(at))];
  return low + (high - low) * (at - Math.floor(at));
}

function nth(counts: Uint32Array, place: number): number {
  let seen = 0;
  for (let value = 0; value < 256; value++) if ((seen += counts[value]!) > place) return value;
  return 255;
}

/** The network's mask without the specks beside its largest part. */
export function mainParts(mask: Mask, width: number, height: number): Mask {
  const part = new Int32Array(mask.length);
  const sizes = [0];
  const stack: number[] = [];
  for (let from = 0; from < mask.length; from++) {
    if (part[from] || !(mask[from]! > PROBABILITY_BAND[0])) continue;
    const own = sizes.push(0) - 1;
    part[from] = own;
    stack.push(from);
    while (stack.length) {
      const at = stack.pop()!;
      sizes[own]!++;
      const x = at % width;
      const near = [x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1, at - width, at + width];
      for (const next of near)
        if (next >= 0 && next < width * height && !part[next] && mask[next]! > PROBABILITY_BAND[0]) {
          part[next] = own;
          stack.push(next);
        }
    }
  }
  const least = Math.max(1, MIN_PART * Math.max(...sizes));
  return mask.map((value, at) => (part[at] && sizes[part[at]!]! >= least ? value : 0));
}

/** The mask of a network's input -> that of the picture. */
export function unpad(mask: Mask, image: Rgb, shape: Preprocessing): Mask {
  const [left, top, w, h] = place(shape, image.width, image.height);
  const inner = new Float32Array(w * h);
  for (let y = 0; y < h; y++)
    inner.set(mask.subarray((top + y) * shape.width + left, (top + y) * shape.width + left + w), y * w);
  return resizeFloat(inner, w, h, image.width, image.height);
}

/** The part of a picture that a mask shows, in the middle of a white frame; null where that is no product. */
export function framed(image: Rgb, mask: Mask, shape: Preprocessing): Rgb | null {
  const [low, high] = PROBABILITY_BAND;
  const alpha = mask.map((value) => Math.min(1, Math.max(0, Math.fround(Math.fround(value - low) / (high - low)))));
  let [count, left, top, right, bottom] = [0, image.width, image.height, 0, 0];
  for (let y = 0; y < image.height; y++)
    for (let x = 0; x < image.width; x++)
      if (alpha[y * image.width + x]! > 0.5) {
        count++;
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
        top = Math.min(top, y);
        bottom = y + 1;
      }
  const share = count / alpha.length;
  if (!count || share < AREA_RANGE[0] || share > AREA_RANGE[1]) return null;
  const [w, h] = [right - left, bottom - top];
  const scale = Math.max(w / shape.width, h / shape.height) / FRAME_FILL;
  const [width, height] = [round(shape.width * scale), round(shape.height * scale)];
  const data = new Uint8Array(width * height * 3);
  for (let at = 0; at < data.length; at++) data[at] = shape.background[at % 3]!;
  const [x0, y0] = [Math.floor((width - w) / 2), Math.floor((height - h) / 2)];
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const from = (top + y) * image.width + left + x;
      const to = ((y0 + y) * width + x0 + x) * 3;
      const shown = Math.trunc(alpha[from]! * 255);
      for (let c = 0; c < 3; c++) data[to + c] = mixed(image.data[from * 3 + c]!, data[to + c]!, shown);
    }
  return { data, width, height };
}

/** Pillow's paste with a mask: a share of 255 of one, the rest of the other. */
function mixed(one: number, other: number, share: number): number {
  const sum = one * share + other * (255 - share) + 128;
  return ((sum >> 8) + sum) >> 8;
}
