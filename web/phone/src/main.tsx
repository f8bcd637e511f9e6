/** The phone page: what is shown when, and what a search was. */
import { render } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Camera, canUseCamera } from "./camera";
import { Crop } from "./crop";
import { api, find, trouble, Trouble, type Answer, type Found, type Question } from "./finding";
import { Icon } from "./icons";
import { eraseRecents, keepRecent, keepSettings, recents, settings as readSettings, type Recent, type Settings } from "./kept";
import { Options } from "./options";
import { cropped, openPicture, WHOLE, type Box, type Picture } from "./picture";
import { PAGE, Results, WordsField } from "./results";
import { takeShared, startServiceWorker } from "./shared";
import { LANGUAGES } from "./texts";
import "./style.css";

type View = "start" | "camera" | "crop" | "results";
const TOAST_MS = 4000;

interface Asked {
  picture: Picture | null;
  box: Box;
  image: Blob | null; // what is sent of the picture
  imageUrl: string;
  product: Found | null;
  words: string;
  chosen: Record<string, string[]>;
  k: number;
}

const NOTHING: Asked = { picture: null, box: WHOLE, image: null, imageUrl: "", product: null, words: "", chosen: {}, k: PAGE };

function App() {
  const [settings, setSettings] = useState<Settings>(takenFromLink);
  const [view, setView] = useState<View>("start");
  const [asked, setAsked] = useState<Asked>(NOTHING);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [facets, setFacets] = useState<Answer["facets"]>({});
  const [problem, setProblem] = useState<Trouble | null>(null);
  const [busy, setBusy] = useState(false);
  const [options, setOptions] = useState(false);
  const [told, setTold] = useState("");
  const [recent, setRecent] = useState<Recent[]>([]);
  const [online, setOnline] = useState(navigator.onLine);
  const turn = useRef(0);
  const texts = LANGUAGES[settings.language] ?? LANGUAGES["en"]!;

  useEffect(() => {
    document.documentElement.lang = settings.language;
    keepSettings(settings);
  }, [settings]);
  useEffect(() => {
    void recents().then(setRecent);
    void takeShared().then((file) => file && openFile(file));
    const product = /[#&]product=([^&]+)/.exec(location.hash)?.[1];
    if (product) void openProduct(decodeURIComponent(product));
    const back = () => setView((history.state as { view?: View } | null)?.view ?? "start");
    const network = () => setOnline(navigator.onLine);
    addEventListener("popstate", back);
    addEventListener("online", network);
    addEventListener("offline", network);
    return () => {
      removeEventListener("popstate", back);
      removeEventListener("online", network);
      removeEventListener("offline", network);
    };
  }, []);
  useEffect(() => {
    if (!told) return;
    const timer = setTimeout(() => setTold(""), TOAST_MS);
    return () => clearTimeout(timer);
  }, [told]);

  const go = (next: View) => {
    if (next !== view) history.pushState({ view: next }, "");
    setView(next);
    scrollTo(0, 0);
  };

  const search = useCallback(
    async (question: Asked, keep = true) => {
      const mine = ++turn.current;
      setAsked(question);
      setBusy(true);
      setProblem(null);
      if (question.k === PAGE) setAnswer(null);
      const sent: Question = { ...question, productId: question.product?.id ?? "" };
      if (keep && (question.image || question.words) && !question.product)
        void keepRecent({ at: Date.now(), words: question.words, image: question.image }).then(recents).then(setRecent);
      try {
        const found = await find(sent, settings);
        if (mine !== turn.current) return;
        setAnswer(found);
        if (!Object.values(question.chosen).some((values) => values.length)) setFacets(found.facets);
      } catch (error) {
        if (mine === turn.current) setProblem(trouble(error));
      } finally {
        if (mine === turn.current) setBusy(false);
      }
    },
    [settings],
  );

  const openFile = async (file: Blob) => {
    try {
      const picture = await openPicture(file);
      setAsked({ ...NOTHING, picture });
      go("crop");
    } catch {
      setTold(texts.badPicture);
    }
  };

  const openProduct = async (id: string) => {
    go("results");
    setBusy(true);
    try {
      const own = api(settings);
      const found = await own.product(id);
      const { product, photos } = found as { product: { id: string; title?: string }; photos: { sha256: string }[] };
      const picture = photos[0] ? own.thumbnail(photos[0].sha256) : "";
      similar({ id, title: product.title || id, brand: "", price: "", url: "", inStock: true, verdict: "", details: [], picture });
    } catch (error) {
      setBusy(false);
      setProblem(trouble(error));
    }
  };

  const similar = (product: Found) => {
    go("results");
    scrollTo(0, 0);
    void search({ ...NOTHING, product, imageUrl: product.picture });
  };

  const searchBox = async (box: Box) => {
    const image = await cropped(asked.picture!, box);
    go("results");
    void search({ ...asked, box, image, imageUrl: URL.createObjectURL(image), k: PAGE });
  };

  const searchWords = (words: string) => {
    if (!words) return;
    go("results");
    void search({ ...NOTHING, words });
  };

  const openRecent = async ({ image, words }: Recent) => {
    go("results");
    const picture = image ? await openPicture(image).catch(() => null) : null;
    void search({ ...NOTHING, picture, image, words, imageUrl: image ? URL.createObjectURL(image) : "" }, false);
  };

  return (
    <>
      {!online && <p class="offline">{texts.offlineBanner}</p>}
      {view === "start" && (
        <Start
          {...{ texts, recent }}
          onCamera={() => go("camera")}
          onFile={openFile}
          onWords={searchWords}
          onRecent={openRecent}
          onErase={async () => {
            await eraseRecents();
            setRecent([]);
          }}
          onSettings={() => setOptions(true)}
        />
      )}
      {view === "camera" && (
        <Camera
          texts={texts}
          onBack={() => history.back()}
          onTaken={openFile}
          onRefused={() => {
            setTold(texts.cameraRefused);
            setView("start");
          }}
        />
      )}
      {view === "crop" && asked.picture && (
        <Crop picture={asked.picture} box={asked.box} {...{ settings, texts }} onBack={() => history.back()} onSearch={searchBox} />
      )}
      {view === "results" && (
        <Results
          key={`${asked.imageUrl} ${asked.words}`}
          {...{ texts, answer, problem, busy, facets }}
          picture={asked.imageUrl}
          about={asked.product?.title ?? ""}
          words={asked.words}
          chosen={asked.chosen}
          onBack={() => go("start")}
          onCrop={asked.picture ? () => go("crop") : null}
          onWords={(words) => search({ ...asked, words, k: PAGE })}
          onChoose={(chosen) => search({ ...asked, chosen, k: PAGE }, false)}
          onMore={() => search({ ...asked, k: asked.k + PAGE }, false)}
          onSimilar={similar}
          onSettings={() => setOptions(true)}
          onRetry={() => search(asked, false)}
          onTold={setTold}
        />
      )}
      {options && (
        <Options
          {...{ settings, texts }}
          onChange={setSettings}
          onErased={() => {
            setSettings(readSettings());
            setRecent([]);
            setOptions(false);
            setTold(texts.erased);
          }}
          onClose={() => setOptions(false)}
        />
      )}
      <p class="toast" role="status" hidden={!told}>
        {told}
      </p>
    </>
  );
}

interface StartProps {
  texts: (typeof LANGUAGES)[string];
  recent: Recent[];
  onCamera: () => void;
  onFile: (file: Blob) => void;
  onWords: (words: string) => void;
  onRecent: (one: Recent) => void;
  onErase: () => void;
  onSettings: () => void;
}

function Start({ texts, recent, onCamera, onFile, onWords, onRecent, onErase, onSettings }: StartProps) {
  const input = (event: { currentTarget: HTMLInputElement }) => {
    const file = event.currentTarget.files?.[0];
    event.currentTarget.value = "";
    if (file) onFile(file);
  };
  return (
    <main class="view start">
      <header class="bar">
        <p class="brand">Lapel</p>
        <button class="round" aria-label={texts.settings} onClick={onSettings}>
          <Icon name="settings" />
        </button>
      </header>
      <div class="hero">
        <h1>{texts.tagline}</h1>
        <p>{texts.intro}</p>
      </div>
      {recent.length > 0 && (
        <section class="recent">
          <header>
            <h2>{texts.recent}</h2>
            <button class="text" onClick={onErase}>
              {texts.eraseRecent}
            </button>
          </header>
          <ul>
            {recent.map((one) => (
              <li key={one.id}>
                <button onClick={() => onRecent(one)}>
                  {one.image ? <Small image={one.image} text={one.words || texts.yourPicture} /> : <Icon name="search" />}
                  {one.words && <span>{one.words}</span>}
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
      <div class="dock">
        <h2 class="quiet">{texts.wordsOnly}</h2>
        <WordsField texts={texts} words="" onWords={onWords} />
        <div class="actions">
          <label class="second">
            <Icon name="picture" />
            {texts.choosePicture}
            <input class="hidden" type="file" accept="image/*" onChange={input} />
          </label>
          {canUseCamera() ? (
            <button class="main" onClick={onCamera}>
              <Icon name="camera" />
              {texts.takePhoto}
            </button>
          ) : (
            <label class="main">
              <Icon name="camera" />
              {texts.takePhoto}
              <input class="hidden" type="file" accept="image/*" capture="environment" onChange={input} />
            </label>
          )}
        </div>
      </div>
    </main>
  );
}

function Small({ image, text }: { image: Blob; text: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(image);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [image]);
  return url ? <img src={url} alt={text} width="72" height="96" /> : <span class="blank" />;
}

/** The settings, with the key of the link that opened the page; it is taken out of the address at once. */
function takenFromLink(): Settings {
  const kept = readSettings();
  const key = /[#&]key=([^&]+)/.exec(location.hash)?.[1];
  if (!key) return kept;
  const rest = location.hash.slice(1).split("&").filter((part) => !part.startsWith("key=")).join("&");
  history.replaceState(history.state, "", `${location.pathname}${location.search}${rest ? `#${rest}` : ""}`);
  return { ...kept, key: decodeURIComponent(key) };
}

history.replaceState({ view: "start" }, "");
render(<App />, document.getElementById("app")!);
startServiceWorker();
