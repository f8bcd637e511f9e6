/**
 * A row of products on a shop's own page:
 *
 *     <script src="https://api.shop.example/widget.js" data-product="1163" data-key="lapel_..." async></script>
 *
 * The row stands where the script stands; `<lapel-row product="1163">` puts more of them anywhere. It keeps nothing,
 * moves nothing, and where the API is away it shows nothing.
 */
import type { SearchAnswer } from "@lapel/client";
import css from "./widget.css?inline";

type Hit = SearchAnswer["hits"][number];
interface Row {
  hits: Hit[];
  list_id?: string; // of a recommendation, for the events that come from it
}

const WAIT_MS = 8_000; // after which the row stays empty
const MOST = 24; // products of a row
const TITLES: Record<string, Record<string, string>> = {
  en: {
    similar: "Similar products",
    words: "You may also like",
    together: "Goes with it",
    look: "Complete the look",
    upsell: "Something finer",
    substitutes: "In its place",
    "for-you": "For you",
    back: "Back",
    on: "On",
    sold: "Sold out",
  },
  de: {
    similar: "Ähnliche Produkte",
    words: "Das könnte dir gefallen",
    together: "Passt dazu",
    look: "Der ganze Look",
    upsell: "Noch etwas feiner",
    substitutes: "Stattdessen",
    "for-you": "Für dich",
    back: "Zurück",
    on: "Weiter",
    sold: "Ausverkauft",
  },
};
const script = document.currentScript as HTMLScriptElement | null;
const home = script ? new URL(script.src).origin : "";

class LapelRow extends HTMLElement {
  static observedAttributes = ["row", "product", "words", "person", "basket", "where", "k"];
  private readonly inside = this.attachShadow({ mode: "open" });
  private asked = 0;

  connectedCallback(): void {
    const style = new CSSStyleSheet();
    style.replaceSync(css);
    this.inside.adoptedStyleSheets = [style]; // a page's policy on styles does not forbid these
    this.inside.replaceChildren(element("div", { class: "room" })); // its height is there before the products are
    void this.load();
  }

  attributeChangedCallback(): void {
    if (this.isConnected) void this.load();
  }

  private said(name: string, otherwise = ""): string {
    return this.getAttribute(name) ?? otherwise;
  }

  private get texts(): Record<string, string> {
    const language = (this.said("lang") || document.documentElement.lang || navigator.language).slice(0, 2);
    return TITLES[language] ?? TITLES["en"]!;
  }

  /** What is shown: a row that the server does not know stays empty. */
  private get row(): string {
    const usual = { words: "words", product: "similar", basket: "together", person: "for-you" };
    return this.said("row") || (Object.entries(usual).find(([name]) => this.said(name))?.[1] ?? "");
  }

  private async load(): Promise<void> {
    const mine = ++this.asked;
    let found: Row = { hits: [] };
    try {
      found = await this.fetched();
    } catch {
      // the API is away, or refuses: a shop's page says nothing of that
    }
    if (mine !== this.asked) return;
    const { hits, list_id: list = "" } = found;
    if (hits.length) this.show(hits, list);
    else this.inside.querySelector(".room")?.replaceChildren();
    const detail = { products: hits.map((hit) => hit.product.id), list };
    this.dispatchEvent(new CustomEvent("lapel-loaded", { bubbles: true, detail }));
  }

  private async fetched(): Promise<Row> {
    const { row } = this;
    if (!row) return { hits: [] };
    const api = this.said("api", home);
    const k = Math.min(MOST, Number(this.said("k", "12")) || 12);
    const list = (name: string) => this.said(name).split(";").filter(Boolean);
    const key = this.said("key");
    const headers: Record<string, string> = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const searched = row === "words" || (row === "similar" && !this.said("person"));
    const asked = searched
      ? row === "words"
        ? { text: this.said("words") }
        : { product_id: this.said("product") }
      : { kind: row, product_id: this.said("product") || null, person: this.said("person") || null, basket: list("basket") };
    const question = { k, where: list("where"), ...asked };
    const answer = await fetch(`${api}/v1/${searched ? "search" : "recommend"}`, {
      method: "POST",
      headers,
      body: JSON.stringify(question),
      credentials: "omit",
      signal: AbortSignal.timeout(WAIT_MS),
    });
    if (!answer.ok) throw new Error(String(answer.status));
    return (await answer.json()) as Row;
  }

  private show(hits: Hit[], from: string): void {
    const { texts } = this;
    const title = this.said("title", texts[this.row] ?? texts["similar"]);
    const list = element("ul", {}, hits.map((hit) => element("li", {}, [this.card(hit, from)])));
    const step = (by: number) => list.scrollBy({ left: by * list.clientWidth * 0.8, behavior: "smooth" });
    const button = (name: string, sign: string, by: number) => {
      const made = element("button", { type: "button", "aria-label": texts[name]! }, [sign]);
      made.addEventListener("click", () => step(by));
      return made;
    };
    const heading = element("h2", { id: "title" }, [title!]);
    const head = element("header", {}, [heading, element("div", {}, [button("back", "‹", -1), button("on", "›", 1)])]);
    this.inside.replaceChildren(element("section", { class: "room", "aria-labelledby": "title" }, [head, list]));
  }

  private card({ product, photo, rank }: Hit, list: string): HTMLElement {
    const own = product as Record<string, unknown> & { id: string };
    const text = (name: string) => (typeof own[name] === "string" ? (own[name] as string) : "");
    const title = text("title") || own.id;
    const pattern = this.said("link"); // such as /products/{id}
    const link = pattern ? pattern.replace("{id}", encodeURIComponent(own.id)) : text("url");
    const safe = link && /^(https?:|\/(?!\/))/.test(link) ? link : "";
    const image = element("img", {
      src: `${this.said("api", home)}/v1/thumbnails/${photo.sha256}`,
      alt: "",
      width: "450",
      height: "600",
      loading: "lazy",
      decoding: "async",
    });
    const price = own["in_stock"] === false ? this.texts["sold"]! : priceText(own["price"], text("currency"), document.documentElement.lang);
    const card = element(safe ? "a" : "div", safe ? { href: safe } : {}, [
      image,
      element("span", { class: "title" }, [title]),
      element("span", { class: "price" }, [price]),
    ]);
    card.addEventListener("click", () =>
      this.dispatchEvent(new CustomEvent("lapel-click", { bubbles: true, detail: { product: own.id, rank, list } })),
    );
    return card;
  }
}

function priceText(amount: unknown, currency: string, language: string): string {
  if (typeof amount !== "number") return "";
  try {
    return new Intl.NumberFormat(language || undefined, currency ? { style: "currency", currency } : {}).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

function element(name: string, attributes: Record<string, string>, inside: (Node | string)[] = []): HTMLElement {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

if (!customElements.get("lapel-row")) customElements.define("lapel-row", LapelRow);

// The script itself asks for a row: it comes right behind the script.
if (script && ["row", "product", "words", "person", "basket"].some((name) => script.dataset[name])) {
  script.after(element("lapel-row", { api: home, ...(script.dataset as Record<string, string>) }));
}
