//! Draws the screen: rooms, log, people and input line.

use jiff::tz::TimeZone;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::{Modifier, Style, Stylize as _},
    text::Line,
    widgets::Paragraph,
};

use super::{
    app::App,
    hint,
    input::{Echo, Rows},
    log::LogLayout,
    panels::{draw_help, draw_people, draw_rooms, widths},
    question::Question,
    room::{RoomView, StreamState},
};
use crate::text::{one_line, truncate, width};

/// The input takes a third of the screen at most, and never more rows than this.
const INPUT_ROWS: u16 = 8;

/// Draws the screen. Returns whether the oldest known message is visible.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &mut App, zone: &TimeZone) -> bool {
    let whole = frame.area();
    let secret = app.question.as_ref().is_some_and(Question::is_secret);
    let echo = if secret { Echo::Hidden } else { Echo::Visible };
    let typed = app.input.rows(usize::from(whole.width.saturating_sub(2)), echo);
    let most = (whole.height / 3).clamp(1, INPUT_ROWS);
    let rows = u16::try_from(typed.rows.len()).unwrap_or(u16::MAX).min(most);
    let [title, body, above, input] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(rows),
    ])
    .areas(whole);
    let (for_rooms, for_people) = widths(whole.width);
    let [rooms, log, people] = Layout::horizontal([
        Constraint::Length(for_rooms),
        Constraint::Min(1),
        Constraint::Length(for_people),
    ])
    .areas(body);

    draw_title(frame, title, app);
    draw_rooms(frame, rooms, app);
    draw_people(frame, people, app);
    let top_seen = draw_log(frame, log, app, zone);
    frame.render_widget(Paragraph::new(hint::line(app, usize::from(above.width))), above);
    draw_input(frame, input, app, &typed);
    if app.help {
        draw_help(frame, body);
    }
    top_seen
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let host = app.url.split_once("://").map_or(app.url.as_str(), |(_, host)| host);
    let left = format!(" chatter · {} at {host}", one_line(&app.me));
    let right = app.room().map_or_else(String::new, |room| match &room.stream {
        StreamState::Live => "live ".to_owned(),
        StreamState::Connecting => "connecting … ".to_owned(),
        StreamState::Reconnecting => "connecting again … ".to_owned(),
        StreamState::Closed { .. } => "not in this room ".to_owned(),
    });
    let room = usize::from(area.width).saturating_sub(width(&right));
    let left = truncate(&left, room);
    let gap = " ".repeat(room.saturating_sub(width(&left)));
    let alarm = app.room().is_some_and(|room| room.stream == StreamState::Reconnecting);
    let right = if alarm { right.yellow().bold() } else { right.into() };
    let line = Line::from(vec![left.bold(), gap.into(), right]);
    frame.render_widget(Paragraph::new(line).style(Style::new().add_modifier(Modifier::REVERSED)), area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, app: &mut App, zone: &TimeZone) -> bool {
    let screen = frame.area().width;
    let [head, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    app.log_height = usize::from(area.height);
    let Some(room) = app.rooms.get_mut(app.current) else {
        let text = if app.loaded {
            "You are in no room yet.\n\n/create NAME creates one\n/join CODE joins one, by its code or a link"
        } else {
            "Loading your rooms …"
        };
        frame.render_widget(Paragraph::new(text).centered(), area);
        return false;
    };
    let count = (widths(screen).1 == 0).then(|| room.presence.count());
    draw_head(frame, head, room, count);
    let columns = usize::from(area.width).saturating_sub(2);
    let height = usize::from(area.height);
    // One extra line shows whether there is something above.
    let log = LogLayout { columns, zone, me: &app.me };
    log.keep_position(room);
    let lines = log.lines(room, room.scroll + height + 1);
    room.scroll = room.scroll.min(lines.len().saturating_sub(height));
    let end = lines.len() - room.scroll;
    let start = end.saturating_sub(height);
    let top_seen = start == 0;
    let shown: Vec<_> = lines[start..end].to_vec();
    // The newest line is next to the input.
    let free = area.height.saturating_sub(u16::try_from(shown.len()).unwrap_or(u16::MAX));
    let area = Rect {
        x: area.x + 1,
        y: area.y + free,
        width: area.width.saturating_sub(1),
        height: area.height - free,
    };
    frame.render_widget(Paragraph::new(shown), area);
    top_seen
}

/// The room's name and code, and the number of people unless a panel shows them.
fn draw_head(frame: &mut Frame<'_>, area: Rect, room: &RoomView, count: Option<usize>) {
    let columns = usize::from(area.width);
    let code = format!(" · {}", room.info.short_code);
    let below = if room.scroll > 0 { " · Esc: newest".to_owned() } else { String::new() };
    let here = count.map_or_else(String::new, |count| format!(" {count} here "));
    let taken = width(&code) + width(&below) + width(&here) + 2;
    let name = truncate(&one_line(&room.info.name), columns.saturating_sub(taken));
    let gap = " ".repeat((columns + 1).saturating_sub(taken + width(&name)));
    let parts = vec![" ".into(), name.bold(), code.dim(), below.yellow(), gap.into(), here.dim()];
    frame.render_widget(Paragraph::new(Line::from(parts)), area);
}

fn draw_input(frame: &mut Frame<'_>, area: Rect, app: &App, typed: &Rows) {
    let height = usize::from(area.height);
    let (row, column) = typed.cursor;
    let first = (row + 1).saturating_sub(height);
    let hint = app.input.is_empty() && app.question.is_none();
    let lines = typed.rows.iter().enumerate().skip(first).take(height).map(|(index, text)| {
        let text = if hint { "say something, or /help".dim() } else { text.clone().into() };
        Line::from(vec![if index == 0 { "> ".bold() } else { "  ".into() }, text])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
    let narrow = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
    let column = narrow(column).saturating_add(2).min(area.width.saturating_sub(1));
    let row = narrow(row.saturating_sub(first)).min(area.height.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x + column, area.y + row));
}
