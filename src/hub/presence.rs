//! Who is present in a room.
//!
//! A person is present while one of their streams is open, for a while after they entered without one, and for a while after
//! their last stream ended. Changes are collected and published together.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::model::{StreamId, Timestamp, UserId};

/// How long someone who entered is present without a stream.
const ENTRY_GRACE: Duration = Duration::from_secs(30);

/// How long someone stays present after their last stream ended, unless they left.
const RECONNECT_GRACE: Duration = Duration::from_secs(10);

/// If more people than this are present, they are counted and not named.
pub(super) const MAX_NAMED: usize = 200;

/// Someone who is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their name.
    pub user_name: Arc<str>,
    /// Since when they are present.
    pub since: Timestamp,
}

/// When the user of a stream that ends becomes absent, if no other stream of theirs is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// At once: they are known to have left.
    Immediate,
    /// After [`RECONNECT_GRACE`]: they may come back.
    AfterGrace,
}

/// Who is present, as it was last published.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    people: HashMap<UserId, Person>,
    /// The people who are named, the longest present first and at most [`MAX_NAMED`]. Kept here, since each stream that opens
    /// gets a list, and sorting a crowd for each would cost more the larger it is.
    named: Vec<Person>,
    /// Rises with every published change.
    version: u64,
}

impl View {
    fn new(people: HashMap<UserId, Person>, version: u64) -> Self {
        let mut named: Vec<Person> = people.values().cloned().collect();
        let order = |a: &Person, b: &Person| (a.since, &a.user_name).cmp(&(b.since, &b.user_name));
        if named.len() > MAX_NAMED {
            named.select_nth_unstable_by(MAX_NAMED, order);
            named.truncate(MAX_NAMED);
        }
        named.sort_by(order);
        Self { people, named, version }
    }

    /// Returns the people as they are listed to `user`, the longest present first and at most [`MAX_NAMED`], and how many
    /// there are in all. The user is in the list even if the others have not been sent their arrival yet.
    pub(super) fn listed_to(&self, user: UserId, own: &Person) -> (Vec<Person>, usize) {
        let is_unpublished = !self.people.contains_key(&user);
        let listed = self.named.iter().take(MAX_NAMED - usize::from(is_unpublished));
        let mut people: Vec<Person> = listed.cloned().collect();
        if is_unpublished {
            people.push(own.clone());
        }
        (people, self.people.len() + usize::from(is_unpublished))
    }

    /// Returns the number of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// What changed since presence was last published.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Who came. Empty if more than 200 people are present.
    pub came: Vec<Person>,
    /// Who left. Empty in the same case.
    pub left: Vec<Arc<str>>,
    /// How many people are present now.
    pub count: usize,
}

#[derive(Debug)]
struct Entry {
    person: Person,
    streams: Vec<StreamId>,
    /// When the person becomes absent, if no stream is open.
    until: Instant,
}

/// The presence of one room.
#[derive(Debug, Default)]
pub(super) struct Presence {
    present: HashMap<UserId, Entry>,
    published: Arc<View>,
    /// Whether somebody came or was removed since the last flush.
    is_dirty: bool,
}

impl Presence {
    /// Notes that someone entered.
    pub(super) fn enter(&mut self, user: UserId, name: &Arc<str>, now: Timestamp) {
        let until = Instant::now() + ENTRY_GRACE;
        let entry = self.entry(user, name, now);
        entry.until = entry.until.max(until);
    }

    /// Notes that a stream opened, and returns its user's own entry in the list.
    pub(super) fn open(&mut self, user: UserId, name: &Arc<str>, stream: StreamId, now: Timestamp) -> Person {
        let entry = self.entry(user, name, now);
        entry.streams.push(stream);
        entry.person.clone()
    }

    /// Notes that a stream ended.
    pub(super) fn close(&mut self, user: UserId, stream: StreamId, departure: Departure) {
        let Some(entry) = self.present.get_mut(&user) else { return };
        let before = entry.streams.len();
        entry.streams.retain(|open| *open != stream);
        // The end of a stream may be noted twice. In between its user may have entered again.
        if entry.streams.is_empty() && before > 0 {
            let grace = match departure {
                Departure::Immediate => Duration::ZERO,
                Departure::AfterGrace => RECONNECT_GRACE,
            };
            entry.until = Instant::now() + grace;
        }
    }

    /// Removes someone whose membership ended.
    pub(super) fn leave(&mut self, user: UserId) {
        self.is_dirty |= self.present.remove(&user).is_some();
    }

    /// Removes everyone whose time is over, and returns the change to publish, if there is one. Also returns the
    /// stream to skip: if the change is one user who came with one stream, that stream's first list has them already.
    pub(super) fn flush(&mut self, now: Instant) -> Option<(Change, Option<StreamId>)> {
        let before = self.present.len();
        self.present.retain(|_, entry| !entry.streams.is_empty() || entry.until > now);
        if !std::mem::take(&mut self.is_dirty) && before == self.present.len() {
            return None;
        }
        let people: HashMap<UserId, Person> =
            self.present.iter().map(|(user, entry)| (*user, entry.person.clone())).collect();
        let published = &self.published.people;
        let mut change = Change { count: people.len(), ..Change::default() };
        if people.len() <= MAX_NAMED {
            let is_new = |(user, person): &(&UserId, &Person)| published.get(user) != Some(person);
            change.came = people.iter().filter(is_new).map(|(_, person)| person.clone()).collect();
            let is_gone = |(user, _): &(&UserId, &Person)| !people.contains_key(user);
            change.left =
                published.iter().filter(is_gone).map(|(_, person)| person.user_name.clone()).collect();
        }
        if change.came.is_empty() && change.left.is_empty() && change.count == published.len() {
            return None;
        }
        let newcomer = match (&change.came[..], &change.left[..]) {
            ([came], []) => self.present.values().find(|entry| entry.person == *came),
            _ => None,
        };
        let newcomer = newcomer.and_then(|entry| match entry.streams[..] {
            [stream] => Some(stream),
            _ => None,
        });
        self.published = Arc::new(View::new(people, self.published.version + 1));
        Some((change, newcomer))
    }

