// A value that can be watched. All state reaches the screen through it.
import { useEffect, useReducer } from "preact/hooks";

export class Observable<T> {
  #value: T;
  #watchers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set value(next: T) {
    if (Object.is(next, this.#value)) return;
    this.#value = next;
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** Calls `watcher` after every change, until the returned function is called. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Resolves once `condition` holds for the value, or the signal fires. */
  until(condition: (value: T) => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!signal.aborted && !condition(this.#value)) return;
        stop();
        signal.removeEventListener("abort", check);
        resolve();
      };
      const stop = this.watch(check);
      signal.addEventListener("abort", check);
      check();
    });
  }
}

/** Returns the value and renders the component again whenever it changes. */
export function useObservable<T>(observable: Observable<T>): T {
  const [, render] = useReducer((count: number) => count + 1, 0);
  const rendered = observable.value;
  useEffect(() => {
    // The value may have changed between the render and this effect.
    if (!Object.is(rendered, observable.value)) render(undefined);
    return observable.watch(() => render(undefined));
  }, [observable]);
  return rendered;
}
