/** The part of a picture that counts: corners moved by finger or keys, garments tapped. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Region } from "@lapel/client";
import { api } from "./finding";
import { Icon } from "./icons";
import type { Settings } from "./kept";
import { cropped, WHOLE, type Box, type Picture } from "./picture";
import { fill, type Texts } from "./texts";

const LEAST = 0.08; // share of a side
const STEP = 0.02; // of an arrow key
const MARGIN = 0.03; // around a garment that was tapped

interface Props {
  picture: Picture;
  box: Box;
  settings: Settings;
  texts: Texts;
  onBack: () => void;
  onSearch: (box: Box) => void;
}

export function Crop({ picture, box: first, settings, texts, onBack, onSearch }: Props) {
  const [box, setBox] = useState<Box>(first);
  const [regions, setRegions] = useState<Region[] | null>(null);
  const frame = useRef<HTMLDivElement>(null);
  const moved = useRef<{ corner: number; pointer: number } | null>(null);

  useEffect(() => {
    let there = true;
    const quiet = settings.device || settings.sendNothing; // then the picture is not sent, for this neither
    const asked = quiet ? Promise.resolve([]) : cropped(picture, WHOLE).then((image) => api(settings).regions(image));
    asked.then(
      (found) => there && setRegions(found),
      () => there && setRegions([]),
    );
    return () => {
      there = false;
    };
  }, [picture]);

  const move = (corner: number, x: number, y: number) => setBox((old) => cornered(old, corner, x, y));
  const at = (event: PointerEvent): [number, number] => {
    const rect = frame.current!.getBoundingClientRect();
    return [clamp((event.clientX - rect.left) / rect.width), clamp((event.clientY - rect.top) / rect.height)];
  };
  const [l, t, r, b] = box;

  return (
    <main class="view crop">
      <header class="bar">
        <button class="round" aria-label={texts.back} onClick={onBack}>
          <Icon name="back" />
        </button>
        <h1>{texts.cropTitle}</h1>
      </header>
      <div class="stage">
        <div class="frame" ref={frame} style={{ aspectRatio: `${picture.width} / ${picture.height}`, "--ratio": picture.width / picture.height }}>
          <img src={picture.url} alt={texts.yourPicture} width={picture.width} height={picture.height} draggable={false} />
          <div class="shade">
            <div class="chosen" style={{ left: pc(l), top: pc(t), width: pc(r - l), height: pc(b - t) }} />
          </div>
          {(regions ?? []).map((region, number) => {
            const [x, y, right, bottom] = region.box;
            return (
              <button
                key={number}
                class="region"
                aria-label={region.kind || `${texts.region} ${number + 1}`}
                style={{ left: pc((x + right) / 2), top: pc((y + bottom) / 2) }}
                onClick={() => setBox(widened(region.box as Box))}
              >
                {region.kind && <span>{region.kind}</span>}
              </button>
            );
          })}
          {[0, 1, 2, 3].map((corner) => (
            <button
              key={corner}
              class="corner"
              aria-label={fill(texts.corner, { n: corner + 1 })}
              style={{ left: pc(corner % 2 ? r : l), top: pc(corner > 1 ? b : t) }}
              onPointerDown={(event) => {
                moved.current = { corner, pointer: event.pointerId };
                (event.currentTarget as Element).setPointerCapture(event.pointerId);
              }}
              onPointerMove={(event) => {
                if (moved.current?.pointer === event.pointerId) move(moved.current.corner, ...at(event));
              }}
              onPointerUp={() => (moved.current = null)}
              onPointerCancel={() => (moved.current = null)}
              onKeyDown={(event) => {
                const by = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
                if (!by) return;
                event.preventDefault();
                move(corner, clamp((corner % 2 ? r : l) + by[0]!), clamp((corner > 1 ? b : t) + by[1]!));
              }}
            />
          ))}
        </div>
      </div>
      <p class="hint" aria-live="polite">
        {regions === null ? texts.looking : texts.cropHint}
      </p>
      <div class="actions">
        <button class="second" onClick={() => setBox(WHOLE)} disabled={box.every((side, place) => side === WHOLE[place])}>
          {texts.wholePicture}
        </button>
        <button class="main" onClick={() => onSearch(box)}>
          <Icon name="search" />
          {texts.search}
        </button>
      </div>
    </main>
  );
}

function cornered([l, t, r, b]: Box, corner: number, x: number, y: number): Box {
  return [
    corner % 2 ? l : Math.min(x, r - LEAST),
    corner > 1 ? t : Math.min(y, b - LEAST),
    corner % 2 ? Math.max(x, l + LEAST) : r,
    corner > 1 ? Math.max(y, t + LEAST) : b,
  ];
}

function widened([l, t, r, b]: Box): Box {
  const [x, y] = [MARGIN * (r - l), MARGIN * (b - t)];
  return [clamp(l - x), clamp(t - y), clamp(r + x), clamp(b + y)];
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}

function pc(share: number): string {
  return `${100 * share}%`;
}
