// One message on the screen.
import { Component, type JSX } from "preact";
import { sentence, Failure } from "../api/failure";
import type { Unsent } from "../room/outbox";
import { isEmoji, splitLinks } from "../text";
import { clock, full } from "../time";
import { Icon } from "./icons";
import { Avatar, Name } from "./components";

/** A body with more characters or lines than this is folded. */
const LONG = 1500;
const LONG_LINES = 25;
const FOLDED = 700;
const FOLDED_LINES = 12;

export interface LineProps {
  /** "" for the messages of an account that was deleted. */
  user: string;
  body: string;
  at: number;
  seq: number;
  own: boolean;
  /** Whether it is the first, and whether it is the last, of a group of messages by one user. */
  head: boolean;
  tail: boolean;
  unsent?: Unsent;
  actions?: UnsentActions;
}

export interface UnsentActions {
  retryNow: () => void;
  retry: (unsent: Unsent) => void;
  edit: (unsent: Unsent) => void;
  discard: (unsent: Unsent) => void;
}

export class Line extends Component<LineProps> {
  override shouldComponentUpdate(next: LineProps): boolean {
    const now = this.props;
    return (
      next.head !== now.head || next.tail !== now.tail || next.unsent !== now.unsent || next.seq !== now.seq || next.at !== now.at
    );
  }

  override render({ user, body, at, seq, own, head, tail, unsent, actions }: LineProps): JSX.Element {
    const name = own ? "You" : user || "Deleted account";
    const state = unsent?.refused ? " refused" : unsent?.held ? " held" : unsent ? " unsent" : "";
    return (
      <li
        class={`line${own ? " own" : ""}${head ? " head" : ""}${tail ? " tail" : ""}${state}`}
        data-seq={seq || undefined}
      >
        {!own && (head ? <Avatar name={name} /> : <span class="gutter" />)}
        <div class="said">
          <p class={head ? "who" : "sr"}>
            <Name class={own ? "sr" : "name"} of={name} /> <time dateTime={new Date(at).toISOString()}>{clock(at)}</time>
          </p>
          <div class={isEmoji(body) ? "bubble jumbo" : "bubble"} title={full(at)}>
            <Body text={body} />
          </div>
          {unsent && <Delivery unsent={unsent} actions={actions} />}
        </div>
      </li>
    );
  }
}

function Delivery({ unsent, actions }: { unsent: Unsent; actions: UnsentActions | undefined }): JSX.Element {
  const error = sendError(unsent);
  if (!error) {
    return (
      <p class="delivery">
        <Icon name="clock" /> <span>Sending…</span>
      </p>
    );
  }
  return (
    <p class="delivery">
      <span class="why">
        <Icon name={unsent.refused ? "alert" : "clock"} /> <span>{error}</span>
      </span>
      {actions && (
        <span class="actions">
          {unsent.refused ? (
            <>
              <button type="button" onClick={() => actions.retry(unsent)}>
                Try again
              </button>
              <button type="button" onClick={() => actions.edit(unsent)}>
                Edit
              </button>
            </>
          ) : (
            <button type="button" onClick={actions.retryNow}>
              Try now
            </button>
          )}
          <button type="button" onClick={() => actions.discard(unsent)}>
            Discard
          </button>
        </span>
      )}
    </p>
  );
}

/** Why a message was not sent, as a sentence; "" while it is being sent as usual. */
export function sendError({ refused, held }: Unsent): string {
  if (refused) return `Not sent. ${sentence(new Failure("refused", refused))}`;
  return held ? `Not sent yet. ${sentence(new Failure("unreachable", held))}` : "";
}

class Body extends Component<{ text: string }, { open: boolean }> {
  override state = { open: false };

  override render({ text }: { text: string }): JSX.Element {
    const shown = this.state.open ? text : folded(text);
    return (
      <>
        <p class="body" dir="auto">
          {splitLinks(shown).map(({ text, href }) =>
            href ? (
              <a href={href} target="_blank" rel="noopener noreferrer nofollow">
                {text}
              </a>
            ) : (
              text
            ),
          )}
          {shown !== text && "…"}
        </p>
        {shown !== text && (
          <button type="button" class="unfold" onClick={() => this.setState({ open: true })}>
            Show all of it
          </button>
        )}
      </>
    );
  }
}

function folded(text: string): string {
  const lines = text.split("\n", LONG_LINES + 1);
  if (text.length <= LONG && lines.length <= LONG_LINES) return text;
  const short = lines.slice(0, FOLDED_LINES).join("\n");
  // Not between the two halves of a surrogate pair.
  return short.length < text.length && short.length <= FOLDED ? short : short.slice(0, FOLDED).replace(/[\ud800-\udbff]$/, "");
}
