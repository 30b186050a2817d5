//! Lays out a room's log as lines of the screen.

use std::mem;

use grpcchatter_client::Message;
use jiff::{Zoned, civil::Date, tz::TimeZone};
use ratatui::{
    style::{Style, Stylize as _},
    text::{Line, Span},
};

use super::{
    colour,
    room::{LogEntry, RoomView},
};
use crate::{
    output::timestamp,
    text::{one_line, printable, truncate, width, wrap},
};

/// `14:03` and a space.
const TIME_WIDTH: usize = 6;

/// The layout of a log.
pub(crate) struct LogLayout<'a> {
    pub(crate) columns: usize,
    pub(crate) zone: &'a TimeZone,
    /// The user, who is the author of the pending messages.
    pub(crate) me: &'a str,
}

impl LogLayout<'_> {
    /// The newest lines in order, at least `wanted` of them if there are that many.
    pub(crate) fn lines(&self, room: &RoomView, wanted: usize) -> Vec<Line<'static>> {
        // Built upwards from the newest entry, then reversed.
        let mut upward: Vec<_> = self.pending(room).into_iter().rev().collect();
        let mut day: Option<Date> = None;
        // Whether an unread message by another user is below.
        let mut new = false;
        for entry in room.entries.iter().rev() {
            if let LogEntry::Message(message) = entry {
                let read = room.new_after.is_none_or(|read| message.seq <= read);
                let first_new = read && mem::take(&mut new);
                new |= !read && !message.is_own;
                let date = self.local(message).date();
                if let Some(below) = day.replace(date).filter(|below| *below != date) {
                    upward.push(self.day(below));
                }
                if first_new {
                    upward.push(self.rule("new", Line::yellow));
                }
                if upward.len() >= wanted {
                    break;
                }
            }
            upward.extend(self.entry(entry).into_iter().rev());
        }
        if upward.len() < wanted
            && let Some(day) = day
        {
            upward.push(self.day(day));
        }
        upward.reverse();
        upward
    }

    /// Keeps the visible lines in place while others are added below.
    pub(crate) fn keep_position(&self, room: &mut RoomView) {
        let pending = self.pending(room).len();
        let undrawn: usize =
            room.entries.iter().rev().take(room.undrawn).map(|it| self.entry(it).len()).sum();
        if room.scroll > 0 {
            room.scroll = (room.scroll + undrawn + pending).saturating_sub(room.pending_lines).max(1);
        }
        room.undrawn = 0;
        room.pending_lines = pending;
    }

    /// The unacknowledged messages, below the log.
    fn pending(&self, room: &RoomView) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        for pending in &room.pending {
            let text_lines = message_lines("     ", self.me, &pending.body, self.columns);
            lines.extend(text_lines.into_iter().map(|line| line.dim()));
            if let Some(why) = &pending.failed {
                let mark = format!("not sent: {}; /retry", one_line(why));
                lines.extend(wrap(&mark, self.columns).into_iter().map(|line| Line::from(line).red()));
            }
        }
        lines
    }

    fn entry(&self, entry: &LogEntry) -> Vec<Line<'static>> {
        match entry {
            LogEntry::Note(note) => {
                let lines = wrap(&one_line(note), self.columns.saturating_sub(TIME_WIDTH));
                lines.into_iter().map(|line| Line::from(format!("      {line}")).dim()).collect()
            }
            LogEntry::Message(message) => {
                let clock = self.local(message).strftime("%H:%M").to_string();
                let name = if message.user_name.is_empty() { "deleted user" } else { &message.user_name };
                message_lines(&clock, name, &message.body, self.columns)
            }
        }
    }

    fn day(&self, day: Date) -> Line<'static> {
        self.rule(&day.strftime("%A, %-d %B %Y").to_string(), Line::dim)
    }

    fn rule(&self, title: &str, style: fn(Line<'static>) -> Line<'static>) -> Line<'static> {
        let text = format!("── {title} ");
        let rest = "─".repeat(self.columns.saturating_sub(width(&text)));
        style(Line::from(text + &rest))
    }

    fn local(&self, message: &Message) -> Zoned {
        timestamp(message.create_time).to_zoned(self.zone.clone())
    }
}

/// A message: the name on the first line, the following lines indented below the text.
fn message_lines(clock: &str, name: &str, body: &str, columns: usize) -> Vec<Line<'static>> {
    let shown = truncate(&one_line(name), (columns / 3).max(8));
    let indent = TIME_WIDTH + 2;
    let first = columns.saturating_sub(TIME_WIDTH + width(&shown) + 2).max(1);
    let body = printable(body);
    let (head, rest) = split_first(&body, first);
    let mut lines = vec![Line::from(vec![
        format!("{clock} ").dim(),
        Span::styled(shown, Style::new().fg(colour::of(name)).bold()),
        format!("  {head}").into(),
    ])];
    if let Some(rest) = rest {
        for line in wrap(&rest, columns.saturating_sub(indent)) {
            lines.push(Line::from(format!("{:indent$}{line}", "")));
        }
    }
    lines
}

/// The part beside the name, and the rest.
fn split_first(body: &str, columns: usize) -> (String, Option<String>) {
    let lines = wrap(body, columns);
    let first = lines.first().cloned().unwrap_or_default();
    if lines.len() < 2 {
        return (first, None);
    }
    let rest = body.strip_prefix(&first).unwrap_or(body);
    let rest = rest.strip_prefix('\n').unwrap_or_else(|| rest.trim_start_matches(' '));
    (first, Some(rest.to_owned()))
}
