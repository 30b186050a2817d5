// Which part of a long log stands in the document: a run of messages that moves with the reader, so that ten
// thousand messages cost no more than a hundred. Places are told by seq, which never changes.

export interface Window {
  from: number;
  /** Infinity: up to the newest, whatever comes. */
  to: number;
}

const START = 60;
/** Few at a time: each move is a small piece of work between two frames. */
const STEP = 20;
/** The most messages that stand in the document at once. */
const MOST = 120;

export function newest(first: number, last: number): Window {
  return { from: Math.max(first, last - START + 1), to: Infinity };
}

/** Keeps the window inside the log and inside its bounds, after the log has changed. */
export function fit(window: Window, first: number, last: number, pinned: boolean): Window {
  const from = Math.max(window.from, first);
  if (window.to < last) return { from: Math.min(from, last), to: window.to };
  const count = last - from + 1;
  if (pinned) return count > MOST ? newest(first, last) : { from, to: Infinity };
  // The reader looks at something older: what comes now is cut off at the far end.
  return count > MOST ? { from, to: from + MOST - 1 } : { from, to: Infinity };
}

export function up(window: Window, first: number, last: number): Window {
  const from = Math.max(first, window.from - STEP);
  const to = Math.min(window.to, last);
  return to - from + 1 > MOST ? { from, to: from + MOST - 1 } : { from, to: window.to };
}

export function down(window: Window, last: number): Window {
  const to = window.to + STEP;
  const from = Math.max(window.from, Math.min(to, last) - MOST + 1);
  return { from, to: to >= last ? Infinity : to };
}
