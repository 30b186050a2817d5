// A small emoji picker, for keyboards that have no emoji. Arrow keys move the focus in it.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

const COLUMNS = 8;
const CHOICE: [string, string][] = [
  ["😀", "grinning"], ["😂", "tears of joy"], ["🙂", "smile"], ["😉", "wink"], ["😍", "heart eyes"], ["😎", "sunglasses"], ["🤔", "thinking"], ["😅", "sweat"],
  ["😢", "crying"], ["😴", "sleeping"], ["😮", "surprised"], ["🙄", "rolling eyes"], ["😡", "angry"], ["🤯", "mind blown"], ["🥳", "party"], ["🤗", "hug"],
  ["👍", "thumbs up"], ["👎", "thumbs down"], ["👏", "clapping"], ["🙏", "thanks"], ["👋", "wave"], ["💪", "strong"], ["🤝", "handshake"], ["👀", "eyes"],
  ["❤️", "heart"], ["🔥", "fire"], ["✨", "sparkles"], ["🎉", "celebration"], ["💯", "hundred"], ["✅", "done"], ["❌", "no"], ["⏳", "hourglass"],
  ["☕", "coffee"], ["🍕", "pizza"], ["🎂", "cake"], ["🌱", "seedling"], ["🌧️", "rain"], ["☀️", "sun"], ["🚀", "rocket"], ["🐛", "bug"],
];

export function EmojiPicker({ onPick, onClose }: { onPick: (emoji: string) => void; onClose: () => void }): JSX.Element {
  const grid = useRef<HTMLDivElement>(null);
  const focus = (index: number) => {
    const buttons = grid.current!.querySelectorAll<HTMLButtonElement>("button");
    const button = buttons[(index + buttons.length) % buttons.length];
    for (const other of buttons) other.tabIndex = other === button ? 0 : -1;
    button?.focus();
  };
  useEffect(() => focus(0), []);
  const moveFocus = (event: KeyboardEvent) => {
    const buttons = [...grid.current!.querySelectorAll("button")];
    const now = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: COLUMNS, ArrowUp: -COLUMNS }[event.key];
    if (event.key === "Escape") onClose();
    else if (step) focus(now + step);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="emoji" role="group" aria-label="Emoji" ref={grid} onKeyDown={moveFocus}>
      {CHOICE.map(([emoji, name]) => (
        <button type="button" key={emoji} aria-label={name} title={name} tabIndex={-1} onClick={() => onPick(emoji)}>
          {emoji}
        </button>
      ))}
    </div>
  );
}
