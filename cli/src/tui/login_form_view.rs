//! Draws the login form.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::Stylize as _,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use super::{
    input::Echo,
    login_form::{Field, LoginForm, Mode},
};
use crate::text::{one_line, wrap};

const FORM_WIDTH: u16 = 64;
/// The width of a label, with a space on both sides.
const LABEL_WIDTH: usize = 12;
/// An error is cut after this many rows.
const ERROR_ROWS: usize = 5;

pub(crate) fn draw(frame: &mut Frame<'_>, form: &LoginForm) {
    let whole = frame.area();
    let columns = FORM_WIDTH.min(whole.width);
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
            Some(_) => {
                let label = if focused { label(field).bold() } else { label(field).dim() };
                Line::from(vec![label, shown(form, field, inside).into()])
            }
            None => {
                let text: Span<'static> = switch_text(form.mode).into();
                let text = if focused { text.reversed() } else { text };
                Line::from(vec![" ".repeat(LABEL_WIDTH - 1).into(), text, " F2".dim()])
            }
        });
        if let Some((_, why)) = form.error.as_ref().filter(|(at, _)| *at == field) {
            let rows = wrap(&one_line(why), inside.saturating_sub(LABEL_WIDTH + 1));
            let rows = rows.into_iter().take(ERROR_ROWS);
            lines.extend(rows.map(|row| Line::from(format!("{:LABEL_WIDTH$}{row}", "")).red()));
        }
    }
    lines.push(Line::default());

    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(whole.height);
    let area =
        Rect { x: (whole.width - columns) / 2, y: (whole.height - rows) / 2, width: columns, height: rows };
    let title = match form.mode {
        Mode::LogIn => " chatter · log in ",
        Mode::Register => " chatter · a new account ",
    };
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

fn label(field: Field) -> String {
    let name = match field {
        Field::Server => "Server",
        Field::Name => "Name",
        Field::Password => "Password",
        Field::Repeat => "Repeat",
        Field::Switch => "",
    };
    format!(" {name:<width$}", width = LABEL_WIDTH - 1)
}

fn switch_text(mode: Mode) -> &'static str {
    match mode {
        Mode::LogIn => " No account yet? Create one ",
        Mode::Register => " I have an account: log in ",
    }
}

/// The visible row of a field, and the cursor's column in it.
fn visible_row(form: &LoginForm, field: Field, inside: usize) -> (String, usize) {
    let Some(input) = form.input(field) else { return (String::new(), 0) };
    let echo = if matches!(field, Field::Password | Field::Repeat) { Echo::Hidden } else { Echo::Visible };
    let mut rows = input.rows(inside.saturating_sub(LABEL_WIDTH + 1), echo);
    (rows.rows.swap_remove(rows.cursor.0), rows.cursor.1)
}

fn shown(form: &LoginForm, field: Field, inside: usize) -> String {
    visible_row(form, field, inside).0
}

fn column(form: &LoginForm, field: Field, inside: usize) -> usize {
    LABEL_WIDTH + visible_row(form, field, inside).1
}
