/**
 * Typed client of Lapel's HTTP API, for browsers and Node 20. The types of every route are generated from the OpenAPI
 * text; `http` reaches all of them, the methods are those that pages need.
 *
 *     const shop = connect("https://api.shop.example", { key });
 *     const found = await shop.search({ text: "red dress", k: 12 });
 */
import createHttp, { type Client as Http, type FetchResponse } from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type SearchRequest = Partial<Schemas["SearchRequest"]>;
export type SearchAnswer = Schemas["SearchAnswer"];
export type Hit = Schemas["HitAnswer"];
export type Product = Schemas["ProductAnswer"];
export type Region = Schemas["RegionAnswer"];
export type Pack = Schemas["PackAnswer"];
export type Device = Schemas["DeviceAnswer"];
export type { components, paths };

/** What the API says is wrong, by RFC 9457: go by `code`; `detail` says what to do. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }
}

/** The server could not be reached, or did not answer in time. */
export class Unreachable extends Error {}

export interface Options {
  key?: string | undefined;
  /** Milliseconds that an answer may take. */
  timeout?: number;
  fetch?: typeof fetch;
}

export class Client {
  readonly http: Http<paths>;
  private readonly send: (request: Request) => Promise<Response>;

  constructor(
    readonly address: string,
    private readonly options: Options = {},
  ) {
    const own = options.fetch ?? ((input: RequestInfo | URL, init?: RequestInit) => fetch(input, init));
    this.send = async (request) => {
      try {
        return await own(request, { signal: AbortSignal.timeout(options.timeout ?? 30_000) });
      } catch (error) {
        throw new Unreachable(error instanceof Error ? error.message : "no answer");
      }
    };
    const headers = options.key ? { Authorization: `Bearer ${options.key}` } : {};
    this.http = createHttp<paths>({ baseUrl: address, headers, fetch: this.send });
  }

  /** Products by words, a product, a vector, parts; with `image` by a picture too. */
  async search(query: SearchRequest, image?: Blob): Promise<SearchAnswer> {
    if (!image) return this.told(await this.http.POST("/v1/search", { body: query as Schemas["SearchRequest"] }));
    const form = new FormData();
    form.set("image", image, "picture.jpg");
    form.set("query", JSON.stringify(query));
    return this.told(
      await this.http.POST("/v1/search", { body: form as never, bodySerializer: (body: unknown) => body as FormData }),
    );
  }

  /** Products that look like one of the shop. */
  async similar(productId: string, query: paths["/v1/products/{product_id}/similar"]["get"]["parameters"]["query"] = {}) {
    return this.told(
      await this.http.GET("/v1/products/{product_id}/similar", { params: { path: { product_id: productId }, query } }),
    );
  }

  async product(productId: string) {
    return this.told(await this.http.GET("/v1/products/{product_id}", { params: { path: { product_id: productId } } }));
  }

  /** The products in a picture, each with its box in shares of the picture's sides. */
  async regions(image: Blob): Promise<Region[]> {
    const form = new FormData();
    form.set("image", image, "picture.jpg");
    const told = this.told(
      await this.http.POST("/v1/regions", { body: form as never, bodySerializer: (body: unknown) => body as FormData }),
    );
    return told.regions as Region[];
  }

  async facets(names?: string[], where: string[] = []): Promise<Record<string, Record<string, number>>> {
    return this.told(await this.http.GET("/v1/facets", { params: { query: { name: names ?? null, where } } })).facets;
  }

  async version() {
    return this.told(await this.http.GET("/v1/version")) as {
      lapel: string;
      model: { name: string; fingerprint: string; dim: number };
      revision: number;
    };
  }

  /** The networks that encode a picture on the device. */
  async device(): Promise<Device> {
    return this.told(await this.http.GET("/v1/device"));
  }

  /** The catalogue in pieces. */
  async pack(): Promise<Pack> {
    return this.told(await this.http.GET("/v1/pack"));
  }

  /** A piece of the catalogue, or a network. */
  async piece(sha256: string): Promise<ArrayBuffer> {
    return (await this.pieceResponse(sha256)).arrayBuffer();
  }

  async pieceResponse(sha256: string): Promise<Response> {
    const headers = this.options.key ? { Authorization: `Bearer ${this.options.key}` } : undefined;
    const request = new Request(`${this.address}/v1/pack/${sha256}`, headers ? { headers } : {});
    const answer = await this.send(request);
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }

  /** A small picture of a photo, which needs no key. */
  thumbnail(sha256: string): string {
    return `${this.address}/v1/thumbnails/${sha256}`;
  }

  private told<T extends Record<string | number, any>, O, M extends `${string}/${string}`>(answer: FetchResponse<T, O, M>) {
    if (answer.data === undefined) throw problem(answer.response, answer.error);
    return answer.data as NonNullable<typeof answer.data>;
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  return problem(answer, await answer.json().catch(() => null));
}

function problem(answer: Response, told: unknown): Problem {
  const said = (told && typeof told === "object" ? told : {}) as { code?: string; detail?: string };
  const wait = Number(answer.headers.get("Retry-After"));
  return new Problem(answer.status, said.code ?? "unknown", said.detail ?? answer.statusText, wait > 0 ? wait : null);
}

/** A client of a server, such as `connect("https://api.shop.example", { key: "lapel_..." })`. */
export function connect(address: string, options: Options = {}): Client {
  return new Client(address.replace(/\/+$/, ""), options);
}
