// Who is present in a room. Above 200 users the server sends their number only, without names.
export interface Presence {
  users: readonly string[];
  count: number;
}

/** The largest presence list for which the server sends names. */
const MAX_NAMED = 200;

/** The presence after a change. Above the limit the names are dropped, since later changes would not keep them up to date. */
export function applyChange(before: Presence | null, came: readonly string[], left: readonly string[], count: number): Presence {
  if (count > MAX_NAMED) return { users: [], count };
  const users = new Set(before?.users);
  for (const name of left) users.delete(name);
  for (const name of came) users.add(name);
  return { users: [...users], count };
}

/** Whether all names are known that can be. They are not when the count has just fallen to the limit again. */
export function isComplete({ users, count }: Presence): boolean {
  return count > MAX_NAMED || users.length === count;
}
