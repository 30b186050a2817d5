//! Who is present in a room.
//!
//! A person is present while at least one of their streams is open, or for a while after they entered without
//! one, or for a while after the last one ended. Changes are collected and told together.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::model::{StreamId, Timestamp, UserId};

/// How long someone who entered is present without a stream.
const ENTERED: Duration = Duration::from_secs(30);

/// How long someone stays present after their last stream ended, unless they leave.
const GRACE: Duration = Duration::from_secs(10);

/// More people than this are not told one by one.
pub(super) const MOST_TOLD: usize = 200;

/// Someone who is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their name.
    pub user_name: Arc<str>,
    /// Since when.
    pub since: Timestamp,
}

/// Who is present, as it was told last.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    people: HashMap<UserId, Person>,
    /// Rises with every change that was told.
    version: u64,
}

impl View {
    /// Returns the people, the longest present first, at most [`MOST_TOLD`] of them, and how many there are. The
    /// one who asks is among them, even where the others have not been told yet.
    pub(super) fn told_to(&self, user: UserId, own: &Person) -> (Vec<Person>, usize) {
        let mut people: Vec<Person> = self.people.values().cloned().collect();
        let unheard = !self.people.contains_key(&user);
        people.sort_by(|a, b| (a.since, &a.user_name).cmp(&(b.since, &b.user_name)));
        people.truncate(MOST_TOLD - usize::from(unheard));
        if unheard {
            people.push(own.clone());
        }
        (people, self.people.len() + usize::from(unheard))
    }

    /// Returns the number of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// What changed since it was told last.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Who came; nobody is named where more than 200 are present.
    pub came: Vec<Person>,
    /// Who left, likewise.
    pub left: Vec<Arc<str>>,
    /// How many are present now.
    pub count: usize,
}

#[derive(Debug)]
struct Entry {
    person: Person,
    streams: Vec<StreamId>,
    /// When they are gone, where no stream is open.
    until: Instant,
}

/// The presence of one room.
#[derive(Debug, Default)]
pub(super) struct Presence {
    present: HashMap<UserId, Entry>,
    told: Arc<View>,
    changed: bool,
}

impl Presence {
    /// Notes that someone entered.
    pub(super) fn enter(&mut self, user: UserId, name: &Arc<str>, now: Timestamp) {
        let until = Instant::now() + ENTERED;
        let entry = self.entry(user, name, now);
        entry.until = entry.until.max(until);
    }

    /// Notes that a stream opened, and returns the person as they are told to themselves.
    pub(super) fn open(&mut self, user: UserId, name: &Arc<str>, stream: StreamId, now: Timestamp) -> Person {
        let entry = self.entry(user, name, now);
        entry.streams.push(stream);
        entry.person.clone()
    }

    /// Notes that a stream ended. `at_once` where it is known that they left.
    pub(super) fn close(&mut self, user: UserId, stream: StreamId, at_once: bool) {
        let Some(entry) = self.present.get_mut(&user) else { return };
        let before = entry.streams.len();
        entry.streams.retain(|open| *open != stream);
        // The end of a stream may be noted twice. In between its user may have entered again.
        if entry.streams.is_empty() && before > 0 {
            entry.until = Instant::now() + if at_once { Duration::ZERO } else { GRACE };
        }
    }

    /// Notes that someone gave up their membership, or lost it.
    pub(super) fn leave(&mut self, user: UserId) {
        self.changed |= self.present.remove(&user).is_some();
    }

