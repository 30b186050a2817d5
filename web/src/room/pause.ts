// Waiting between attempts: longer after each failure, never in step with other clients, and cut short by news.

const FIRST = 300;
const LONGEST = 10_000;

export class Backoff {
  #failures = 0;

  /** Milliseconds to wait: doubling up to ten seconds, of which a random half is left out. */
  next(): number {
    const whole = Math.min(LONGEST, FIRST * 2 ** this.#failures++);
    return whole * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}

export type Pause = (milliseconds: number) => Promise<void>;

/** Lets waiters go on before their time: the network is back, the tab is looked at, the user asks for it. */
export class Alarm {
  #waiters = new Set<() => void>();

  wait: Pause = (milliseconds) =>
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#waiters.add(done);
    });

  ring(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}

/** What the promise resolves to; rejects as soon as the signal fires, though the promise may still be pending. */
export function unless<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
