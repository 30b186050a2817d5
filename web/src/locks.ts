// Web Locks and BroadcastChannel, with which tabs coordinate. Browsers have neither in an insecure context (a page loaded
// without TLS from another machine). Each tab then works alone, which is slower but still correct.

/** Per name, the last work that waits where there are no Web Locks. */
const queues = new Map<string, Promise<unknown>>();

/** Runs `work` while no other tab runs any under the same name. */
export function exclusive<T>(name: string, work: () => Promise<T>): Promise<T> {
  if (navigator.locks) return navigator.locks.request(name, work) as Promise<T>;
  const before = queues.get(name) ?? Promise.resolve();
  const after = before.then(work, work);
  queues.set(name, after.catch(() => undefined));
  return after;
}

/**
 * Holds the lock while `work` runs. `queue` waits for the lock; `steal` takes it from the tab that holds it. The signal given to
 * `work` fires when `signal` does, or when another tab steals the lock. Resolves to whether it was stolen.
 */
export async function hold(
  name: string,
  signal: AbortSignal,
  how: "queue" | "steal",
  work: (signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  if (!navigator.locks) {
    await work(signal);
    return false;
  }
  const lost = new AbortController();
  try {
    await navigator.locks.request(name, how === "steal" ? { steal: true } : { signal }, () =>
      signal.aborted ? Promise.resolve() : work(AbortSignal.any([signal, lost.signal])),
    );
    return false;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    lost.abort();
    return !signal.aborted;
  }
}

/** A channel to the other tabs of this browser. It does nothing where the browser has no BroadcastChannel. */
export class Channel<M> {
  #channel: BroadcastChannel | null;

  constructor(name: string, receive: (message: M) => void) {
    this.#channel = "BroadcastChannel" in self ? new BroadcastChannel(name) : null;
    if (this.#channel) this.#channel.onmessage = (event) => receive(event.data as M);
  }

  post(message: M): void {
    this.#channel?.postMessage(message);
  }

  close(): void {
    this.#channel?.close();
    this.#channel = null;
  }
}
