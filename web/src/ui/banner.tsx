// The banner above the log that says why the room is not connected.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useObservable } from "../observable";
import type { Room } from "../room/room";

/** How long a stream may be down, in milliseconds, before the banner shows. */
const SHOW_AFTER = 1_200;

export function Banner({ room }: { room: Room }): JSX.Element {
  const status = useObservable(room.status);
  const unsent = useObservable(room.outbox.unsent).filter((message) => !message.refused).length;
  const down = status.kind === "waiting" || status.kind === "connecting";
  const [shown, setShown] = useState(false);
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!down) return setShown(false);
    const timer = setTimeout(() => setShown(true), SHOW_AFTER);
    return () => clearTimeout(timer);
  }, [down]);
  useEffect(() => {
    if (!shown) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [shown, status]);

  const seconds = status.kind === "waiting" ? Math.ceil((status.until - now) / 1000) : 0;
  const state =
    status.kind === "waiting" && status.reason === "TOO_MANY_STREAMS"
      ? "You are connected too many times. Close another window or device."
      : navigator.onLine
        ? "Connecting again…"
        : "This device is offline.";
  const pending = unsent === 0 ? "" : unsent === 1 ? " Your message is saved and will be sent then." : ` Your ${unsent} messages are saved and will be sent then.`;
  return (
    <div class="banner" role="status">
      {shown && down && (
        <p>
          <span class="pulse" aria-hidden="true" />
          <span>
            {state}
            {pending}
          </span>
          {seconds > 1 && (
            <span class="when" aria-hidden="true">
              in {seconds} s
            </span>
          )}
          <button type="button" onClick={() => room.retry()}>
            Try now
          </button>
        </p>
      )}
    </div>
  );
}
