// The truth about the connection, once it has been down for longer than a blink.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useCell } from "../cell";
import type { Room } from "../room/room";

/** A stream that is back within this time, in milliseconds, is not worth a word. */
const BLINK = 1_200;

export function Banner({ room }: { room: Room }): JSX.Element {
  const status = useCell(room.status);
  const unsent = useCell(room.outbox.unsent).filter((message) => !message.refused).length;
  const down = status.kind === "waiting" || status.kind === "connecting";
  const [shown, setShown] = useState(false);
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!down) return setShown(false);
    const timer = setTimeout(() => setShown(true), BLINK);
    return () => clearTimeout(timer);
  }, [down]);
  useEffect(() => {
    if (!shown) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [shown, status]);

  const seconds = status.kind === "waiting" ? Math.ceil((status.until - now) / 1000) : 0;
  const what =
    status.kind === "waiting" && status.reason === "TOO_MANY_STREAMS"
      ? "You are connected too many times. Close another window or device."
      : navigator.onLine
        ? "Connecting again…"
        : "This device is offline.";
  const kept = unsent === 0 ? "" : unsent === 1 ? " Your message is kept and sent then." : ` Your ${unsent} messages are kept and sent then.`;
  return (
    <div class="banner" role="status">
      {shown && down && (
        <p>
          <span class="pulse" aria-hidden="true" />
          <span>
            {what}
            {kept}
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
