// Where the page stands, told by the part of the address after "#", which never leaves the browser.
import { Cell } from "./cell";

export type Route =
  | { at: "home" }
  | { at: "room"; code: string }
  /** An invitation: a room token that its owner has made. */
  | { at: "invited"; token: string };

function parse(hash: string): Route {
  const [name, value] = hash.replace(/^#/, "").split("=", 2);
  if (name === "room" && value && /^[a-zA-Z0-9]{4,32}$/.test(value)) return { at: "room", code: value };
  if (name === "join" && value) return { at: "invited", token: value };
  return { at: "home" };
}

export const route = new Cell<Route>(parse(location.hash));
addEventListener("hashchange", () => (route.value = parse(location.hash)));

export function roomHash(code: string): string {
  return `#room=${code}`;
}

export function goHome(replace = false): void {
  if (replace) history.replaceState(null, "", "/");
  else history.pushState(null, "", "/");
  route.value = { at: "home" };
}

export function goToRoom(code: string, replace = false): void {
  const address = `/${roomHash(code)}`;
  // An invitation does not stay in the history: going back would show its token again.
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  route.value = { at: "room", code };
}

export function roomLink(code: string): string {
  return `${location.origin}/${roomHash(code)}`;
}

export function invitationLink(token: string): string {
  return `${location.origin}/#join=${token}`;
}
