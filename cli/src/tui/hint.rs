//! The row above the line that is typed: what is asked, what went wrong, or what helps now.

use ratatui::{
    style::Stylize as _,
    text::{Line, Span},
};

use super::{
    app::{App, Notice},
    command,
    completion::Completion,
};
use crate::text::{cut, one_line, width};

/// What helps while nothing is typed.
const KEYS: &str = "? help · Tab next room · Alt-Enter new line · Ctrl-C quit";

pub(crate) fn line(app: &App, columns: usize) -> Line<'static> {
    let inside = columns.saturating_sub(1);
    let told = |text: &str| format!(" {}", cut(&one_line(text), inside));
    match (&app.question, &app.notice, &app.completion) {
        (Some(question), ..) => Line::from(told(&question.text(app.doubted))).yellow(),
        (_, Some(Notice::Told(text)), _) => Line::from(told(text)).green(),
        (_, Some(Notice::Failed(text)), _) => Line::from(told(text)).red(),
        (.., Some(completion)) => choice(completion, inside),
        (None, None, None) => typing(&app.input.text(), columns),
    }
}

/// The words that Tab goes through; where not all fit, those from the chosen one on.
fn choice(completion: &Completion, columns: usize) -> Line<'static> {
    let (words, at) = completion.words();
    let whole: usize = words.iter().map(|word| width(word) + 2).sum();
    let first = if whole > columns { at } else { 0 };
    let mut line = Line::from(" ");
    for (place, word) in words.iter().enumerate().skip(first) {
        let left = columns.saturating_sub(line.width());
        if left < 4 {
            break;
        }
        let word: Span<'static> = cut(word, left).into();
        line.push_span(if place == at { word.bold().reversed() } else { word.dim() });
        line.push_span("  ");
    }
    line
}

/// The help of the command that is being typed, else the keys, in a rule.
fn typing(typed: &str, columns: usize) -> Line<'static> {
    if typed.starts_with('/') && !typed.starts_with("//") && !typed.contains('\n') {
        let mut found = command::help_for(typed);
        match (found.next(), found.next()) {
            (Some(one), None) => {
                let text = format!(" {}  {}", one.usage, one.does);
                return Line::from(cut(&text, columns)).cyan();
            }
            (Some(_), Some(_)) => {
                let words: Vec<_> = command::help_for(typed).map(command::Help::word).collect();
                return Line::from(cut(&format!(" {}", words.join("  ")), columns)).cyan();
            }
            _ => {}
        }
    }
    let keys = format!("── {KEYS} ");
    let text = if width(&keys) > columns { "── ? help ".to_owned() } else { keys };
    let rest = "─".repeat(columns.saturating_sub(width(&text)));
    Line::from(cut(&(text + &rest), columns)).dim()
}
