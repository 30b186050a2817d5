// Web Locks and BroadcastChannel, which tabs use to agree with each other. Both are missing where the page was
// loaded without TLS from another machine (an insecure context); then each tab works alone, which is slower, never wrong.

const alone = new Map<string, Promise<unknown>>();

/** Runs `work` while no other tab runs any under the same name. */
export function exclusive<T>(name: string, work: () => Promise<T>): Promise<T> {
  if (navigator.locks) return navigator.locks.request(name, work) as Promise<T>;
  const before = alone.get(name) ?? Promise.resolve();
  const after = before.then(work, work);
  alone.set(name, after.catch(() => undefined));
  return after;
}

/**
 * Holds the name for as long as `work` runs. Its signal fires when `signal` does, or when another tab took the
 * name away with `steal`. Resolves to whether it was taken away.
 */
export async function hold(
  name: string,
  signal: AbortSignal,
  steal: boolean,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  if (!navigator.locks) {
    await work(signal);
    return false;
  }
  const lost = new AbortController();
  try {
    await navigator.locks.request(name, steal ? { steal } : { signal }, () =>
      signal.aborted ? Promise.resolve() : work(AbortSignal.any([signal, lost.signal])),
    );
    return false;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    lost.abort();
    return !signal.aborted;
  }
}

/** A channel to the other tabs of this browser; silent where the browser has none. */
export class Channel<M> {
  #channel: BroadcastChannel | null;

  constructor(name: string, hear: (message: M) => void) {
    this.#channel = "BroadcastChannel" in self ? new BroadcastChannel(name) : null;
    if (this.#channel) this.#channel.onmessage = (event) => hear(event.data as M);
  }

  tell(message: M): void {
    this.#channel?.postMessage(message);
  }

  close(): void {
    this.#channel?.close();
    this.#channel = null;
  }
}
