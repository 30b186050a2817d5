-- Appends the messages of rooms whose epochs are those under which their authors' memberships were cached, and whose authors'
-- sessions are alive. Returns the heads of these rooms as they were before. Rows that another transaction holds are skipped.

-- The messages, numbered from 1 in each room.
WITH draft AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::text[], $6::text[])
        AS draft (room_id, nth, message_id, user_id, body, client_message_id)
),
-- The rooms, the number of their messages, and the id of the last.
cached AS (
    SELECT * FROM unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::uuid[])
        AS cached (room_id, epoch, members_epoch, messages, newest)
),
-- A locked row is the newest one, and not the one of the statement's snapshot.
head AS (
    SELECT rooms.id, rooms.last_seq, rooms.last_message_id, cached.messages, cached.newest
    FROM rooms JOIN cached ON rooms.id = cached.room_id
    WHERE rooms.epoch = cached.epoch AND rooms.members_epoch = cached.members_epoch
    ORDER BY rooms.id FOR UPDATE OF rooms SKIP LOCKED
),
-- The sessions that live, locked against their end.
living AS (
    SELECT id FROM sessions WHERE id = ANY ($13) AND expires_at > $14 AND EXISTS (SELECT FROM head)
    ORDER BY id FOR KEY SHARE SKIP LOCKED
),
refused AS (
    SELECT author.room_id FROM unnest($12::bigint[], $13::uuid[]) AS author (room_id, session_id)
    LEFT JOIN living ON living.id = author.session_id WHERE living.id IS NULL
),
taken AS (
    SELECT * FROM head WHERE id NOT IN (SELECT room_id FROM refused)
),
moved AS (
    UPDATE rooms SET active_at = $14, last_seq = taken.last_seq + taken.messages, last_message_id = taken.newest
    FROM taken WHERE rooms.id = taken.id
),
stored AS (
    INSERT INTO messages (room_id, seq, message_id, user_id, body, created_at, client_message_id)
    SELECT taken.id, taken.last_seq + draft.nth, draft.message_id, draft.user_id, draft.body, $14, draft.client_message_id
    FROM taken JOIN draft ON draft.room_id = taken.id
)
SELECT id, last_seq, last_message_id FROM taken
