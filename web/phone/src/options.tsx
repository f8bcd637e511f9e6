/** Settings: the key, what works in the phone, the language, and erasing it all. */
import { useEffect, useState } from "preact/hooks";
import type { Device } from "@lapel/client";
import { ask, configure } from "./device";
import { API, api, trouble } from "./finding";
import { eraseRecents, type Settings } from "./kept";
import { eraseCaches } from "./shared";
import { Sheet } from "./sheet";
import { fill, LANGUAGES, type Texts } from "./texts";
import type { ShopState } from "./worker/protocol";

const RUNTIME_MB = 4; // what runs the networks, packed
const THUMBNAIL_BYTES = 900;
const MB = 1e6;

interface Props {
  settings: Settings;
  texts: Texts;
  onChange: (settings: Settings) => void;
  onErased: () => void;
  onClose: () => void;
}

export function Options({ settings, texts, onChange, onErased, onClose }: Props) {
  const [key, setKey] = useState(settings.key);
  return (
    <Sheet title={texts.settings} texts={texts} onClose={onClose}>
      <form
        class="field"
        onSubmit={(event) => {
          event.preventDefault();
          onChange({ ...settings, key: key.trim() });
        }}
      >
        <label for="key">{texts.key}</label>
        <div class="row">
          <input id="key" type="password" autocomplete="off" spellcheck={false} value={key} onInput={(event) => setKey(event.currentTarget.value)} />
          <button class="second" disabled={key.trim() === settings.key}>
            {texts.save}
          </button>
        </div>
        <small>{texts.keyHint}</small>
      </form>
      <DeviceOption {...{ settings, texts, onChange }} />
      <ShopOption {...{ settings, texts, onChange }} />
      <div class="field">
        <label for="language">{texts.language}</label>
        <select id="language" value={settings.language} onChange={(event) => onChange({ ...settings, language: event.currentTarget.value })}>
          {Object.entries(LANGUAGES).map(([code, { name }]) => (
            <option key={code} value={code} lang={code}>
              {name}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <small>{texts.privacy}</small>
        <button
          class="second wide danger"
          onClick={async () => {
            await eraseRecents();
            await ask("forget", null).catch(() => null);
            await eraseCaches().catch(() => undefined);
            localStorage.clear();
            onErased();
          }}
        >
          {texts.erase}
        </button>
      </div>
    </Sheet>
  );
}

interface Part {
  settings: Settings;
  texts: Texts;
  onChange: (settings: Settings) => void;
}

function DeviceOption({ settings, texts, onChange }: Part) {
  const [device, setDevice] = useState<Device | null | undefined>(undefined);
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    api(settings).device().then(setDevice, () => setDevice(null));
  }, [settings.key]);

  const turn = async (on: boolean) => {
    if (!on) return onChange({ ...settings, device: false, sendNothing: false });
    setBusy(true);
    try {
      await configure(API, settings.key);
      await ask("openDevice", { fresh: true }, (done, total) => setSaid(percent(texts, done, total)));
      setSaid("");
      onChange({ ...settings, device: true });
    } catch (error) {
      setSaid(problemText(texts, error));
    } finally {
      setBusy(false);
    }
  };
  const bytes = device ? device.model.bytes + device.segmenter.bytes : 0;
  const hint = device ? fill(texts.deviceHint, { dim: device.model.dim, mb: Math.ceil(bytes / MB + RUNTIME_MB) }) : "";
  return (
    <div class="field">
      <Switch id="device" text={texts.device} on={settings.device} disabled={busy || (!device && !settings.device)} onTurn={turn} />
      <small aria-live="polite">{said || (device === null && !settings.device ? texts.deviceNone : settings.device ? texts.deviceReady : hint)}</small>
    </div>
  );
}

function ShopOption({ settings, texts, onChange }: Part) {
  const [state, setState] = useState<ShopState | null>(null);
  const [pictures, setPictures] = useState(false);
  const [products, setProducts] = useState(0);
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    configure(API, settings.key)
      .then(() => ask("openShop", null))
      .then(setState, () => undefined);
    api(settings).search({ text: "a", k: 1 }).then((found) => setProducts(found.total), () => undefined);
  }, [settings.key]);

  const load = async () => {
    setBusy(true);
    try {
      await configure(API, settings.key);
      const found = await ask("loadShop", { thumbnails: pictures }, (done, total) => setSaid(percent(texts, done, total)));
      setState(found);
      setSaid(fill(texts.shopLoaded, { mb: (found.loaded_bytes / MB).toFixed(1) }));
    } catch (error) {
      setSaid(problemText(texts, error));
    } finally {
      setBusy(false);
    }
  };
  const language = document.documentElement.lang;
  return (
    <div class="field">
      <p class="label">{texts.phoneShop}</p>
      <small>{texts.phoneShopHint}</small>
      {state && (
        <small>
          {fill(texts.shopReady, {
            n: state.products.toLocaleString(language),
            mb: (state.bytes / MB).toFixed(1),
            date: new Date(state.at).toLocaleDateString(language),
          })}
        </small>
      )}
      <label class="check">
        <input type="checkbox" checked={pictures} onChange={(event) => setPictures(event.currentTarget.checked)} />
        {fill(texts.withPictures, { mb: Math.max(1, Math.round(((state?.photos ?? products) * THUMBNAIL_BYTES) / MB)) })}
      </label>
      <button class="second wide" disabled={busy} onClick={load}>
        {state ? texts.updateShop : texts.loadShop}
      </button>
      <small aria-live="polite">{said}</small>
      {state && <Switch id="nothing" text={texts.sendNothing} on={settings.sendNothing} disabled={!settings.device} onTurn={(on) => onChange({ ...settings, sendNothing: on })} />}
    </div>
  );
}

function Switch({ id, text, on, disabled, onTurn }: { id: string; text: string; on: boolean; disabled: boolean; onTurn: (on: boolean) => void }) {
  return (
    <label class="switch" for={id}>
      <span>{text}</span>
      <input id={id} type="checkbox" role="switch" checked={on} disabled={disabled} onChange={(event) => onTurn(event.currentTarget.checked)} />
    </label>
  );
}

function percent(texts: Texts, done: number, total: number): string {
  return fill(texts.loading, { n: Math.round((100 * done) / Math.max(total, 1)) });
}

function problemText(texts: Texts, error: unknown): string {
  const { kind, detail } = trouble(error);
  return { offline: texts.offline, key: texts.needsKey, badKey: texts.badKey }[kind as string] ?? fill(texts.failed, { detail });
}
