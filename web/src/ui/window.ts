// Which messages of a long log are in the document: a window that moves with the reader, so that 10,000 messages cost no more
// than 100. Its bounds are seqs, which never change.

export interface Window {
  from: number;
  /** Infinity: up to the newest, including messages to come. */
  to: number;
}

const INITIAL_SIZE = 60;
/** By how many messages the window moves at once: few, so that a move fits between two frames. */
const STEP = 20;
/** The most messages that are in the document at once. */
const MAX_SIZE = 120;

export function newest(first: number, last: number): Window {
  return { from: Math.max(first, last - INITIAL_SIZE + 1), to: Infinity };
}

/** Fits the window to the log after the log has changed, and limits its size. `pinned`: the reader is at the newest message. */
export function fit(window: Window, first: number, last: number, pinned: boolean): Window {
  const from = Math.max(window.from, first);
  if (window.to < last) return { from: Math.min(from, last), to: window.to };
  const count = last - from + 1;
  if (pinned) return count > MAX_SIZE ? newest(first, last) : { from, to: Infinity };
  // The reader is at older messages, so the newest ones are left out.
  return count > MAX_SIZE ? { from, to: from + MAX_SIZE - 1 } : { from, to: Infinity };
}

export function up(window: Window, first: number, last: number): Window {
  const from = Math.max(first, window.from - STEP);
  const to = Math.min(window.to, last);
  return to - from + 1 > MAX_SIZE ? { from, to: from + MAX_SIZE - 1 } : { from, to: window.to };
}

export function down(window: Window, last: number): Window {
  const to = window.to + STEP;
  const from = Math.max(window.from, Math.min(to, last) - MAX_SIZE + 1);
  return { from, to: to >= last ? Infinity : to };
}
