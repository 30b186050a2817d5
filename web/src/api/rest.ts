// The calls of the user's account, which the server offers over REST only.
import { Failure } from "./failure";

const TIMEOUT = 15_000;

export interface Grant {
  token: string;
  refreshToken: string;
  /** How long the token is valid, in milliseconds, by the server's clock. */
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
  const retryable = response.status === 429 || response.status >= 500;
  // The server gives a reason with each refusal, so an answer without one comes from a proxy. A 408 means that the proxy's
  // wait timed out.
  if (!reason) throw new Failure(retryable || response.status === 408 ? "unreachable" : "refused", "", wait);
  if (response.status === 401) throw new Failure("unauthenticated", reason, wait);
  throw new Failure(retryable ? "unreachable" : "refused", reason, wait);
}

async function grant(response: Response): Promise<Grant> {
  const { token, refresh_token, expires_at } = await response.json();
  // Both times are the server's, so a wrong clock on this device does not matter.
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

/** Whether the server answers within `timeout` milliseconds, with any status. */
export async function alive(timeout: number): Promise<boolean> {
  try {
    await fetch("/livez", { cache: "no-store", signal: AbortSignal.timeout(timeout) });
    return true;
  } catch {
    return false;
  }
}
