// What is made of the words of others: only ever pieces of text, never markup.

export type Piece = { text: string; href?: string };

const LINK = /\bhttps?:\/\/[^\s<>"'`\u00a0\u2000-\u200f\u2028-\u202e\u2066-\u2069]+/gi;
const TRAILING = /[.,:;!?…'"’”»*_~]+$/;

/** Cuts a body into text and links. Only http and https become links, and only where the address parses. */
export function pieces(body: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const match of body.matchAll(LINK)) {
    const text = unpunctuated(match[0]);
    const href = address(text);
    if (!href) continue;
    if (match.index > from) found.push({ text: body.slice(from, match.index) });
    found.push({ text, href });
    from = match.index + text.length;
  }
  if (from < body.length) found.push({ text: body.slice(from) });
  return found;
}

/** Leaves out what ends the sentence and not the address: a full stop, a bracket that was opened before it. */
function unpunctuated(text: string): string {
  for (;;) {
    const shorter = text.replace(TRAILING, "");
    const close = /[)\]}]$/.exec(shorter)?.[0];
    const open = close && { ")": "(", "]": "[", "}": "{" }[close];
    if (!close || !open || count(shorter, close) <= count(shorter, open)) return shorter;
    text = shorter.slice(0, -1);
  }
}

function count(text: string, character: string): number {
  return text.split(character).length - 1;
}

function address(text: string): string | null {
  try {
    const url = new URL(text);
    return (url.protocol === "http:" || url.protocol === "https:") && url.hostname ? url.href : null;
  } catch {
    return null;
  }
}

const EMOJI = /^(?:\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0f\u20e3]*(?:\u200d\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0f]*)*|\p{Regional_Indicator}{2}|\s){1,12}$/u;

/** Whether a body is nothing but a few emoji, which are then shown larger. */
export function isEmoji(body: string): boolean {
  return body.length <= 40 && body.trim() !== "" && EMOJI.test(body);
}

/** Two letters that stand for a name: of its first and last word, or of its only one. */
export function initials(name: string): string {
  const words = name.match(/\p{L}[\p{L}\p{M}]*/gu) ?? [name];
  const [first = "?", second = ""] = [...(words[0] ?? "")];
  const last = words.length > 1 ? [...(words.at(-1) ?? "")][0]?.toUpperCase() : second;
  return first.toUpperCase() + (last ?? "");
}

/** One of `shades` colours, always the same for a name (FNV-1a). */
export function shade(name: string, shades: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % shades;
}

/** What a name may hold that readers cannot see, or that moves the rest about; the server takes no new name with it. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0\ufe00-\ufe0f\u034f]|(?! )\p{Zs}|^ +| +$| {2,}/gu;

/** Cuts a name into what is seen as it is and what has to be spelled out. */
export function spelled(name: string): { text: string; odd: boolean }[] {
  const found: { text: string; odd: boolean }[] = [];
  let from = 0;
  for (const match of name.matchAll(UNSEEN)) {
    if (match.index > from) found.push({ text: name.slice(from, match.index), odd: false });
    const text = [...match[0]].map((c) => `U+${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`).join(" ");
    found.push({ text, odd: true });
    from = match.index + match[0].length;
  }
  if (from < name.length) found.push({ text: name.slice(from), odd: false });
  return found;
}

/** A name in which nothing is unseen, for labels and for what is read out. */
export function legible(name: string): string {
  return spelled(name)
    .map(({ text, odd }) => (odd ? `[${text}]` : text))
    .join("");
}
