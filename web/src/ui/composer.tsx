// The form for writing a message. Each room's draft is stored and survives a reload.
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import * as storage from "../storage";
import type { Room } from "../room/room";
import { EmojiPicker } from "./emoji";
import { Icon } from "./icons";
import { IconButton, useMedia } from "./components";

export interface ComposerHandle {
  /** Puts the text of a message back, to be edited. */
  edit: (text: string) => void;
  /** Takes the focus after the element that had it is gone. Not on a touch screen, where that would open the keyboard. */
  focus: () => void;
}

export function Composer({ room, name, handle }: { room: Room; name: string; handle: ComposerHandle }): JSX.Element {
  const draft = `draft/${room.user}/${room.code}`;
  const [text, setText] = useState(() => storage.read(draft) ?? "");
  const [picking, setPicking] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  // On a touch screen Enter starts a new line, since there is no Shift to hold.
  const touch = useMedia("(pointer: coarse)");

  const write = (next: string) => {
    setText(next);
    if (next) storage.write(draft, next);
    else storage.remove(draft);
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
