/** The camera inside the page, where the browser allows it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icons";
import type { Texts } from "./texts";

const WANTED = 1280; // pixels of the longer side

interface Props {
  texts: Texts;
  onBack: () => void;
  onTaken: (image: Blob) => void;
  onRefused: () => void;
}

export function canUseCamera(): boolean {
  return Boolean(navigator.mediaDevices?.getUserMedia) && window.isSecureContext;
}

export function Camera({ texts, onBack, onTaken, onRefused }: Props) {
  const video = useRef<HTMLVideoElement>(null);
  const [facing, setFacing] = useState<"environment" | "user">("environment");
  const [ready, setReady] = useState(false);

  useEffect(() => {
    let stream: MediaStream | null = null;
    let there = true;
    setReady(false);
    navigator.mediaDevices.getUserMedia({ video: { facingMode: facing, width: { ideal: WANTED } }, audio: false }).then(
      (found) => {
        stream = found;
        if (!there) return stop(found);
        video.current!.srcObject = found;
        void video.current!.play().catch(() => undefined);
      },
      () => there && onRefused(),
    );
    return () => {
      there = false;
      if (stream) stop(stream);
    };
  }, [facing]);

  const take = () => {
    const from = video.current!;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [from.videoWidth, from.videoHeight];
    canvas.getContext("2d")!.drawImage(from, 0, 0);
    canvas.toBlob((blob) => blob && onTaken(blob), "image/jpeg", 0.92);
  };

  return (
    <main class="view camera">
      <header class="bar">
        <button class="round" aria-label={texts.back} onClick={onBack}>
          <Icon name="back" />
        </button>
        <h1>{texts.camera}</h1>
        <button class="round" aria-label={texts.flipCamera} onClick={() => setFacing(facing === "user" ? "environment" : "user")}>
          <Icon name="flip" />
        </button>
      </header>
      <video ref={video} playsInline muted onLoadedData={() => setReady(true)} />
      <div class="actions centred">
        <button class="shutter" aria-label={texts.shutter} disabled={!ready} onClick={take} />
      </div>
    </main>
  );
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
