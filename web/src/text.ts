// Turns message bodies and names of other users into pieces of text. Nothing here produces markup.

export type Piece = { text: string; href?: string };

const LINK = /\bhttps?:\/\/[^\s<>"'`\u00a0\u2000-\u200f\u2028-\u202e\u2066-\u2069]+/gi;
const TRAILING = /[.,:;!?…'"’”»*_~]+$/;

/** Splits a body into text and links. Only http and https URLs that parse become links. */
export function splitLinks(body: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const match of body.matchAll(LINK)) {
    const text = trimPunctuation(match[0]);
    const href = httpUrl(text);
    if (!href) continue;
    if (match.index > from) found.push({ text: body.slice(from, match.index) });
    found.push({ text, href });
    from = match.index + text.length;
  }
  if (from < body.length) found.push({ text: body.slice(from) });
  return found;
}

/** Cuts off what belongs to the sentence and not to the URL: a final full stop, or a bracket that was opened before the URL. */
function trimPunctuation(text: string): string {
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

function httpUrl(text: string): string | null {
  try {
    const url = new URL(text);
    return (url.protocol === "http:" || url.protocol === "https:") && url.hostname ? url.href : null;
  } catch {
    return null;
  }
}

const EMOJI = /^(?:\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0f\u20e3]*(?:\u200d\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0f]*)*|\p{Regional_Indicator}{2}|\s){1,12}$/u;

/** Whether a body consists of a few emoji only. They are shown larger. */
export function isEmoji(body: string): boolean {
  return body.length <= 40 && body.trim() !== "" && EMOJI.test(body);
}

/** The initials of a name's first and last word, or the first two letters of its only word. */
export function initials(name: string): string {
  const words = name.match(/\p{L}[\p{L}\p{M}]*/gu) ?? [name];
  const [first = "?", second = ""] = [...(words[0] ?? "")];
  const last = words.length > 1 ? [...(words.at(-1) ?? "")][0]?.toUpperCase() : second;
  return first.toUpperCase() + (last ?? "");
}

/** The index of a name's colour among `shades`, always the same for one name (FNV-1a). */
export function shade(name: string, shades: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % shades;
}

/** Characters in a name that are invisible or that move other characters. The server accepts them in no new name. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0\ufe00-\ufe0f\u034f]|(?! )\p{Zs}|^ +| +$| {2,}/gu;

/** Splits a name into visible parts and invisible ones, whose characters are spelled out as code points. */
export function spellOutInvisible(name: string): { text: string; invisible: boolean }[] {
  const found: { text: string; invisible: boolean }[] = [];
  let from = 0;
  for (const match of name.matchAll(INVISIBLE)) {
    if (match.index > from) found.push({ text: name.slice(from, match.index), invisible: false });
    const text = [...match[0]].map((c) => `U+${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`).join(" ");
    found.push({ text, invisible: true });
    from = match.index + match[0].length;
  }
  if (from < name.length) found.push({ text: name.slice(from), invisible: false });
  return found;
}

/** A name with its invisible characters spelled out, for labels and screen readers. */
export function legible(name: string): string {
  return spellOutInvisible(name)
    .map(({ text, invisible }) => (invisible ? `[${text}]` : text))
    .join("");
}
