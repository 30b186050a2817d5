// The delay between attempts: it doubles after each failure, is random so that clients do not retry in step, and can be cut short.

const FIRST_MS = 300;
const MAX_MS = 10_000;

export class Backoff {
  #failures = 0;

  /** The next delay in milliseconds: a random value between one half and the whole of a limit that doubles up to 10 s. */
  next(): number {
    const whole = Math.min(MAX_MS, FIRST_MS * 2 ** this.#failures++);
    return whole * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}

export type Sleep = (milliseconds: number) => Promise<void>;

/** Sleeps that end early when there is reason to retry: the network is back, the tab becomes visible, or the user asks. */
export class RetryTimer {
  #sleepers = new Set<() => void>();

  sleep: Sleep = (milliseconds) =>
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#sleepers.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#sleepers.add(done);
    });

  wake(): void {
    for (const sleeper of [...this.#sleepers]) sleeper();
  }
}

/** Resolves as the promise does, but rejects as soon as the signal fires, even while the promise is pending. */
export function abortable<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
