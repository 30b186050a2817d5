// localStorage under one prefix. Where it is full or forbidden, the page works from memory and says so once.

import { showToast } from "./toast";

const PREFIX = "grpcchatter/";
const memory = new Map<string, string>();
let warned = false;

export function read(key: string): string | null {
  try {
    return localStorage.getItem(PREFIX + key) ?? memory.get(key) ?? null;
  } catch {
    return memory.get(key) ?? null;
  }
}

export function write(key: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + key, value);
    memory.delete(key);
  } catch {
    memory.set(key, value);
    if (!warned) showToast("This browser does not let the page store anything. Unsent messages are lost when you close the page.");
    warned = true;
  }
}

export function remove(key: string): void {
  memory.delete(key);
  try {
    localStorage.removeItem(PREFIX + key);
  } catch {
    // Nothing was stored there.
  }
}

/** The keys that start with `start`, sorted. */
export function keys(start: string): string[] {
  const found = new Set<string>();
  for (const key of memory.keys()) if (key.startsWith(start)) found.add(key);
  try {
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i);
      if (key?.startsWith(PREFIX + start)) found.add(key.slice(PREFIX.length));
    }
  } catch {
    // The keys in memory are all there are.
  }
  return [...found].sort();
}

/** Calls `changed` with the key when another tab has written or removed a key that starts with `start`. */
export function watch(start: string, changed: (key: string) => void): () => void {
  const listener = (event: StorageEvent) => {
    if (event.key === null) changed(start);
    else if (event.key.startsWith(PREFIX + start)) changed(event.key.slice(PREFIX.length));
  };
  addEventListener("storage", listener);
  return () => removeEventListener("storage", listener);
}