    /// Drops those whose time is over, and returns what is to be told, if anything; and the one stream that has
    /// been told all of it already: a newcomer's, where nothing else changed.
    pub(super) fn settle(&mut self, now: Instant) -> Option<(Change, Option<StreamId>)> {
        let before = self.present.len();
        self.present.retain(|_, entry| !entry.streams.is_empty() || entry.until > now);
        if !std::mem::take(&mut self.changed) && before == self.present.len() {
            return None;
        }
        let people: HashMap<UserId, Person> =
            self.present.iter().map(|(user, entry)| (*user, entry.person.clone())).collect();
        let mut change = Change { count: people.len(), ..Change::default() };
        if people.len() <= MOST_TOLD {
            let is_new = |(user, person): &(&UserId, &Person)| self.told.people.get(user) != Some(person);
            change.came = people.iter().filter(is_new).map(|(_, person)| person.clone()).collect();
            let is_gone = |(user, _): &(&UserId, &Person)| !people.contains_key(user);
            change.left =
                self.told.people.iter().filter(is_gone).map(|(_, person)| person.user_name.clone()).collect();
        }
        if change.came.is_empty() && change.left.is_empty() && change.count == self.told.people.len() {
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
        self.told = Arc::new(View { people, version: self.told.version + 1 });
        Some((change, newcomer))
    }

    /// Says whether somebody's time is running, so that [`Self::settle`] must be asked again.
    pub(super) fn is_settling(&self) -> bool {
        self.changed || self.present.values().any(|entry| entry.streams.is_empty())
    }

    /// Says whether those who are here are few enough to be named.
    pub(super) fn is_named(&self) -> bool {
        self.present.len() <= MOST_TOLD
    }

    /// Returns how many are here.
    pub(super) fn count(&self) -> usize {
        self.present.len()
    }

    /// Says whether nobody is here.
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

    /// Returns what was told last.
    pub(super) fn told(&self) -> Arc<View> {
        Arc::clone(&self.told)
    }

    fn entry(&mut self, user: UserId, name: &Arc<str>, now: Timestamp) -> &mut Entry {
        let changed = &mut self.changed;
        self.present.entry(user).or_insert_with(|| {
            *changed = true;
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
    async fn who_enters_without_a_stream_is_present_for_thirty_seconds() {
        let mut presence = Presence::default();
        presence.enter(ANN, &name(), NOW);
        let (change, _) = presence.settle(Instant::now()).expect("ann came");
        assert_eq!((change.came.len(), change.left.len(), change.count), (1, 0, 1));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(presence.settle(Instant::now()).is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        let (change, _) = presence.settle(Instant::now()).expect("ann left");
        assert_eq!((change.left.len(), change.count), (1, 0));
        assert!(presence.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn leaving_is_told_ten_seconds_after_the_last_stream_unless_one_comes_back() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        presence.settle(Instant::now()).expect("ann came");
        presence.close(ANN, StreamId(1), false);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(presence.settle(Instant::now()).is_none());
        presence.open(ANN, &name(), StreamId(2), NOW);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(presence.settle(Instant::now()).is_none());
        presence.close(ANN, StreamId(2), false);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(presence.settle(Instant::now()).is_some_and(|(change, _)| change.count == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_is_gone_at_once_and_late_ends_of_their_streams_change_nothing() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        presence.settle(Instant::now()).expect("ann came");
        presence.leave(ANN);
        assert!(presence.settle(Instant::now()).is_some_and(|(change, _)| change.left == vec![name()]));
        presence.close(ANN, StreamId(1), false);
        assert!(presence.settle(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_on_one_device_stays_on_the_other() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        presence.open(ANN, &name(), StreamId(2), NOW);
        presence.settle(Instant::now()).expect("ann came");
        presence.close(ANN, StreamId(1), true);
        assert!(presence.settle(Instant::now()).is_none());
        presence.close(ANN, StreamId(2), true);
        assert!(presence.settle(Instant::now()).is_some_and(|(change, _)| change.left == vec![name()]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_noted_twice_does_not_end_what_began_in_between() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        presence.close(ANN, StreamId(1), true);
        presence.enter(ANN, &name(), NOW);
        presence.close(ANN, StreamId(1), true);
        assert!(presence.settle(Instant::now()).is_some_and(|(change, _)| change.count == 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_and_left_between_two_tellings_is_not_told() {
        let mut presence = Presence::default();
        presence.enter(ANN, &name(), NOW);
        presence.leave(ANN);
        assert!(presence.settle(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_who_is_all_the_news_is_named_by_their_stream() {
        let mut presence = Presence::default();
        presence.open(ANN, &name(), StreamId(1), NOW);
        let (_, newcomer) = presence.settle(Instant::now()).expect("ann came");
        assert_eq!(newcomer, Some(StreamId(1)));
        presence.open(UserId(2), &"bob002".into(), StreamId(2), NOW);
        presence.leave(ANN);
        let (_, newcomer) = presence.settle(Instant::now()).expect("bob came, ann left");
        assert_eq!(newcomer, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_counted_and_not_named() {
        let mut presence = Presence::default();
        for user in 0..201 {
            presence.enter(UserId(user), &format!("user{user}").into(), NOW);
        }
        let (change, _) = presence.settle(Instant::now()).expect("they came");
        assert_eq!((change.came.len(), change.count), (0, 201));
        let view = presence.told();
        let own = Person { user_name: "late01".into(), since: NOW };
        let (people, count) = view.told_to(UserId(999), &own);
        assert_eq!((people.len(), count), (200, 202));
        assert!(people.contains(&own));
    }
}
