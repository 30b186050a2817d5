// What the browser keeps over a reload. Storage may be full or forbidden; the page then works from memory.

import { say } from "./notice";

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
    if (!warned) say("This browser does not let the page keep anything. What is not sent goes when you close the page.");
    warned = true;
  }
}

export function forget(key: string): void {
  memory.delete(key);
  try {
    localStorage.removeItem(PREFIX + key);
  } catch {
    // Nothing was kept there.
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
    // Only memory then.
  }
  return [...found].sort();
}

/** Calls `changed` with the key, when another tab wrote or removed one that starts with `start`. */
export function watch(start: string, changed: (key: string) => void): () => void {
  const hear = (event: StorageEvent) => {
    if (event.key === null) changed(start);
    else if (event.key.startsWith(PREFIX + start)) changed(event.key.slice(PREFIX.length));
  };
  addEventListener("storage", hear);
  return () => removeEventListener("storage", hear);
}
