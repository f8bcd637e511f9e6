/**
 * A picture's vector on the device: `lapel.encoders.segmenter.embed_images` for one picture. The product alone knows no
 * floor, the whole picture knows the light; the vector is the mean direction of the two.
 */
import * as ort from "onnxruntime-web/wasm";
import wasmUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import type { Device } from "@lapel/client";
import { preprocess, type Preprocessing, type Rgb } from "./resize";
import { framed, isPlain, mainParts, shrink, unpad } from "./segment";

const MAX_DECODED = 1600; // pixels of the longer side; the networks see 160

interface Network {
  session: ort.InferenceSession;
  shape: Preprocessing;
}

export class Embedder {
  private constructor(
    readonly fingerprint: string,
    private readonly model: Network,
    private readonly segmenter: Network,
  ) {}

  /** Opens both networks; `load` gives the bytes of one by its SHA-256. */
  static async open(device: Device, load: (sha256: string) => Promise<ArrayBuffer>, runtime: ArrayBuffer): Promise<Embedder> {
    ort.env.wasm.numThreads = 1; // more need headers that break other things, and iOS has none
    ort.env.wasm.wasmBinary = runtime;
    const open = async (network: Device["model"]): Promise<Network> => ({
      session: await ort.InferenceSession.create(new Uint8Array(await load(network.sha256)), {
        executionProviders: ["wasm"],
        graphOptimizationLevel: "all",
      }),
      shape: network.preprocessing as unknown as Preprocessing,
    });
    return new Embedder(device.model.fingerprint, await open(device.model), await open(device.segmenter));
  }

  /** The unit vector of a picture. */
  async embed(picture: Rgb): Promise<Float32Array> {
    const whole = unit(await run(this.model, picture, "vectors"));
    const product = await this.cutOut(picture);
    if (!product) return whole;
    const own = unit(await run(this.model, product, "vectors"));
    return unit(whole.map((value, at) => value + own[at]!));
  }

  private async cutOut(picture: Rgb): Promise<Rgb | null> {
    const small = shrink(picture);
    if (isPlain(small)) return null;
    const { shape } = this.segmenter;
    const mask = mainParts(await run(this.segmenter, small, "mask"), shape.width, shape.height);
    return framed(small, unpad(mask, small, shape), this.model.shape);
  }
}

/** Where the runtime's WebAssembly is. */
export const runtimeUrl: string = wasmUrl;

async function run(network: Network, picture: Rgb, output: string): Promise<Float32Array> {
  const { height, width } = network.shape;
  const pixels = new ort.Tensor("uint8", preprocess(picture, network.shape), [1, height, width, 3]);
  const found = await network.session.run({ pixels }, [output]);
  return Float32Array.from(found[output]!.data as Float32Array);
}

function unit(vector: Float32Array): Float32Array {
  let sum = 0;
  for (const value of vector) sum += value * value;
  const length = Math.sqrt(sum) || 1;
  return vector.map((value) => value / length);
}

/** A file as pixels: upright, in sRGB, transparency on white. */
export async function decode(file: Blob): Promise<Rgb> {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, MAX_DECODED / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale))];
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true })!;
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const rgba = pen.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let at = 0, to = 0; at < rgba.length; at += 4) {
    data[to++] = rgba[at]!;
    data[to++] = rgba[at + 1]!;
    data[to++] = rgba[at + 2]!;
  }
  return { data, width, height };
}
