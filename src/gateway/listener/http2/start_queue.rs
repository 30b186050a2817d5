//! Limits how many requests of an HTTP/2 connection start at the same time, so that connections share a shard fairly.
//!
//! A shard runs its tasks in the order in which they were woken. A thousand requests of one connection would run before the
//! next request of another connection, which would wait tens of milliseconds. So at most 16 tasks of a connection wait to be
//! polled for the first time. Further ones wait here, and each first poll spawns the next of them.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::runtime::Handle;

/// Maximum number of a connection's tasks that were spawned and not polled yet.
const MAX_STARTING: usize = 16;

/// The future of a request.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The requests of one connection that have not started. Clones share them.
#[derive(Clone)]
pub(super) struct StartQueue(Arc<Mutex<State>>);

struct State {
    /// Maximum number of waiting tasks: as many as the connection may have streams.
    limit: usize,
    /// Number of tasks that were spawned and not polled yet.
    starting: usize,
    waiting: VecDeque<Task>,
}

impl StartQueue {
    /// Makes an empty queue for at most `limit` waiting tasks.
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(State { limit, starting: 0, waiting: VecDeque::new() })))
    }

    /// Spawns a task, at once or after those that wait. A task over the limit is dropped, which resets its stream. Only a client
    /// that resets streams and opens new ones before the old have started reaches the limit: HTTP/2's limit of open streams
    /// does not count reset ones.
    pub(super) fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        {
            let mut state = self.0.lock();
            if state.starting >= MAX_STARTING {
                if state.waiting.len() >= state.limit {
                    tracing::debug!("a request was reset: too many of its connection have not started");
                } else {
                    state.waiting.push_back(Box::pin(task));
                }
                return;
            }
            state.starting += 1;
        }
        tokio::spawn(Starting { task, slot: Some(StartSlot(self.clone())) });
    }
}

/// Counts one starting task. Dropping it spawns the next task.
struct StartSlot(StartQueue);

impl Drop for StartSlot {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.0.lock();
            let next = state.waiting.pop_front();
            state.starting -= usize::from(next.is_none());
            next
        };
        // Without a runtime the process is ending.
        if let (Some(task), Ok(runtime)) = (next, Handle::try_current()) {
            runtime.spawn(Starting { task, slot: Some(Self(self.0.clone())) });
        }
    }
}

pin_project! {
    /// A task, with its slot until its first poll.
    struct Starting<T> {
        #[pin]
        task: T,
        slot: Option<StartSlot>,
    }
}

impl<T: Future> Future for Starting<T> {
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T::Output> {
        let this = self.project();
        let polled = this.task.poll(context);
        drop(this.slot.take());
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, task::yield_now};

    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_a_few_of_another_connections_thousand() {
        let (started, mut order) = mpsc::unbounded_channel();
        let [busy, other] = [(); 2].map(|()| StartQueue::new(1_000));
        let request = |connection| {
            let started = started.clone();
            async move { started.send(connection).unwrap() }
        };
        for _ in 0..1_000 {
            busy.start(request("busy"));
        }
        other.start(request("other"));
        drop(started);
        let mut before = 0;
        while order.recv().await.unwrap() == "busy" {
            before += 1;
        }
        assert_eq!(before, MAX_STARTING);
        // All of them start, and the queue is empty again.
        let mut after = 0;
        while order.recv().await.is_some() {
            after += 1;
        }
        assert_eq!(before + after, 1_000);
        assert_eq!(busy.0.lock().starting, 0);
    }

    #[tokio::test]
    async fn requests_over_the_limit_are_dropped() {
        let queue = StartQueue::new(100);
        let (started, mut order) = mpsc::unbounded_channel();
        for nth in 0..10_000 {
            let started = started.clone();
            queue.start(async move { started.send(nth).unwrap() });
        }
        drop(started);
        let mut all = Vec::new();
        while let Some(nth) = order.recv().await {
            all.push(nth);
        }
        assert_eq!(all, (0..MAX_STARTING + 100).collect::<Vec<_>>());
        assert_eq!(queue.0.lock().starting, 0);
    }

    #[tokio::test]
    async fn a_started_request_holds_no_slot() {
        let queue = StartQueue::new(1_000);
        let (started, mut order) = mpsc::unbounded_channel();
        for _ in 0..10 * MAX_STARTING {
            let started = started.clone();
            queue.start(async move {
                started.send(()).unwrap();
                std::future::pending::<()>().await;
            });
        }
        for _ in 0..10 * MAX_STARTING {
            order.recv().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_starts_the_next_one() {
        let queue = StartQueue::new(1_000);
        let (started, mut order) = mpsc::unbounded_channel();
        for nth in 0..=MAX_STARTING {
            let started = started.clone();
            queue.start(async move {
                assert_eq!(nth, MAX_STARTING, "on purpose");
                started.send(()).unwrap();
            });
        }
        order.recv().await.unwrap();
        while queue.0.lock().starting > 0 {
            yield_now().await;
        }
    }
}
