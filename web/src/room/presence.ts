// Who is here. Beyond 200 people the server tells their number and no names any more.
export interface Presence {
  users: readonly string[];
  count: number;
}

/** As many as the server names. */
const NAMED = 200;

/** What a change makes of who was here. Names are let go of while they are not told: they would be the wrong ones soon. */
export function changed(before: Presence | null, came: readonly string[], left: readonly string[], count: number): Presence {
  if (count > NAMED) return { users: [], count };
  const users = new Set(before?.users);
  for (const name of left) users.delete(name);
  for (const name of came) users.add(name);
  return { users: [...users], count };
}

/** Whether everybody who could be named is: not so when the room has just become small enough again. */
export function complete({ users, count }: Presence): boolean {
  return count > NAMED || users.length === count;
}
