//! Who is begun next: the requests of an HTTP/2 connection begin a few at a time, however many it sends at once.
//!
//! A shard runs its tasks in the order in which they were woken. A thousand requests of one connection would all be run
//! before the next one of another connection, which waits tens of milliseconds for them. So few of a connection's requests
//! stand in that order before they have been run once; the others wait here, and each that was run lets the next one in.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::runtime::Handle;

/// So many requests of a connection may stand among the tasks that are to run, and have not been run yet.
const AT_ONCE: usize = 16;

/// What becomes a task.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The requests of one connection that have not begun. Clones share them.
#[derive(Clone)]
pub(super) struct StartQueue(Arc<Mutex<State>>);

struct State {
    /// How many may wait: as many as the connection may have streams.
    limit: usize,
    /// How many were spawned, and have not been run.
    spawned: usize,
    waiting: VecDeque<Task>,
}

impl StartQueue {
    /// Makes an empty queue in which `limit` requests may wait.
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(State { limit, spawned: 0, waiting: VecDeque::new() })))
    }

    /// Spawns a task, now or when it is its turn. A task over the limit is dropped, which resets its stream: only a client
    /// that resets its streams and opens new ones before the old have begun gets there, and HTTP/2's limit of open streams
    /// does not count those.
    pub(super) fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        {
            let mut state = self.0.lock();
            if state.spawned >= AT_ONCE {
                if state.waiting.len() >= state.limit {
                    tracing::debug!("a request was reset: its connection has too many that have not begun");
                } else {
                    state.waiting.push_back(Box::pin(task));
                }
                return;
            }
            state.spawned += 1;
        }
        tokio::spawn(Beginning { task, starting: Some(Starting(self.clone())) });
    }
}

/// A task that was spawned and has not been run. The next one is let in when this is dropped.
struct Starting(StartQueue);

impl Drop for Starting {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.0.lock();
            let next = state.waiting.pop_front();
            state.spawned -= usize::from(next.is_none());
            next
        };
        // Where the runtime has ended, nothing begins any more.
        if let (Some(task), Ok(runtime)) = (next, Handle::try_current()) {
            runtime.spawn(Beginning { task, starting: Some(Self(self.0.clone())) });
        }
    }
}

pin_project! {
    /// A task, and its place in the queue until it was run once.
    struct Beginning<T> {
        #[pin]
        task: T,
        starting: Option<Starting>,
    }
}

impl<T: Future> Future for Beginning<T> {
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T::Output> {
        let this = self.project();
        let polled = this.task.poll(context);
        drop(this.starting.take());
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, task::yield_now};

    use super::*;

    #[tokio::test]
    async fn a_thousand_requests_of_a_connection_keep_another_waiting_for_a_few() {
        let (begun, mut order) = mpsc::unbounded_channel();
        let [busy, other] = [(); 2].map(|()| StartQueue::new(1_000));
        let request = |connection| {
            let begun = begun.clone();
            async move { begun.send(connection).unwrap() }
        };
        for _ in 0..1_000 {
            busy.start(request("busy"));
        }
        other.start(request("other"));
        drop(begun);
        let mut before = 0;
        while order.recv().await.unwrap() == "busy" {
            before += 1;
        }
        assert_eq!(before, AT_ONCE);
        // All of them begin, and the queue is as it was.
        let mut after = 0;
        while order.recv().await.is_some() {
            after += 1;
        }
        assert_eq!(before + after, 1_000);
        assert_eq!(busy.0.lock().spawned, 0);
    }

    #[tokio::test]
    async fn no_more_wait_than_may_and_the_others_are_dropped() {
        let queue = StartQueue::new(100);
        let (begun, mut order) = mpsc::unbounded_channel();
        for nth in 0..10_000 {
            let begun = begun.clone();
            queue.start(async move { begun.send(nth).unwrap() });
        }
        drop(begun);
        let mut all = Vec::new();
        while let Some(nth) = order.recv().await {
            all.push(nth);
        }
        assert_eq!(all, (0..AT_ONCE + 100).collect::<Vec<_>>());
        assert_eq!(queue.0.lock().spawned, 0);
    }

    #[tokio::test]
    async fn what_has_begun_takes_no_place() {
        let queue = StartQueue::new(1_000);
        let (begun, mut order) = mpsc::unbounded_channel();
        for _ in 0..10 * AT_ONCE {
            let begun = begun.clone();
            queue.start(async move {
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            });
        }
        for _ in 0..10 * AT_ONCE {
            order.recv().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_lets_the_next_one_in() {
        let queue = StartQueue::new(1_000);
        let (begun, mut order) = mpsc::unbounded_channel();
        for nth in 0..=AT_ONCE {
            let begun = begun.clone();
            queue.start(async move {
                assert_eq!(nth, AT_ONCE, "on purpose");
                begun.send(()).unwrap();
            });
        }
        order.recv().await.unwrap();
        while queue.0.lock().spawned > 0 {
            yield_now().await;
        }
    }
}
