/** A person's picture: as it came, the part of it that counts, and how it is sent. */
export type Box = [left: number, top: number, right: number, bottom: number]; // in shares of its sides

export interface Picture {
  bitmap: ImageBitmap;
  url: string;
  width: number;
  height: number;
}

export const WHOLE: Box = [0, 0, 1, 1];
export const SENT_SIDE = 640; // pixels of the longer side: about 60 kB, and four times what the networks see
const KEPT_SIDE = 1600; // more would not fit old phones' memory
const QUALITY = 0.85;

/** Opens a file as a picture, upright. Throws where it is none. */
export async function openPicture(file: Blob): Promise<Picture> {
  const whole = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, KEPT_SIDE / Math.max(whole.width, whole.height));
  const canvas = draw(whole, WHOLE, Math.round(whole.width * scale), Math.round(whole.height * scale));
  whole.close();
  const blob = await encoded(canvas);
  const bitmap = await createImageBitmap(canvas);
  return { bitmap, url: URL.createObjectURL(blob), width: bitmap.width, height: bitmap.height };
}

/** The part of a picture that counts, small enough for a slow network: a JPEG. */
export async function cropped(picture: Picture, box: Box, side = SENT_SIDE): Promise<Blob> {
  const [w, h] = [(box[2] - box[0]) * picture.width, (box[3] - box[1]) * picture.height];
  const scale = Math.min(1, side / Math.max(w, h));
  return encoded(draw(picture.bitmap, box, Math.max(8, Math.round(w * scale)), Math.max(8, Math.round(h * scale))));
}

function draw(from: ImageBitmap, box: Box, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d")!;
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  const [left, top] = [box[0] * from.width, box[1] * from.height];
  pen.drawImage(from, left, top, (box[2] - box[0]) * from.width, (box[3] - box[1]) * from.height, 0, 0, width, height);
  return canvas;
}

function encoded(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((done, fail) =>
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture"))), "image/jpeg", QUALITY),
  );
}
