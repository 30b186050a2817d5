//! How the screen looks: rooms, the log, people, and a line to type in.

use jiff::tz::TimeZone;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::{Modifier, Style, Stylize as _},
    text::Line,
    widgets::{Block, Borders, Clear, Paragraph},
};

use super::{
    app::{App, Notice},
    colour, command,
    log::Log,
    room::{Link, RoomView},
};
use crate::text::{cut, one_line, width};

const ROOMS: u16 = 18;
const PEOPLE: u16 = 16;
/// Below these widths the screen belongs to the log.
const WITH_ROOMS: u16 = 60;
const WITH_PEOPLE: u16 = 76;

/// Draws everything; tells whether the top of what is known of the log is on the screen.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &mut App, zone: &TimeZone) -> bool {
    let [title, body, notice, input] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let wide = frame.area().width;
    let [rooms, log, people] = Layout::horizontal([
        Constraint::Length(if wide >= WITH_ROOMS { ROOMS } else { 0 }),
        Constraint::Min(1),
        Constraint::Length(if wide >= WITH_PEOPLE { PEOPLE } else { 0 }),
    ])
    .areas(body);

    draw_title(frame, title, app);
    draw_rooms(frame, rooms, app);
    draw_people(frame, people, app);
    let top_seen = draw_log(frame, log, app, zone);
    draw_notice(frame, notice, app);
    draw_input(frame, input, app);
    if app.help {
        draw_help(frame, body);
    }
    top_seen
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let host = app.url.split_once("://").map_or(app.url.as_str(), |(_, host)| host);
    let left = format!(" chatter · {} at {host}", one_line(&app.me));
    let right = app.room().map_or_else(String::new, |room| match &room.link {
        Link::Live => "live ".to_owned(),
        Link::Connecting => "connecting … ".to_owned(),
        Link::Reconnecting => "connecting again … ".to_owned(),
        Link::Closed { .. } => "not in this room ".to_owned(),
    });
    let room = usize::from(area.width).saturating_sub(width(&right));
    let left = cut(&left, room);
    let gap = " ".repeat(room.saturating_sub(width(&left)));
    let alarm = app.room().is_some_and(|room| room.link == Link::Reconnecting);
    let right = if alarm { right.yellow().bold() } else { right.into() };
    let line = Line::from(vec![left.bold(), gap.into(), right]);
    frame.render_widget(Paragraph::new(line).style(Style::new().add_modifier(Modifier::REVERSED)), area);
}

fn draw_rooms(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let block = Block::new().borders(Borders::RIGHT).border_style(Style::new().dim());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let columns = usize::from(inside.width);
    let height = usize::from(inside.height);
    let first = (app.current + 1).saturating_sub(height);
    let lines = app.rooms.iter().enumerate().skip(first).take(height).map(|(place, room)| {
        let unread = if room.unread > 0 { format!(" {}", room.unread.min(999)) } else { String::new() };
        let name = one_line(&room.info.name);
        let name = if name.trim().is_empty() { room.info.short_code.clone() } else { name };
        let name = cut(&name, columns.saturating_sub(width(&unread) + 2));
        let gap = " ".repeat(columns.saturating_sub(width(&name) + width(&unread) + 2));
        let style = match () {
            () if place == app.current => Style::new().bold().reversed(),
            () if room.unread > 0 => Style::new().bold(),
            () if matches!(room.link, Link::Closed { .. }) => Style::new().dim(),
            () => Style::new(),
        };
        Line::from(format!(" {name}{gap}{unread} ")).style(style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inside);
}

fn draw_people(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let block = Block::new().borders(Borders::LEFT).border_style(Style::new().dim());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let Some(room) = app.room() else { return };
    let columns = usize::from(inside.width).saturating_sub(1);
    let mut lines = vec![Line::from(format!(" {} here", room.people_count)).dim()];
    let space = usize::from(inside.height).saturating_sub(2);
    for name in room.people.iter().take(space) {
        lines.push(Line::from(format!(" {}", cut(&one_line(name), columns))).fg(colour::of(name)));
    }
    let hidden = room.people_count.saturating_sub(room.people.len().min(space));
    if hidden > 0 {
        lines.push(Line::from(format!(" and {hidden} more")).dim());
    }
    frame.render_widget(Paragraph::new(lines), inside);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, app: &mut App, zone: &TimeZone) -> bool {
    let [head, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    app.log_height = usize::from(area.height);
    let Some(room) = app.rooms.get_mut(app.current) else {
        let text = if app.loaded {
            "You are in no room yet.\n\n/create NAME makes one\n/join CODE enters one"
        } else {
            "Loading your rooms …"
        };
        frame.render_widget(Paragraph::new(text).centered(), area);
        return false;
    };
    draw_head(frame, head, room);
    let columns = usize::from(area.width).saturating_sub(2);
    let height = usize::from(area.height);
    // One line more than is shown tells whether there is something above it.
    let log = Log { columns, zone, me: &app.me };
    log.anchor(room);
    let lines = log.lines(room, room.scroll + height + 1);
    room.scroll = room.scroll.min(lines.len().saturating_sub(height));
    let end = lines.len() - room.scroll;
    let start = end.saturating_sub(height);
    let top_seen = start == 0;
    let shown: Vec<_> = lines[start..end].to_vec();
    // What was said last stands next to where one types.
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

fn draw_head(frame: &mut Frame<'_>, area: Rect, room: &RoomView) {
    let columns = usize::from(area.width);
    let code = format!(" · {}", room.info.short_code);
    let below = if room.scroll > 0 { " · Esc: newest".to_owned() } else { String::new() };
    let name = cut(&one_line(&room.info.name), columns.saturating_sub(width(&code) + width(&below) + 2));
    let line = Line::from(vec![" ".into(), name.bold(), code.dim(), below.yellow()]);
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_notice(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let columns = usize::from(area.width).saturating_sub(1);
    let line = match (&app.question, &app.notice) {
        (Some(question), _) => Line::from(format!(" {}", cut(&question.text(), columns))).yellow(),
        (None, Some(Notice::Told(text))) => Line::from(format!(" {}", cut(&one_line(text), columns))).green(),
        (None, Some(Notice::Failed(text))) => Line::from(format!(" {}", cut(&one_line(text), columns))).red(),
        (None, None) => Line::from("─".repeat(area.width.into())).dim(),
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_input(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let hidden = app.question.as_ref().is_some_and(super::app::Question::is_secret);
    let columns = area.width.saturating_sub(2);
    let (shown, cursor) = app.input.window(columns.into(), hidden);
    let hint = app.input.is_empty() && app.question.is_none();
    let text = if hint { "say something, or /help".dim() } else { shown.into() };
    frame.render_widget(Paragraph::new(Line::from(vec!["> ".bold(), text])), area);
    let column = u16::try_from(cursor).unwrap_or(u16::MAX).min(columns.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x + 2 + column, area.y));
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let rows = u16::try_from(command::HELP.len()).unwrap_or(u16::MAX).saturating_add(2);
    let (columns, rows) = (72.min(area.width), rows.min(area.height));
    let place = Rect {
        x: area.x + (area.width - columns) / 2,
        y: area.y + (area.height - rows) / 2,
        width: columns,
        height: rows,
    };
    let lines: Vec<_> = command::HELP
        .iter()
        .map(|(what, does)| Line::from(vec![format!(" {what:<15}").bold(), (*does).into()]))
        .collect();
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" help · Esc closes ")), place);
}
