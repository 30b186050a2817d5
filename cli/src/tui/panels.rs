//! Draws the panels beside the log (rooms, people) and the help above it.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Style, Stylize as _},
    text::Line,
    widgets::{Block, Borders, Clear, Paragraph},
};

use super::{
    app::App,
    colour, command,
    room::{RoomView, StreamState},
};
use crate::text::{one_line, truncate, width};

/// The columns of the two panels, by the width of the screen. The log comes first: below 100 columns the people are
/// a number in the room's header, and below 60 the rooms disappear too.
pub(crate) fn widths(screen: u16) -> (u16, u16) {
    match screen {
        0..60 => (0, 0),
        60..100 => (16, 0),
        100..120 => (18, 16),
        _ => (22, 18),
    }
}

pub(crate) fn draw_rooms(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let block = Block::new().borders(Borders::RIGHT).border_style(Style::new().dim());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let columns = usize::from(inside.width);
    let height = usize::from(inside.height);
    let first = (app.current + 1).saturating_sub(height);
    let rooms = app.rooms.iter().enumerate().skip(first).take(height);
    let lines = rooms.map(|(index, room)| {
        let style = match () {
            () if index == app.current => Style::new().bold().reversed(),
            () if room.unread > 0 => Style::new().bold(),
            () if matches!(room.stream, StreamState::Closed { .. }) => Style::new().dim(),
            () => Style::new(),
        };
        room_line(room, columns).style(style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inside);
}

fn room_line(room: &RoomView, columns: usize) -> Line<'static> {
    let unread = if room.unread > 0 { format!(" {}", room.unread.min(999)) } else { String::new() };
    let name = one_line(&room.info.name);
    let name = if name.trim().is_empty() { room.info.short_code.clone() } else { name };
    let name = truncate(&name, columns.saturating_sub(width(&unread) + 2));
    let gap = " ".repeat(columns.saturating_sub(width(&name) + width(&unread) + 2));
    Line::from(format!(" {name}{gap}{unread} "))
}

pub(crate) fn draw_people(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let block = Block::new().borders(Borders::LEFT).border_style(Style::new().dim());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let Some(room) = app.room() else { return };
    let (names, count) = (room.presence.names(), room.presence.count());
    let columns = usize::from(inside.width).saturating_sub(1);
    let mut lines = vec![Line::from(format!(" {count} here")).dim()];
    let space = usize::from(inside.height).saturating_sub(2);
    for name in names.iter().take(space) {
        lines.push(Line::from(format!(" {}", truncate(&one_line(name), columns))).fg(colour::of(name)));
    }
    let hidden = count.saturating_sub(names.len().min(space));
    if hidden > 0 {
        lines.push(Line::from(format!(" and {hidden} more")).dim());
    }
    frame.render_widget(Paragraph::new(lines), inside);
}

pub(crate) fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let help = command::HELP.iter().chain(command::KEYS);
    let lines: Vec<_> =
        help.map(|it| Line::from(vec![format!(" {:<14}", it.usage).bold(), it.does.into()])).collect();
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let (columns, rows) = (78.min(area.width), rows.min(area.height));
    let popup = Rect {
        x: area.x + (area.width - columns) / 2,
        y: area.y + (area.height - rows) / 2,
        width: columns,
        height: rows,
    };
    frame.render_widget(Clear, popup);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" help · Esc closes ")), popup);
}
