//! A bounded queue that is fair between those who are charged for its jobs.
//!
//! Each payer has its own line, and the lines are served in turn, so a payer with many jobs delays another by one job at a
//! time. A place is taken before there is a job for it, so that a caller without a place is refused before any work is
//! done. When all places are taken, the longest line gives up its newest place to a payer with a shorter line.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::Hash,
};

/// A place in the queue. Newer places have larger tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// A bounded queue that is fair between payers. Jobs can be of any type.
#[derive(Debug)]
pub(crate) struct FairQueue<P, J> {
    places: usize,
    taken: usize,
    next: Ticket,
    lines: HashMap<P, Line<J>>,
    /// The payers with a job that is ready, each once, in the order in which they are served.
    turns: VecDeque<P>,
}

/// The places of one payer, each with its job once there is one.
#[derive(Debug)]
struct Line<J> {
    places: BTreeMap<Ticket, Option<J>>,
    ready: usize,
}

impl<P: Copy + Eq + Hash, J> FairQueue<P, J> {
    pub(crate) fn new(places: usize) -> Self {
        Self { places, taken: 0, next: Ticket(0), lines: HashMap::new(), turns: VecDeque::new() }
    }

    /// Returns how many places are taken.
    pub(crate) fn len(&self) -> usize {
        self.taken
    }

    /// Takes a place for `payer`, which may have `share` of them at once. If another payer had to give up its place, that
    /// place's job is returned as well, if it had one: it will not run.
    ///
    /// Returns `None` if there is no place.
    pub(crate) fn admit(&mut self, payer: P, share: usize) -> Option<(Ticket, Option<J>)> {
        let length = self.lines.get(&payer).map_or(0, |line| line.places.len());
        if length >= share {
            return None;
        }
        let mut displaced = None;
        if self.taken >= self.places {
            let (longest, newest) = self.longest()?;
            // Not if the lines would only swap lengths: two payers would displace each other's jobs for ever.
            if length + 1 >= self.lines[&longest].places.len() {
                return None;
            }
            displaced = self.leave(longest, newest);
        }
        let ticket = self.next;
        self.next = Ticket(ticket.0 + 1);
        self.taken += 1;
        let line = self.lines.entry(payer).or_insert_with(|| Line { places: BTreeMap::new(), ready: 0 });
        line.places.insert(ticket, None);
        Some((ticket, displaced))
    }

    /// Puts a job on its place. Gives the job back if the place was given up to another payer.
    pub(crate) fn submit(&mut self, payer: P, ticket: Ticket, job: J) -> Result<(), J> {
        let Some(line) = self.lines.get_mut(&payer) else { return Err(job) };
        match line.places.get_mut(&ticket) {
            Some(place @ None) => *place = Some(job),
            _ => return Err(job),
        }
        line.ready += 1;
        if line.ready == 1 {
            self.turns.push_back(payer);
        }
        Ok(())
    }

    /// Takes the next job, and frees its place.
    pub(crate) fn take(&mut self) -> Option<J> {
        let payer = self.turns.pop_front()?;
        let line = self.lines.get_mut(&payer)?;
        let ticket = line.places.iter().find_map(|(ticket, job)| job.is_some().then_some(*ticket))?;
        let job = line.places.remove(&ticket).flatten();
        self.taken -= 1;
        line.ready -= 1;
        if line.ready > 0 {
            self.turns.push_back(payer);
        }
        if line.places.is_empty() {
            self.lines.remove(&payer);
        }
        job
    }

    /// Frees a place, and returns the job that was on it. Does nothing if the job was taken, or the place was given up.
    pub(crate) fn leave(&mut self, payer: P, ticket: Ticket) -> Option<J> {
        let line = self.lines.get_mut(&payer)?;
        let job = line.places.remove(&ticket)?;
        self.taken -= 1;
        if job.is_some() {
            line.ready -= 1;
            if line.ready == 0 {
                self.turns.retain(|turn| *turn != payer);
            }
        }
        if line.places.is_empty() {
            self.lines.remove(&payer);
        }
        job
    }

