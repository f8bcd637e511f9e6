/**
 * Scaling as Pillow does it, to the bit: the server's networks were trained on pictures made that way, and a browser's
 * own scaling differs enough to move vectors. Two passes, rows first, with a kernel that widens when it shrinks.
 * Source: Pillow's Resample.c (8 bits a channel: coefficients of 22 bits, rounded; float: as they are).
 */

/** Pixels, three bytes each: row after row, red, green, blue. */
export interface Rgb {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

type Kernel = { support: number; weight: (x: number) => number };
interface Coefficients {
  size: number; // of each window
  starts: Int32Array;
  counts: Int32Array;
  weights: Float64Array;
}

const PRECISION_BITS = 22;
const BICUBIC: Kernel = {
  support: 2,
  weight: (x) => {
    const a = -0.5;
    const d = Math.abs(x);
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
  },
};
const BILINEAR: Kernel = { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };
export const KERNELS = { bicubic: BICUBIC, bilinear: BILINEAR };
export type KernelName = keyof typeof KERNELS;

/** Python's round: halves to the even number. */
export function round(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

function coefficients(from: number, to: number, kernel: Kernel): Coefficients {
  const scale = from / to;
  const wider = Math.max(1, scale);
  const support = kernel.support * wider;
  const size = Math.ceil(support) * 2 + 1;
  const found = {
    size,
    starts: new Int32Array(to),
    counts: new Int32Array(to),
    weights: new Float64Array(to * size),
  };
  for (let at = 0; at < to; at++) {
    const center = (at + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(from, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let x = 0; x < count; x++) {
      const weight = kernel.weight((x + start - center + 0.5) / wider);
      found.weights[at * size + x] = weight;
      sum += weight;
    }
    for (let x = 0; x < count; x++) found.weights[at * size + x]! /= sum || 1;
    found.starts[at] = start;
    found.counts[at] = count;
  }
  return found;
}

function whole(weights: Float64Array): Int32Array {
  return Int32Array.from(weights, (w) => Math.trunc((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION_BITS)));
}

/** One pass: `lines` lines of `to` windows; `step` is between neighbours in a window, `line` between lines. */
function pass(from: Uint8Array | Uint8ClampedArray, into: Uint8Array, c: Coefficients, shape: Shape): void {
  const weights = whole(c.weights);
  const half = 1 << (PRECISION_BITS - 1);
  for (let l = 0; l < shape.lines; l++) {
    for (let at = 0; at < shape.to; at++) {
      const count = c.counts[at]!;
      let place = l * shape.lineIn + c.starts[at]! * shape.step;
      let [red, green, blue] = [half, half, half];
      for (let x = 0, k = at * c.size; x < count; x++, k++, place += shape.step) {
        const w = weights[k]!;
        red += from[place]! * w;
        green += from[place + 1]! * w;
        blue += from[place + 2]! * w;
      }
      const put = l * shape.lineOut + at * shape.step2;
      into[put] = clipped(red);
      into[put + 1] = clipped(green);
      into[put + 2] = clipped(blue);
    }
  }
}

interface Shape {
  lines: number;
  to: number;
  lineIn: number;
  lineOut: number;
  step: number;
  step2: number;
}

function clipped(sum: number): number {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** A picture in another size; the same object where it has that size. */
export function resize(image: Rgb, width: number, height: number, kernel: KernelName): Rgb {
  let found = image;
  if (width !== image.width) {
    const data = new Uint8Array(width * image.height * 3);
    const c = coefficients(image.width, width, KERNELS[kernel]);
    const [lineIn, lineOut] = [image.width * 3, width * 3];
    pass(image.data, data, c, { lines: image.height, to: width, lineIn, lineOut, step: 3, step2: 3 });
    found = { data, width, height: image.height };
  }
  if (height !== image.height) {
    const data = new Uint8Array(width * height * 3);
    const c = coefficients(image.height, height, KERNELS[kernel]);
    const step = width * 3;
    pass(found.data, data, c, { lines: width, to: height, lineIn: 3, lineOut: 3, step, step2: step });
    found = { data, width, height };
  }
  return found;
}

/** The same for one channel of floats, such as a mask. */
export function resizeFloat(from: Float32Array, w: number, h: number, width: number, height: number): Float32Array {
  let found = from;
  if (width !== w) {
    const c = coefficients(w, width, BILINEAR);
    found = new Float32Array(width * h);
    for (let y = 0; y < h; y++)
      for (let at = 0; at < width; at++) {
        let sum = 0;
        for (let x = 0; x < c.counts[at]!; x++) sum += from[y * w + c.starts[at]! + x]! * c.weights[at * c.size + x]!;
        found[y * width + at] = sum;
      }
  }
  if (height === h) return found;
  const c = coefficients(h, height, BILINEAR);
  const into = new Float32Array(width * height);
  for (let at = 0; at < height; at++)
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let y = 0; y < c.counts[at]!; y++) sum += found[(c.starts[at]! + y) * width + x]! * c.weights[at * c.size + y]!;
      into[at * width + x] = sum;
    }
  return into;
}

/** How pictures become a network's input; the form the server tells it in. */
export interface Preprocessing {
  height: number;
  width: number;
  background: [number, number, number];
  resample: KernelName;
}

/** Where a picture of a size comes to lie in the input: left, top, width, height. */
export function place(shape: Preprocessing, width: number, height: number): [number, number, number, number] {
  const scale = Math.min(shape.width / width, shape.height / height);
  const [w, h] = [Math.max(1, round(width * scale)), Math.max(1, round(height * scale))];
  return [Math.floor((shape.width - w) / 2), Math.floor((shape.height - h) / 2), w, h];
}

/** A picture as a network's input: scaled to fit, centred, padded. (height, width, 3) bytes. */
export function preprocess(image: Rgb, shape: Preprocessing): Uint8Array {
  const [left, top, w, h] = place(shape, image.width, image.height);
  const scaled = resize(image, w, h, shape.resample);
  const canvas = new Uint8Array(shape.width * shape.height * 3);
  for (let at = 0; at < canvas.length; at++) canvas[at] = shape.background[at % 3]!;
  for (let y = 0; y < h; y++)
    canvas.set(scaled.data.subarray(y * w * 3, (y + 1) * w * 3), ((top + y) * shape.width + left) * 3);
  return canvas;
}
