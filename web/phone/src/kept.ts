/** What the phone keeps: settings in localStorage, recent searches in IndexedDB. Nothing of it leaves the phone. */
export interface Recent {
  id?: number;
  at: number;
  words: string;
  image: Blob | null;
}

export interface Settings {
  key: string;
  language: string;
  device: boolean;
  sendNothing: boolean;
}

const NAME = "lapel";
const MOST = 12;

export function settings(): Settings {
  const language = navigator.language.startsWith("de") ? "de" : "en";
  const empty: Settings = { key: "", language, device: false, sendNothing: false };
  try {
    return { ...empty, ...(JSON.parse(localStorage.getItem(NAME) ?? "{}") as Partial<Settings>) };
  } catch {
    return empty;
  }
}

export function keepSettings(value: Settings): void {
  try {
    localStorage.setItem(NAME, JSON.stringify(value));
  } catch {
    // a private window may keep nothing; the page works all the same
  }
}

function opened(): Promise<IDBDatabase> {
  return new Promise((done, fail) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("recent", { keyPath: "id", autoIncrement: true });
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error ?? new Error("no database"));
  });
}

async function within<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await opened();
  try {
    return await new Promise<T>((done, fail) => {
      const asked = work(database.transaction("recent", mode).objectStore("recent"));
      asked.onsuccess = () => done(asked.result);
      asked.onerror = () => fail(asked.error ?? new Error("no answer"));
    });
  } finally {
    database.close();
  }
}

/** Recent searches, the newest first; none where the browser keeps nothing. */
export async function recents(): Promise<Recent[]> {
  try {
    return ((await within("readonly", (store) => store.getAll())) as Recent[]).reverse();
  } catch {
    return [];
  }
}

export async function keepRecent(one: Recent): Promise<void> {
  try {
    const same = (await recents()).filter((each) => !one.image && !each.image && each.words === one.words);
    await within("readwrite", (store) => store.add(one));
    const old = [...same, ...(await recents()).slice(MOST)];
    for (const each of old) if (each.id !== undefined) await within("readwrite", (store) => store.delete(each.id!));
  } catch {
    // as above
  }
}

export async function eraseRecents(): Promise<void> {
  try {
    await within("readwrite", (store) => store.clear());
  } catch {
    // as above
  }
}
