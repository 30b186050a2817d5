// The account's calls, which the server has over REST only.
import { Failure } from "./failure";

const TIMEOUT = 15_000;

export interface Grant {
  token: string;
  refreshToken: string;
  /** How long the token is good for, in milliseconds, by the server's clock alone. */
  lifetime: number;
}

async function call(method: string, path: string, body?: object, token?: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        ...(body && { "content-type": "application/json" }),
        ...(token && { authorization: `Bearer ${token}` }),
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT),
    });
  } catch (cause) {
    throw new Failure("unreachable", "", 0, cause);
  }
  if (response.ok) return response;
  const { reason = "" } = await response.json().catch(() => ({})) as { reason?: string };
  const wait = Number(response.headers.get("retry-after") ?? 0) * 1000 || 0;
  const passing = response.status === 429 || response.status >= 500;
  // The server gives a reason for each refusal; what gives none stands in between, as the page of a proxy. 408: a proxy gave
  // up waiting.
  if (!reason) throw new Failure(passing || response.status === 408 ? "unreachable" : "refused", "", wait);
  if (response.status === 401) throw new Failure("unauthenticated", reason, wait);
  throw new Failure(passing ? "unreachable" : "refused", reason, wait);
}

async function grant(response: Response): Promise<Grant> {
  const { token, refresh_token, expires_at } = await response.json();
  // Both times are the server's, so a wrong clock on this device does no harm.
  const now = Date.parse(response.headers.get("date") ?? "") || Date.now();
  return { token, refreshToken: refresh_token, lifetime: Date.parse(expires_at) - now };
}

export async function register(userName: string, password: string): Promise<void> {
  await call("POST", "/register", { user_name: userName, password });
}

export async function login(userName: string, password: string): Promise<Grant> {
  return grant(await call("POST", "/login", { user_name: userName, password }));
}

export async function refresh(refreshToken: string): Promise<Grant> {
  return grant(await call("POST", "/refresh", { refresh_token: refreshToken }));
}

export async function logout(token: string): Promise<void> {
  await call("POST", "/logout", undefined, token);
}

export async function changePassword(token: string, password: string, newPassword: string): Promise<void> {
  await call("PUT", "/account/password", { password, new_password: newPassword }, token);
}

export async function deleteAccount(token: string, password: string): Promise<void> {
  await call("POST", "/account/delete", { password }, token);
}

/** Whether the server answers at all, within `timeout` milliseconds. */
export async function alive(timeout: number): Promise<boolean> {
  try {
    await fetch("/livez", { cache: "no-store", signal: AbortSignal.timeout(timeout) });
    return true;
  } catch {
    return false;
  }
}
