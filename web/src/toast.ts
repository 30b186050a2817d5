// A toast: a short text about what was just done, such as "Link copied". It is shown for 4 s and read to screen readers.
import { Observable } from "./observable";

const SHOWN_MS = 4_000;

export const toast = new Observable("");
let timer: ReturnType<typeof setTimeout> | undefined;

export function showToast(text: string): void {
  toast.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (toast.value = ""), SHOWN_MS);
}

/** Copies the text to the clipboard. Where the browser forbids that, asks the user to copy it by hand. */
export async function copy(text: string, done: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    showToast(done);
  } catch {
    showToast("The browser does not allow copying here. Select the text and copy it by hand.");
  }
}