    /// Returns the payer with the longest line, and its newest place.
    fn longest(&self) -> Option<(P, Ticket)> {
        let lines = self.lines.iter().filter_map(|(payer, line)| {
            line.places.last_key_value().map(|(newest, _)| (line.places.len(), *newest, *payer))
        });
        lines.max_by_key(|(length, newest, _)| (*length, *newest)).map(|(_, newest, payer)| (payer, newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: usize = 8;

    fn queue(places: usize) -> FairQueue<char, u32> {
        FairQueue::new(places)
    }

    /// Takes a place and puts a job on it at once.
    fn add(queue: &mut FairQueue<char, u32>, payer: char, job: u32) -> Ticket {
        let (ticket, displaced) = queue.admit(payer, SHARE).unwrap();
        assert_eq!(displaced, None);
        queue.submit(payer, ticket, job).unwrap();
        ticket
    }

    fn rest(queue: &mut FairQueue<char, u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.take()).collect()
    }

    /// Checks that no place, line or turn is left.
    #[track_caller]
    fn assert_empty(queue: &FairQueue<char, u32>) {
        assert_eq!((queue.taken, queue.lines.len(), queue.turns.len()), (0, 0, 0), "{queue:?}");
    }

    #[test]
    fn payers_are_served_in_turn_and_each_in_its_own_order() {
        let mut queue = queue(16);
        for job in 10..14 {
            add(&mut queue, 'a', job);
        }
        add(&mut queue, 'b', 20);
        add(&mut queue, 'b', 21);
        add(&mut queue, 'c', 30);
        assert_eq!(rest(&mut queue), [10, 20, 30, 11, 21, 12, 13]);
        assert_empty(&queue);
    }

    #[test]
    fn a_payer_with_many_jobs_delays_another_by_one() {
        let mut queue = queue(16);
        for job in 10..18 {
            add(&mut queue, 'a', job);
        }
        for round in 0..3 {
            add(&mut queue, 'b', 20 + round);
            assert_eq!(queue.take(), Some(10 + round));
            assert_eq!(queue.take(), Some(20 + round));
        }
    }

    #[test]
    fn a_place_without_a_job_delays_nobody() {
        let mut queue = queue(16);
        let (slow, _) = queue.admit('a', SHARE).unwrap();
        assert_eq!(queue.take(), None);
        add(&mut queue, 'a', 11);
        add(&mut queue, 'b', 20);
        assert_eq!(queue.take(), Some(11));
        queue.submit('a', slow, 10).unwrap();
        assert_eq!(rest(&mut queue), [20, 10]);
        assert_empty(&queue);
    }

    #[test]
    fn a_payer_has_no_more_than_its_share() {
        let mut queue = queue(16);
        for job in 0..8 {
            add(&mut queue, 'a', job);
        }
        assert_eq!(queue.admit('a', SHARE), None, "although there are places");
        assert_eq!(queue.admit('a', SHARE + 1).map(|(_, displaced)| displaced), Some(None));
        add(&mut queue, 'b', 20);
    }

    #[test]
    fn a_full_queue_refuses_a_payer_with_as_many_places_as_the_others() {
        let mut queue = queue(4);
        for payer in ['a', 'b', 'c', 'd'] {
            add(&mut queue, payer, 0);
        }
        assert_eq!(queue.admit('a', SHARE), None);
        assert_eq!(queue.admit('e', SHARE), None, "nobody has more than one place");
        queue.take().unwrap();
        assert!(queue.admit('e', SHARE).is_some());
    }

    #[test]
    fn a_payer_takes_the_newest_place_of_the_longest_line() {
        let mut queue = queue(6);
        for job in 10..14 {
            add(&mut queue, 'a', job);
        }
        add(&mut queue, 'b', 20);
        add(&mut queue, 'b', 21);
        let (ticket, displaced) = queue.admit('c', SHARE).unwrap();
        assert_eq!(displaced, Some(13));
        queue.submit('c', ticket, 30).unwrap();
        assert_eq!(queue.admit('a', SHARE), None, "it has the longest line itself");
        assert_eq!(queue.admit('b', SHARE), None, "the lines would only swap lengths");
        assert_eq!(rest(&mut queue), [10, 20, 30, 11, 21, 12]);
        assert_empty(&queue);
    }

    #[test]
    fn a_place_that_was_given_up_accepts_no_job() {
        let mut queue = queue(3);
        add(&mut queue, 'a', 10);
        add(&mut queue, 'a', 11);
        let (newest, _) = queue.admit('a', SHARE).unwrap();
        add(&mut queue, 'b', 20);
        assert_eq!(queue.submit('a', newest, 12), Err(12));
        assert_eq!(queue.leave('a', newest), None);
        assert_eq!(rest(&mut queue), [10, 20, 11]);
        assert_empty(&queue);
    }

    #[test]
    fn a_new_payer_finds_a_place_in_a_full_queue() {
        let mut queue = queue(66);
        while let Some((ticket, displaced)) = queue.admit('a', 60) {
            assert_eq!(displaced, None);
            queue.submit('a', ticket, 1).unwrap();
        }
        for payer in 'b'..='z' {
            let (ticket, _) = queue.admit(payer, SHARE).unwrap();
            queue.submit(payer, ticket, 2).unwrap();
        }
        assert_eq!(rest(&mut queue).len(), 66);
        assert_empty(&queue);
    }

    #[test]
    fn a_payer_that_leaves_takes_no_memory() {
        let mut queue = queue(4);
        let first = add(&mut queue, 'a', 10);
        let second = add(&mut queue, 'a', 11);
        let other = add(&mut queue, 'b', 20);
        assert_eq!(queue.leave('a', first), Some(10));
        assert_eq!(queue.leave('a', first), None);
        assert_eq!(queue.take(), Some(11));
        assert_eq!(queue.leave('a', second), None, "it runs already");
        assert_eq!(queue.leave('b', other), Some(20));
        assert_empty(&queue);
        for _ in 0..100 {
            let ticket = add(&mut queue, 'a', 0);
            queue.leave('a', ticket);
        }
        assert_empty(&queue);
        assert_eq!(queue.take(), None);
    }
}