    /// Says whether [`Self::flush`] must be called again, because presence is dirty or somebody's time is running.
    pub(super) fn needs_flush(&self) -> bool {
        self.is_dirty || self.present.values().any(|entry| entry.streams.is_empty())
    }

    /// Says whether few enough people are present to be named.
    pub(super) fn is_named(&self) -> bool {
        self.present.len() <= MAX_NAMED
    }

    /// Returns how many people are present.
    pub(super) fn count(&self) -> usize {
        self.present.len()
    }

    /// Says whether nobody is present.
    pub(super) fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Returns who is present now, the longest present first.
    pub(super) fn people(&self) -> Vec<(UserId, Person)> {
        let mut people: Vec<_> =
            self.present.iter().map(|(user, entry)| (*user, entry.person.clone())).collect();
        people.sort_by(|(_, a), (_, b)| (a.since, &a.user_name).cmp(&(b.since, &b.user_name)));
        people
    }

    /// Returns what was last published.
    pub(super) fn published(&self) -> Arc<View> {
        Arc::clone(&self.published)
    }

    fn entry(&mut self, user: UserId, name: &Arc<str>, now: Timestamp) -> &mut Entry {
        let is_dirty = &mut self.is_dirty;
        self.present.entry(user).or_insert_with(|| {
            *is_dirty = true;
            let person = Person { user_name: Arc::clone(name), since: now };
            Entry { person, streams: Vec::new(), until: Instant::now() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);
    const ANN: UserId = UserId(1);

    fn name() -> Arc<str> {
        "ann001".into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_enters_without_a_stream_is_present_for_thirty_seconds() {
        let mut presence = Presence::default();
        presence.enter(ANN, &name(), NOW);
        let (change, _) = presence.flush(Instant::now()).expect("ann came");
        assert_eq!((change.came.len(), change.left.len(), change.count), (1, 0, 1));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(presence.flush(Instant::now()).is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        let (change, _) = presence.flush(Instant::now()).expect("ann left");
        assert_eq!((change.left.len(), change.count), (1, 0));
        assert!(presence.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_is_absent_ten_seconds_after_their_last_stream_unless_they_reconnect() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        presence.flush(Instant::now()).expect("ann came");
        presence.close(ANN, StreamId(1), Departure::AfterGrace);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(presence.flush(Instant::now()).is_none());
        presence.open(ANN, &name(), StreamId(2), NOW);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(presence.flush(Instant::now()).is_none());
        presence.close(ANN, StreamId(2), Departure::AfterGrace);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(presence.flush(Instant::now()).is_some_and(|(change, _)| change.count == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_leaves_is_absent_at_once_and_their_streams_ends_change_nothing() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        presence.flush(Instant::now()).expect("ann came");
        presence.leave(ANN);
        assert!(presence.flush(Instant::now()).is_some_and(|(change, _)| change.left == vec![name()]));
        presence.close(ANN, StreamId(1), Departure::AfterGrace);
        assert!(presence.flush(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_leaves_on_one_device_stays_on_the_other() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        presence.open(ANN, &name(), StreamId(2), NOW);
        presence.flush(Instant::now()).expect("ann came");
        presence.close(ANN, StreamId(1), Departure::Immediate);
        assert!(presence.flush(Instant::now()).is_none());
        presence.close(ANN, StreamId(2), Departure::Immediate);
        assert!(presence.flush(Instant::now()).is_some_and(|(change, _)| change.left == vec![name()]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_noted_twice_does_not_undo_an_entry_in_between() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        presence.close(ANN, StreamId(1), Departure::Immediate);
        presence.enter(ANN, &name(), NOW);
        presence.close(ANN, StreamId(1), Departure::Immediate);
        assert!(presence.flush(Instant::now()).is_some_and(|(change, _)| change.count == 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_came_and_left_between_two_flushes_is_not_published() {
        let mut presence = Presence::default();
        presence.enter(ANN, &name(), NOW);
        presence.leave(ANN);
        assert!(presence.flush(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_of_a_sole_newcomer_is_excepted_from_the_change() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        let (_, newcomer) = presence.flush(Instant::now()).expect("ann came");
        assert_eq!(newcomer, Some(StreamId(1)));
        presence.open(UserId(2), &"bob002".into(), StreamId(2), NOW);
        presence.leave(ANN);
        let (_, newcomer) = presence.flush(Instant::now()).expect("bob came, ann left");
        assert_eq!(newcomer, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_counted_and_not_named() {
        let mut presence = Presence::default();
        let since = |user: i64| Timestamp::from_seconds(1_000 - user);
        for user in 0..201 {
            presence.enter(UserId(user), &format!("user{user}").into(), since(user));
        }
        let (change, _) = presence.flush(Instant::now()).expect("they came");
        assert_eq!((change.came.len(), change.count), (0, 201));
        let view = presence.published();
        let own = Person { user_name: "late01".into(), since: NOW };
        let (people, count) = view.listed_to(UserId(999), &own);
        assert_eq!((people.len(), count), (200, 202));
        let expected = (2..201).rev().map(since).chain([NOW]);
        assert!(people.iter().map(|person| person.since).eq(expected), "the longest present, and the user");
    }
}
