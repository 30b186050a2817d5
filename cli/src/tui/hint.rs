//! The row above the input: the question, the last notice, or help.

use ratatui::{
    style::Stylize as _,
    text::{Line, Span},
};

use super::{
    app::{App, Notice},
    command,
    completion::Completion,
    question,
};
use crate::text::{one_line, truncate, width};

/// Shown while nothing is typed.
const KEYS: &str = "? help · Tab next room · Alt-Enter new line · Ctrl-C quit";

pub(crate) fn line(app: &App, columns: usize) -> Line<'static> {
    let inside = columns.saturating_sub(1);
    let one_row = |text: &str| format!(" {}", truncate(&one_line(text), inside));
    match (&app.question, &app.notice, &app.completion) {
        (Some(_), ..) if app.command_warned => Line::from(one_row(question::COMMAND_WARNING)).yellow(),
        (Some(question), ..) => Line::from(one_row(&question.text())).yellow(),
        (_, Some(Notice::Info(text)), _) => Line::from(one_row(text)).green(),
        (_, Some(Notice::Error(text)), _) => Line::from(one_row(text)).red(),
        (.., Some(completion)) => choice(completion, inside),
        (None, None, None) => typing_help(&app.input.text(), columns),
    }
}

/// The candidates of a completion. If they do not all fit, the row starts at the selected one.
fn choice(completion: &Completion, columns: usize) -> Line<'static> {
    let (words, selected) = completion.words();
    let whole: usize = words.iter().map(|word| width(word) + 2).sum();
    let first = if whole > columns { selected } else { 0 };
    let mut line = Line::from(" ");
    for (index, word) in words.iter().enumerate().skip(first) {
        let left = columns.saturating_sub(line.width());
        if left < 4 {
            break;
        }
        let word: Span<'static> = truncate(word, left).into();
        line.push_span(if index == selected { word.bold().reversed() } else { word.dim() });
        line.push_span("  ");
    }
    line
}

/// Help for the command being typed, otherwise the keys in a horizontal rule.
fn typing_help(typed: &str, columns: usize) -> Line<'static> {
    if typed.starts_with('/') && !typed.starts_with("//") && !typed.contains('\n') {
        let mut found = command::help_for(typed);
        match (found.next(), found.next()) {
            (Some(one), None) => {
                let text = format!(" {}  {}", one.usage, one.does);
                return Line::from(truncate(&text, columns)).cyan();
            }
            (Some(_), Some(_)) => {
                let words: Vec<_> = command::help_for(typed).map(command::Help::word).collect();
                return Line::from(truncate(&format!(" {}", words.join("  ")), columns)).cyan();
            }
            _ => {}
        }
    }
    let keys = format!("── {KEYS} ");
    let text = if width(&keys) > columns { "── ? help ".to_owned() } else { keys };
    let rest = "─".repeat(columns.saturating_sub(width(&text)));
    Line::from(truncate(&(text + &rest), columns)).dim()
}
