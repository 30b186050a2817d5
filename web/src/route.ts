// What the page shows, from the fragment of the address (after "#"). Browsers never send the fragment to a server.
import { Observable } from "./observable";

export type Route =
  | { at: "home" }
  | { at: "room"; code: string }
  /** An invitation: a room token from the room's owner. */
  | { at: "invited"; token: string };

function parse(hash: string): Route {
  const [name, value] = hash.replace(/^#/, "").split("=", 2);
  if (name === "room" && value && /^[a-zA-Z0-9]{4,32}$/.test(value)) return { at: "room", code: value };
  if (name === "join" && value) return { at: "invited", token: value };
  return { at: "home" };
}

export const route = new Observable<Route>(parse(location.hash));
addEventListener("hashchange", () => (route.value = parse(location.hash)));

export function roomHash(code: string): string {
  return `#room=${code}`;
}

/** Whether an address joins the browser's history or replaces the present entry. */
type HistoryMode = "push" | "replace";

export function goHome(mode: HistoryMode = "push"): void {
  if (mode === "replace") history.replaceState(null, "", "/");
  else history.pushState(null, "", "/");
  route.value = { at: "home" };
}

/** Shows a room. An invitation is replaced in the history: going back would show its token again. */
export function goToRoom(code: string, mode: HistoryMode = "push"): void {
  const address = `/${roomHash(code)}`;
  if (mode === "replace") history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  route.value = { at: "room", code };
}

export function roomLink(code: string): string {
  return `${location.origin}/${roomHash(code)}`;
}

export function invitationLink(token: string): string {
  return `${location.origin}/#join=${token}`;
}
