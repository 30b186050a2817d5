// The one type for every failed call, by REST or gRPC-web, and the sentence that users read about it.
import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb";

/** What a failure means for the caller. It follows from the status, not from the reason. */
export type Kind = "unauthenticated" | "refused" | "unreachable";

export class Failure extends Error {
  constructor(
    readonly kind: Kind,
    /** The server's reason, such as WRONG_ROOM_PASSWORD; "" if the answer did not come from the server. */
    readonly reason: string,
    /** How long the server asks to wait before the next attempt, in milliseconds; 0 if it does not ask. */
    readonly retryAfter = 0,
    cause?: unknown,
  ) {
    super(reason || kind, { cause });
  }

  /** Whether the same call may succeed later without a change by the user. */
  get retryable(): boolean {
    return this.kind === "unreachable";
  }
}

const REFUSED: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.PermissionDenied,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
]);

/** The domain of the ErrorInfo in the server's own refusals. */
const DOMAIN = "grpcchatter";

/** Codes that are worth a retry when they do not come from the server, as from a proxy while the server restarts. */
const RETRYABLE: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.Internal,
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Aborted,
  // Raised by connect itself: for an answer that ends within a message, and for a call that was cancelled.
  Code.InvalidArgument,
  Code.Canceled,
]);

/**
 * Turns what connect throws into a Failure. A status without the server's ErrorInfo comes from an intermediary, such as a proxy
 * or a firewall, or is a lost connection. It is retried only if it may pass: a firewall that refuses a message refuses it again.
 */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new Failure(kindOf(error.code, info?.reason), info?.reason ?? "", delay ? durationMs(delay) : 0, thrown);
}

function kindOf(code: Code, reason: string | undefined): Kind {
  // Only the server can say that a session or a token has ended.
  if (reason === undefined) return RETRYABLE.has(code) ? "unreachable" : "refused";
  if (code === Code.Unauthenticated) return "unauthenticated";
  return REFUSED.has(code) || reason === "TOO_LARGE" ? "refused" : "unreachable";
}

/** Stands for the reason where an intermediary refused the call. Outboxes store this value. */
export const INTERMEDIARY = "IN_BETWEEN";

const SENTENCES: Record<string, string> = {
  [INTERMEDIARY]: "Something between here and the server, such as a proxy or a firewall, refused this.",
  INVALID_CREDENTIALS: "This name and password do not match.",
  USER_NAME_TAKEN: "This name, or one that looks like it, is taken. Try another one.",
  INVALID_USER_NAME:
    "A name needs at least 6 characters, a digit, no special, invisible or unusual characters, and letters of one script.",
  INVALID_PASSWORD: "A password needs at least 6 characters: upper and lower case, a digit and a special character.",
  INVALID_ROOM_NAME: "A room's name has at most 128 characters, none of them invisible, and is not only spaces.",
  INVALID_SHORT_CODE: "This is not a room code.",
  INVALID_MESSAGE: "The server cannot store this text.",
  MESSAGE_TOO_LONG: "The message is too long for this server.",
  TOO_LARGE: "The message is too long for this server.",
  CLIENT_MESSAGE_ID_REUSED: "The server already has a different message with this ID.",
  WRONG_ROOM_PASSWORD: "This is not the password of the room.",
  NOT_ROOM_OWNER: "Only the owner of the room may do this.",
  NOT_A_MEMBER: "You are no longer a member of this room.",
  FOREIGN_ORIGIN: "The server refuses this page, since it was loaded from another address.",
  BANNED: "The owner has banned you from this room.",
  ROOM_NOT_FOUND: "There is no room with this code.",
  USER_NOT_FOUND: "There is no user with this name.",
  OWNS_ROOMS: "You still own rooms. Delete them first.",
  RATE_LIMITED: "Too many attempts. Wait a moment and try again.",
  TOO_MANY_ROOMS: "You own as many rooms as an account can have. Delete one first.",
  TOO_MANY_MEMBERSHIPS: "You are in as many rooms as an account can join. Leave one first.",
  TOO_MANY_STREAMS: "You are connected too many times. Close another window or device.",
  STORAGE_FULL: "The server has no space left for new messages.",
  OVERLOADED: "The server is too busy.",
  DATABASE_UNAVAILABLE: "The server cannot reach its database.",
  DEADLINE_EXCEEDED: "The server took too long.",
  INTERNAL: "Something went wrong in the server.",
  TOKEN_INVALID: "This invitation is not valid.",
  TOKEN_WRONG_KIND: "This invitation is not valid.",
  TOKEN_EXPIRED: "This invitation has expired. Ask for a new one.",
  TOKEN_REVOKED: "This invitation is no longer valid. Ask for a new one.",
};

/** The sentence that a user reads about a failure. */
export function sentence(failure: Failure): string {
  const known = SENTENCES[failure.reason || (failure.kind === "refused" ? INTERMEDIARY : "")];
  if (failure.reason === "RATE_LIMITED" && failure.retryAfter >= 1000) {
    const seconds = Math.ceil(failure.retryAfter / 1000);
    return `Too many attempts. Try again in ${seconds < 120 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`}.`;
  }
  if (known) return known;
  return failure.retryable ? "The server cannot be reached. Try again." : "The server refused this.";
}
