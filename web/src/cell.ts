// A value that can be watched: the one way in which state reaches the screen.
import { useEffect, useReducer } from "preact/hooks";

export class Cell<T> {
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

  /** Resolves once the value is as wanted, or the signal fires. */
  until(wanted: (value: T) => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!signal.aborted && !wanted(this.#value)) return;
        stop();
        signal.removeEventListener("abort", look);
        resolve();
      };
      const stop = this.watch(look);
      signal.addEventListener("abort", look);
      look();
    });
  }
}

/** Renders the component again whenever the cell changes. */
export function useCell<T>(cell: Cell<T>): T {
  const [, render] = useReducer((count: number) => count + 1, 0);
  const seen = cell.value;
  useEffect(() => {
    // What changed between the render and this effect was not watched yet.
    if (!Object.is(seen, cell.value)) render(undefined);
    return cell.watch(() => render(undefined));
  }, [cell]);
  return seen;
}
