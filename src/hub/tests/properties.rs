//! Properties of streams and of presence, checked by proptest, which shrinks counterexamples.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use proptest::{
    collection::vec,
    prelude::{Just, ProptestConfig, Strategy, TestCaseError, any},
    prop_assert_eq, prop_oneof,
    test_runner::TestRunner,
};
use tokio::time::Instant;

use crate::{
    hub::{
        fuzz::resume,
        presence::{Departure, Presence},
    },
    model::{StreamId, Timestamp, UserId},
};

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() })
}

/// Runs what `fuzz/` runs, with at most 300 events.
#[test]
fn a_stream_gets_the_log_whatever_happens_around_it() {
    let held = runner(256).run(&vec(any::<u8>(), 2..300), |bytes| {
        catch_unwind(AssertUnwindSafe(|| resume(&bytes))).map_err(|_| TestCaseError::fail("see above"))
    });
    if let Err(broken) = held {
        panic!("{broken}");
    }
}

/// What may happen to the presence of a room.
#[derive(Clone, Debug)]
enum Act {
    Enter(i64),
    Open(i64),
    /// The user's oldest stream ends.
    Close(i64, Departure),
    Leave(i64),
    Advance(u64),
    Flush,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let user = || 0..4_i64;
    let departure = prop_oneof![Just(Departure::Immediate), Just(Departure::AfterGrace)];
    let act = prop_oneof![
        2 => user().prop_map(Act::Enter),
        3 => user().prop_map(Act::Open),
        3 => (user(), departure).prop_map(|(user, departure)| Act::Close(user, departure)),
        1 => user().prop_map(Act::Leave),
        3 => (1..35_u64).prop_map(Act::Advance),
        4 => Just(Act::Flush),
    ];
    vec(act, 1..40)
}

/// Who must be present: while a stream is open, for 30 s after entering, and for 10 s after the last stream.
#[derive(Default)]
struct Model {
    present: BTreeMap<i64, (Vec<StreamId>, Instant)>,
    streams: u64,
}

impl Model {
    fn act(&mut self, presence: &mut Presence, act: &Act) {
        let (now, at) = (Instant::now(), Timestamp::from_seconds(1_000));
        let name = |user: &i64| Arc::from(format!("user{user}"));
        match act {
            Act::Enter(user) => {
                presence.enter(UserId(*user), &name(user), at);
                let until = &mut self.present.entry(*user).or_insert((Vec::new(), now)).1;
                *until = (*until).max(now + Duration::from_secs(30));
            }
            Act::Open(user) => {
                self.streams += 1;
                let stream = StreamId(self.streams);
                presence.open(UserId(*user), &name(user), stream, at);
                self.present.entry(*user).or_insert((Vec::new(), now)).0.push(stream);
            }
            Act::Close(user, departure) => {
                let Some((streams, until)) = self.present.get_mut(user) else { return };
                if streams.is_empty() {
                    return;
                }
                presence.close(UserId(*user), streams.remove(0), *departure);
                if streams.is_empty() {
                    *until =
                        now + Duration::from_secs(if *departure == Departure::Immediate { 0 } else { 10 });
                }
            }
            Act::Leave(user) => {
                presence.leave(UserId(*user));
                self.present.remove(user);
            }
            Act::Advance(_) | Act::Flush => {}
        }
    }

    fn names(&mut self, now: Instant) -> BTreeSet<String> {
        self.present.retain(|_, (streams, until)| !streams.is_empty() || *until > now);
        self.present.keys().map(|user| format!("user{user}")).collect()
    }
}

#[test]
fn published_presence_changes_add_up_to_who_is_present() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let held = runner(256).run(&acts(), |acts| {
        runtime().block_on(async {
            let (mut presence, mut model, mut published) =
                (Presence::default(), Model::default(), BTreeSet::new());
            for act in acts.iter().chain([&Act::Flush]) {
                model.act(&mut presence, act);
                if let Act::Advance(seconds) = act {
                    tokio::time::advance(Duration::from_secs(*seconds)).await;
                }
                if !matches!(act, Act::Flush) {
                    continue;
                }
                let (now, change) = (Instant::now(), presence.flush(Instant::now()));
                if let Some((change, _)) = change {
                    for name in &change.left {
                        prop_assert_eq!(published.remove(&**name), true, "they had come before");
                    }
                    published.extend(change.came.iter().map(|person| person.user_name.to_string()));
                    prop_assert_eq!(change.count, published.len());
                }
                prop_assert_eq!(&published, &model.names(now));
                prop_assert_eq!(presence.is_empty(), published.is_empty());
            }
            Ok(())
        })
    });
    if let Err(broken) = held {
        panic!("{broken}");
    }
}
