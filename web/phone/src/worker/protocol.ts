/** What the page asks of its worker, and what it answers: plain messages with a number. */
import type { Chosen, OfflineAnswer } from "./pack";

export interface Asked {
  /** Where the API is, and the key for it. */
  configure: { ask: { address: string; key: string }; told: null };
  /** Loads the networks, so that pictures are encoded here; anew where the shop may have others. */
  openDevice: { ask: { fresh: boolean }; told: { fingerprint: string } };
  embed: { ask: { image: Blob }; told: { vector: Float32Array; fingerprint: string; took_ms: number } };
  /** Opens what of the shop lies in the phone; null where there is nothing. */
  openShop: { ask: null; told: ShopState | null };
  /** Loads what changed; with `thumbnails` the small pictures too. */
  loadShop: { ask: { thumbnails: boolean }; told: ShopState };
  forget: { ask: null; told: null };
  search: { ask: ShopQuestion; told: OfflineAnswer };
}

export interface ShopState {
  products: number;
  photos: number;
  bytes: number;
  model: string;
  at: number;
  loaded_bytes: number;
}

export interface ShopQuestion {
  vector?: Float32Array;
  productId?: string;
  words?: string;
  chosen?: Chosen;
  facets?: string[];
  k: number;
}

export type Name = keyof Asked;
export interface Message {
  id: number;
  name: Name;
  ask: unknown;
}
export type Reply =
  | { id: number; told: unknown }
  | { id: number; problem: { message: string; code: string } }
  | { id: number; progress: { done: number; total: number } };
