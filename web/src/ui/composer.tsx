// Where one writes. What is written here and not sent is kept, room by room, over a reload.
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import * as kept from "../kept";
import type { Room } from "../room/room";
import { EmojiPicker } from "./emoji";
import { Icon } from "./icons";
import { IconButton, useMedia } from "./parts";

export interface ComposerHandle {
  /** Puts a text back to be written anew. */
  edit: (text: string) => void;
  /** Takes the focus from what has gone; not on a touch screen, where it would open the keyboard. */
  focus: () => void;
}

export function Composer({ room, name, handle }: { room: Room; name: string; handle: ComposerHandle }): JSX.Element {
  const draft = `draft/${room.user}/${room.code}`;
  const [text, setText] = useState(() => kept.read(draft) ?? "");
  const [picking, setPicking] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  // On a touch screen Enter makes a line, since there is no Shift to hold.
  const touch = useMedia("(pointer: coarse)");

  const write = (next: string) => {
    setText(next);
    if (next) kept.write(draft, next);
    else kept.forget(draft);
  };
  handle.edit = (again) => {
    write(text.trim() ? `${again}\n${text}` : again);
    area.current?.focus();
  };
  handle.focus = () => touch || area.current?.focus();
  const send = () => {
    const body = text.trim();
    if (!body) return;
    room.outbox.add(body);
    write("");
    setPicking(false);
    area.current?.focus();
  };
  const insert = (emoji: string) => {
    const { selectionStart, selectionEnd } = area.current!;
    write(text.slice(0, selectionStart) + emoji + text.slice(selectionEnd));
    const caret = selectionStart + emoji.length;
    requestAnimationFrame(() => area.current?.setSelectionRange(caret, caret));
  };

  useEffect(() => {
    if (!touch) area.current?.focus({ preventScroll: true });
  }, []);
  useLayoutEffect(() => {
    const element = area.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {picking && (
        <EmojiPicker
          onPick={insert}
          onClose={() => {
            setPicking(false);
            area.current?.focus();
          }}
        />
      )}
      <div class="field-box">
        <IconButton icon="smile" label="Emoji" pressed={picking} onClick={() => setPicking(!picking)} />
        <textarea
          ref={area}
          rows={1}
          value={text}
          aria-label={`Message to ${name}`}
          placeholder="Write a message"
          enterkeyhint={touch ? "enter" : "send"}
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
            event.preventDefault();
            send();
          }}
        />
        <button type="submit" class="send" aria-label="Send" title="Send" disabled={!text.trim()}>
          <Icon name="send" />
        </button>
      </div>
    </form>
  );
}
