/** How a question is answered: by the server, by the server from a vector made here, or in the phone alone. */
import { connect, Problem, Unreachable, type Client, type SearchAnswer, type SearchRequest } from "@lapel/client";
import { ask, configure } from "./device";
import type { Settings } from "./kept";

export interface Question {
  image: Blob | null; // cropped and scaled already
  productId: string;
  words: string;
  chosen: Record<string, string[]>;
  k: number;
}

/** A product of an answer, whichever way it was found. */
export interface Found {
  id: string;
  title: string;
  brand: string;
  price: string;
  url: string;
  inStock: boolean;
  verdict: string;
  details: [field: string, value: string][];
  picture: string;
}

export interface Answer {
  hits: Found[];
  verdict: string;
  total: number;
  facets: Record<string, Record<string, number>>;
  from: "server" | "device" | "phone";
}

export class Trouble extends Error {
  constructor(
    readonly kind: "offline" | "key" | "badKey" | "busy" | "picture" | "model" | "failed",
    readonly detail = "",
  ) {
    super(detail || kind);
  }
}

export const API = location.origin;
const HIDDEN = new Set(["id", "title", "url", "price", "price_minor", "currency", "attributes", "in_stock"]);
const WORDS_WEIGHT = 0.7; // of words beside a picture
const SHOWN_FACETS = ["category", "gender", "colour", "brand", "season"];
const ANSWER_MS = 25_000;

export function api(settings: Settings): Client {
  return connect(API, { key: settings.key || undefined, timeout: ANSWER_MS });
}

/** Answers a question, or throws a Trouble that the page has words for. */
export async function find(question: Question, settings: Settings): Promise<Answer> {
  try {
    await configure(API, settings.key);
    if (settings.sendNothing) return await inPhone(question);
    try {
      return await atServer(question, settings);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      return await inPhone(question).catch((problem) => {
        throw problem instanceof Trouble ? problem : new Trouble("offline");
      });
    }
  } catch (error) {
    throw trouble(error);
  }
}

export function trouble(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  if (error instanceof Unreachable) return new Trouble("offline");
  if (error instanceof Problem) {
    if (error.code === "key_missing") return new Trouble("key");
    if (error.status === 401 || error.status === 403) return new Trouble("badKey", error.detail);
    if (error.status === 429) return new Trouble("busy", String(error.retryAfter ?? 5));
    if (error.code === "unusable_image") return new Trouble("picture");
    return new Trouble("failed", error.detail);
  }
  return new Trouble("failed", error instanceof Error ? error.message : String(error));
}

async function atServer(question: Question, settings: Settings): Promise<Answer> {
  const own = api(settings);
  const where = Object.entries(question.chosen).flatMap(([name, values]) => (values.length ? [`${name}=${values.join("|")}`] : []));
  const rest: SearchRequest = { k: question.k, where, facets: SHOWN_FACETS };
  let from: Answer["from"] = "server";
  let found: SearchAnswer;
  if (question.image && settings.device) {
    from = "device";
    found = await byVector(own, rest, question).catch(async (error: unknown) => {
      if (!(error instanceof Problem && error.code === "model_mismatch")) throw error;
      await ask("openDevice", { fresh: true }); // the shop has another model since
      return byVector(own, rest, question);
    });
  } else if (question.image) {
    found = await own.search({ ...rest, ...(question.words ? { parts: [{ text: question.words, weight: WORDS_WEIGHT }] as never } : {}) }, question.image);
  } else {
    found = await own.search({ ...rest, ...asked(question, question.productId ? { product_id: question.productId } : {}) });
  }
  return {
    hits: found.hits.map((hit) => shown(hit.product, own.thumbnail(hit.photo.sha256), String(hit["verdict"] ?? ""))),
    verdict: found.verdict,
    total: found.total,
    facets: found.facets,
    from,
  };
}

/** Only the picture's vector is sent. */
async function byVector(own: Client, rest: SearchRequest, question: Question): Promise<SearchAnswer> {
  const { vector, fingerprint } = await ask("embed", { image: question.image! });
  return own.search({ ...rest, ...asked(question, { vector: [...vector], fingerprint }) });
}

/** A question without a picture file, as one part or as several. */
function asked(question: Question, main: SearchRequest): SearchRequest {
  if (!question.words) return main;
  if (!Object.keys(main).length) return { text: question.words };
  return { parts: [main, { text: question.words, weight: WORDS_WEIGHT }] as never };
}

async function inPhone(question: Question): Promise<Answer> {
  const state = await ask("openShop", null);
  if (!state) throw new Trouble("offline");
  const made = question.image ? await ask("embed", { image: question.image }) : null;
  if (made && made.fingerprint !== state.model) throw new Trouble("model");
  const found = await ask("search", {
    ...(made ? { vector: made.vector } : {}),
    productId: question.productId,
    words: question.words,
    chosen: question.chosen,
    facets: SHOWN_FACETS,
    k: question.k,
  });
  return {
    hits: found.hits.map((hit) =>
      shown(hit.product, hit.thumbnail ? URL.createObjectURL(hit.thumbnail) : `${API}/v1/thumbnails/${hit.photo.sha256}`, ""),
    ),
    verdict: found.total ? "found" : state.products ? "nothing passes the filter" : "the store is empty",
    total: found.total,
    facets: found.facets,
    from: "phone",
  };
}

function shown(product: Record<string, unknown>, picture: string, verdict: string): Found {
  const text = (name: string) => (typeof product[name] === "string" ? (product[name] as string) : "");
  const details = Object.entries(product).flatMap(([name, value]): [string, string][] => {
    if (HIDDEN.has(name) || value === null || value === "" || (Array.isArray(value) && !value.length)) return [];
    return [[name, Array.isArray(value) ? value.join(" › ") : String(value)]];
  });
  return {
    id: String(product["id"]),
    title: text("title") || String(product["id"]),
    brand: text("brand"),
    price: price(product["price"], text("currency")),
    url: /^https?:\/\//.test(text("url")) ? text("url") : "",
    inStock: product["in_stock"] !== false,
    verdict,
    details,
    picture,
  };
}

function price(amount: unknown, currency: string): string {
  if (typeof amount !== "number") return "";
  try {
    const style = currency ? { style: "currency" as const, currency } : {};
    return new Intl.NumberFormat(document.documentElement.lang, style).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}
