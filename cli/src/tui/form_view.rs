//! How the form at the door looks.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::Stylize as _,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use super::form::{Field, Form};
use crate::text::{one_line, wrap};

const WIDTH: u16 = 64;
/// The names of the lines, with a space before and behind.
const LABEL: usize = 12;
/// More of an error than this many rows belongs to no form.
const FLAW_ROWS: usize = 5;

pub(crate) fn draw(frame: &mut Frame<'_>, form: &Form) {
    let whole = frame.area();
    let columns = WIDTH.min(whole.width);
    let inside = usize::from(columns).saturating_sub(2);
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut cursor = None;
    if let Some(why) = &form.why {
        let rows = wrap(&one_line(why), inside.saturating_sub(2));
        lines.extend(rows.into_iter().map(|row| Line::from(format!(" {row}")).yellow()));
    }
    lines.push(Line::default());
    for &field in form.fields() {
        let focused = form.focus == field;
        if focused {
            cursor = Some((lines.len(), column(form, field, inside)));
        }
        lines.push(match form.input(field) {
            Some(_) => Line::from(vec![label(field, focused), shown(form, field, inside).into()]),
            None => switch(form.registers, focused),
        });
        if let Some((_, why)) = form.flaw.as_ref().filter(|(at, _)| *at == field) {
            let rows = wrap(&one_line(why), inside.saturating_sub(LABEL + 1));
            let rows = rows.into_iter().take(FLAW_ROWS);
            lines.extend(rows.map(|row| Line::from(format!("{:LABEL$}{row}", "")).red()));
        }
    }
    lines.push(Line::default());

    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(whole.height);
    let area =
        Rect { x: (whole.width - columns) / 2, y: (whole.height - rows) / 2, width: columns, height: rows };
    let title = if form.registers { " chatter · a new account " } else { " chatter · log in " };
    let hint =
        if form.busy { " asking the server … " } else { " Enter: next · Tab: move · Ctrl-C: quit " };
    let block = Block::bordered().title(title.bold()).title_bottom(hint.dim());
    frame.render_widget(Clear, whole);
    frame.render_widget(Paragraph::new(lines).block(block), area);
    if let Some((row, column)) = cursor {
        let narrow = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        let x = area.x.saturating_add(narrow(column + 1)).min(area.right().saturating_sub(1));
        let y = area.y.saturating_add(narrow(row + 1)).min(area.bottom().saturating_sub(1));
        frame.set_cursor_position(Position::new(x, y));
    }
}

fn label(field: Field, focused: bool) -> Span<'static> {
    let name = match field {
        Field::Server => "Server",
        Field::Name => "Name",
        Field::Password => "Password",
        Field::Again => "Once more",
        Field::Switch => "",
    };
    let padded = format!(" {name:<width$}", width = LABEL - 1);
    if focused { padded.bold() } else { padded.dim() }
}

fn switch(registers: bool, focused: bool) -> Line<'static> {
    let text = if registers { "I have an account: log in" } else { "No account yet? Make one" };
    let text: Span<'static> = format!(" {text} ").into();
    let text = if focused { text.reversed() } else { text };
    Line::from(vec![format!("{:width$}", "", width = LABEL - 1).into(), text, " F2".dim()])
}

/// The row of a line in which its cursor stands, and the cursor's column there.
fn window(form: &Form, field: Field, inside: usize) -> (String, usize) {
    let Some(input) = form.input(field) else { return (String::new(), 0) };
    let hidden = matches!(field, Field::Password | Field::Again);
    let mut rows = input.rows(inside.saturating_sub(LABEL + 1), hidden);
    (rows.rows.swap_remove(rows.cursor.0), rows.cursor.1)
}

fn shown(form: &Form, field: Field, inside: usize) -> String {
    window(form, field, inside).0
}

fn column(form: &Form, field: Field, inside: usize) -> usize {
    LABEL + window(form, field, inside).1
}
