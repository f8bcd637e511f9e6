/** The page's side of its worker: ask, and be told. The worker is started by the first question. */
import type { Asked, Name, Reply } from "./worker/protocol";

type Progress = (done: number, total: number) => void;
interface Waiting {
  done: (told: never) => void;
  fail: (error: Error) => void;
  progress: Progress | undefined;
}

let worker: Worker | null = null;
let next = 1;
let configured = "";
const waiting = new Map<number, Waiting>();

export class DeviceError extends Error {
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
  }
}

function started(): Worker {
  if (worker) return worker;
  worker = new Worker(new URL("./worker/worker.ts", import.meta.url), { type: "module", name: "lapel" });
  worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
    const own = waiting.get(data.id);
    if (!own) return;
    if ("progress" in data) return own.progress?.(data.progress.done, data.progress.total);
    waiting.delete(data.id);
    if ("problem" in data) own.fail(new DeviceError(data.problem.message, data.problem.code));
    else own.done(data.told as never);
  });
  worker.addEventListener("error", (event) => {
    for (const own of waiting.values()) own.fail(new DeviceError(event.message || "the worker stopped", ""));
    waiting.clear();
    worker = null;
    configured = "";
  });
  return worker;
}

/** Asks the worker one thing. */
export function ask<N extends Name>(name: N, question: Asked[N]["ask"], progress?: Progress): Promise<Asked[N]["told"]> {
  return new Promise((done, fail) => {
    const id = next++;
    waiting.set(id, { done: done as (told: never) => void, fail, progress });
    started().postMessage({ id, name, ask: question });
  });
}

/** Tells the worker where the API is; once for each key. */
export async function configure(address: string, key: string): Promise<void> {
  if (worker && configured === `${address} ${key}`) return;
  await ask("configure", { address, key });
  configured = `${address} ${key}`;
}
