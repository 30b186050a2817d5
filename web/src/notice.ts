// A short word on what was just done, shown for a while and read out: "Link copied".
import { Cell } from "./cell";

const SHOWN = 4_000;

export const notice = new Cell("");
let timer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string): void {
  notice.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (notice.value = ""), SHOWN);
}

/** Copies to the clipboard where the browser allows it; the text can be selected by hand where not. */
export async function copy(text: string, done: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say("The browser does not allow copying here. Select the text and copy it by hand.");
  }
}
