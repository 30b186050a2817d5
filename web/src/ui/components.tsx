// Components that all screens share: avatar, name, field, form, dialog.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { failureOf, sentence } from "../api/failure";
import { initials, shade, spellOutInvisible } from "../text";
import { Icon, type IconName } from "./icons";

const SHADES = 8;

export function Avatar({ name, large }: { name: string; large?: boolean }): JSX.Element {
  return (
    <span class={`avatar shade-${shade(name, SHADES)}${large ? " large" : ""}`} aria-hidden="true">
      {initials(name)}
    </span>
  );
}

/** A user's name. Invisible characters, which old names may have, are spelled out, so that it cannot pass for another name. */
export function Name({ of, class: kind = "name" }: { of: string; class?: string }): JSX.Element {
  return (
    <bdi class={kind}>
      {spellOutInvisible(of).map(({ text, invisible }) =>
        invisible ? (
          <span class="invisible" title="This name contains a character that cannot be seen. It may not belong to whom it seems to.">
            {text}
          </span>
        ) : (
          text
        ),
      )}
    </bdi>
  );
}

export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick: () => void;
  badge?: number;
  pressed?: boolean;
}): JSX.Element {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={props.badge === undefined ? props.label : `${props.label}: ${props.badge}`}
      title={props.label}
      aria-expanded={props.pressed}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
      {props.badge !== undefined && <span class="count">{props.badge}</span>}
    </button>
  );
}

export function Field(props: {
  label: string;
  hint?: ComponentChildren;
  type?: "text" | "password";
  name: string;
  value: string;
  onInput: (value: string) => void;
  autoComplete?: string;
  required?: boolean;
  maxLength?: number;
  autoFocus?: boolean;
}): JSX.Element {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [shown, setShown] = useState(false);
  const secret = props.type === "password";
  useEffect(() => {
    if (props.autoFocus) input.current?.focus();
  }, []);
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <div class="input">
        <input
          id={id}
          ref={input}
          name={props.name}
          type={(secret && !shown ? "password" : "text") as "text"}
          value={props.value}
          onInput={(event) => props.onInput(event.currentTarget.value)}
          autocomplete={props.autoComplete ?? "off"}
          // For showModal. Outside of a dialog the effect above sets the focus.
          autofocus={props.autoFocus}
          autocapitalize="none"
          spellcheck={false}
          required={props.required}
          maxLength={props.maxLength}
          aria-describedby={props.hint ? `${id}-hint` : undefined}
        />
        {secret && (
          <button type="button" class="reveal" aria-pressed={shown} onClick={() => setShown(!shown)}>
            {shown ? "Hide" : "Show"}
            <span class="sr"> {props.label.toLowerCase()}</span>
          </button>
        )}
      </div>
      {props.hint && (
        <div class="hint" id={`${id}-hint`}>
          {props.hint}
        </div>
      )}
    </div>
  );
}

/** A form that is busy while its action runs, and shows why the action failed. */
export function Form(props: {
  action: string;
  busy?: string;
  danger?: boolean;
  onSubmit: () => Promise<void>;
  children?: ComponentChildren;
}): JSX.Element {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const gone = useRef(false);
  useEffect(() => () => void (gone.current = true), []);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem("");
    try {
      await props.onSubmit();
    } catch (thrown) {
      if (!gone.current) setProblem(sentence(failureOf(thrown)));
    }
    if (!gone.current) setBusy(false);
  };
  return (
    <form class="form" onSubmit={submit} aria-busy={busy}>
      {props.children}
      <p class="problem" role="alert">
        {problem}
      </p>
      <button type="submit" class={props.danger ? "button danger" : "button primary"} disabled={busy}>
        {busy ? (props.busy ?? "One moment…") : props.action}
      </button>
    </form>
  );
}

/** A modal dialog. The browser keeps the focus inside, closes it on Escape and returns the focus. */
export function Modal(props: {
  title: string;
  onClose: () => void;
  children: (close: () => void) => ComponentChildren;
}): JSX.Element {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  const close = () => dialog.current?.close();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onClose={props.onClose}
      onClick={(event) => event.target === dialog.current && close()}
    >
      <div class="sheet">
        <header>
          <h2 id={id}>{props.title}</h2>
          <IconButton icon="close" label="Close" onClick={close} />
        </header>
        {props.children(close)}
      </div>
    </dialog>
  );
}

/** Whether a media query matches. The component renders again when that changes. */
export function useMedia(query: string): boolean {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const changed = () => setHolds(list.matches);
    changed();
    list.addEventListener("change", changed);
    return () => list.removeEventListener("change", changed);
  }, [query]);
  return holds;
}
