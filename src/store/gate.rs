//! A gate that lets so many through at a time, and those who wait in turn, by who is charged for them.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::DbResult;
use crate::{
    fair_queue::{FairQueue, Ticket},
    model::{Error, Payer},
};

tokio::task_local! {
    /// Who is charged for what this task does.
    static PAYER: Payer;
}

/// Does work for which somebody is charged: where it has to wait for the database, it takes its turn among theirs.
pub async fn charged_to<F: Future>(payer: Payer, work: F) -> F::Output {
    PAYER.scope(payer, work).await
}

/// Returns who is charged for what this task does; none for what the server does by itself.
pub fn payer() -> Option<Payer> {
    PAYER.try_with(|payer| *payer).ok()
}

/// The gate. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    share: usize,
}

#[derive(Debug)]
struct State {
    /// How many may go through at once; none of them while somebody waits.
    free: usize,
    waiting: FairQueue<Option<Payer>, oneshot::Sender<Pass>>,
}

/// Leave to go through, until it is dropped.
#[derive(Debug)]
#[must_use = "the next goes through once this is dropped"]
pub(super) struct Pass(Gate);

impl Gate {
    /// Lets `at_once` through at a time, while `places` wait, of which one payer has `share` at most.
    pub(super) fn new(at_once: usize, places: usize, share: usize) -> Self {
        let state = Mutex::new(State { free: at_once, waiting: FairQueue::new(places) });
        Self(Arc::new(Inner { state, share }))
    }

    /// Returns how many wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.state.lock().waiting.len()
    }

    /// Waits for the turn of whoever is charged.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where there is no place to wait, or another one's turn needed it.
    pub(super) async fn pass(&self, payer: Option<Payer>) -> DbResult<Pass> {
        let (waiting, _left) = {
            let mut state = self.0.state.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Pass(self.clone()));
            }
            // What is displaced hears of it when its sender is dropped.
            let (ticket, _displaced) = state.waiting.admit(payer, self.0.share).ok_or(Error::Overloaded)?;
            let (sender, waiting) = oneshot::channel();
            // The place was taken a moment ago, under the same lock.
            drop(state.waiting.submit(payer, ticket, sender));
            (waiting, Leaving { gate: self, payer, ticket })
        };
        waiting.await.map_err(|_| Error::Overloaded.into())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        loop {
            let next = {
                let mut state = self.0.0.state.lock();
                let next = state.waiting.take();
                state.free += usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            match next.send(Self(self.0.clone())) {
                Ok(()) => return,
                // Whoever waited has just gone away: this one asks for the next by itself.
                Err(unused) => std::mem::forget(unused),
            }
        }
    }
}

/// Frees the place of whoever goes away.
struct Leaving<'a> {
    gate: &'a Gate,
    payer: Option<Payer>,
    ticket: Ticket,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let left = self.gate.0.state.lock().waiting.leave(self.payer, self.ticket);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{model::UserId, store::Failure};

    fn somebody(user: i64) -> Option<Payer> {
        Some(Payer::User(UserId(user)))
    }

    #[test]
    fn whoever_waits_many_times_delays_another_by_one() {
        let gate = Gate::new(1, 64, 16);
        let under_way = gate.pass(None).now_or_never().unwrap().unwrap();
        let mut greedy: Vec<_> = (0..16).map(|_| Box::pin(gate.pass(somebody(1)))).collect();
        assert!(greedy.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        let mut other = Box::pin(gate.pass(somebody(2)));
        assert!((&mut other).now_or_never().is_none());
        drop(under_way);
        let first = (&mut greedy[0]).now_or_never().unwrap().unwrap();
        assert!((&mut other).now_or_never().is_none());
        drop(first);
        let _turn = other.now_or_never().unwrap().unwrap();
    }

    #[test]
    fn a_full_queue_has_room_for_who_waits_least() {
        let gate = Gate::new(1, 4, 4);
        let under_way = gate.pass(None).now_or_never().unwrap().unwrap();
        let mut greedy: Vec<_> = (0..4).map(|_| Box::pin(gate.pass(somebody(1)))).collect();
        assert!(greedy.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        let mut other = Box::pin(gate.pass(somebody(2)));
        assert!((&mut other).now_or_never().is_none());
        // The newest of the longest line gave its place up, and is told so.
        let displaced = (&mut greedy[3]).now_or_never().unwrap().unwrap_err();
        assert!(matches!(displaced, Failure::Refused(Error::Overloaded)), "{displaced:?}");
        drop(under_way);
        drop((&mut greedy[0]).now_or_never().unwrap().unwrap());
        drop(other.now_or_never().unwrap().unwrap());
    }

    #[test]
    fn who_goes_away_takes_no_turn() {
        let gate = Gate::new(1, 64, 16);
        let under_way = gate.pass(None).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..3).map(|user| Box::pin(gate.pass(somebody(user)))).collect();
        assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        // One before its turn, one after it, unseen.
        drop(waiting.remove(0));
        drop(under_way);
        drop(waiting.remove(0));
        drop((&mut waiting[0]).now_or_never().unwrap().unwrap());
        assert_eq!(gate.0.state.lock().free, 1);
    }

    #[tokio::test]
    async fn who_is_charged_is_known_to_what_is_done_for_them() {
        assert_eq!(payer(), None);
        let seen = charged_to(Payer::User(UserId(7)), async { payer() }).await;
        assert_eq!(seen, somebody(7));
    }
}
