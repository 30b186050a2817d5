//! Handles keys, pasted text and submitted lines.

use std::mem;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::new_message_id;

use super::{
    app::{App, End, Notice},
    command::{self, Command},
    completion::{Completion, Direction},
    effect::{Effect, Remedy},
    question::Question,
    room::{Older, Pending, RoomView, StreamState},
};
use crate::invitation;

const NO_ROOM: &str = "there is no room yet: /create or /join one";

impl App {
    /// Handles a paste. A message keeps its lines; an answer is one line and often copied with its line break.
    pub(crate) fn paste(&mut self, text: &str) {
        self.completion = None;
        self.drop_help_question();
        if self.question.is_none() {
            return self.input.insert(text);
        }
        let line = text.trim_end_matches(['\r', '\n']).replace(['\r', '\n'], " ");
        self.input.insert(&line);
    }

    /// Handles a key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.notice = None;
        self.focus_gained();
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        let page = (self.log_height / 2).max(1);
        if let KeyCode::Tab | KeyCode::BackTab = key.code {
            let direction = if key.code == KeyCode::Tab { Direction::Forward } else { Direction::Backward };
            return self.tab_pressed(direction);
        }
        self.completion = None;
        if key.code != KeyCode::Enter || alt || shift {
            self.drop_help_question();
        }
        match key.code {
            KeyCode::Char('c' | 'q') if control => self.end = Some(End::Quit),
            KeyCode::F(1) => self.help = !self.help,
            KeyCode::Esc => {
                self.help = false;
                if self.question.take().is_some() {
                    self.input.set("");
                }
                self.scroll(|_| 0);
            }
            // Terminals send Ctrl-J as a line break that differs from Enter.
            KeyCode::Char('j') if control && self.question.is_none() => self.input.insert("\n"),
            KeyCode::Enter if (alt || shift) && self.question.is_none() => self.input.insert("\n"),
            KeyCode::PageUp => self.scroll(|lines| lines + page),
            KeyCode::PageDown => self.scroll(|lines| lines.saturating_sub(page)),
            KeyCode::Up if alt => return self.show_room(self.current.saturating_sub(1)),
            KeyCode::Down if alt && self.current + 1 < self.rooms.len() => {
                return self.show_room(self.current + 1);
            }
            KeyCode::Enter => return self.enter_pressed(),
            _ => {
                self.help &= !self.input.key(key);
            }
        }
        Vec::new()
    }

    /// Removes the `?` that opened the help: the text that follows is not sent after it.
    fn drop_help_question(&mut self) {
        if self.help && self.question.is_none() && self.input.text() == "?" {
            self.input.set("");
        }
    }

    /// Completes the word before the cursor, with the next candidate each time. In an empty line, shows the next
    /// room with unread messages.
    fn tab_pressed(&mut self, direction: Direction) -> Vec<Effect> {
        if self.question.is_some() {
            return Vec::new();
        }
        if self.input.is_empty() {
            let others = (1..=self.rooms.len()).map(|step| (self.current + step) % self.rooms.len());
            let next = others.clone().find(|index| self.rooms[*index].unread > 0);
            return next
                .or_else(|| others.clone().next())
                .map_or_else(Vec::new, |index| self.show_room(index));
        }
        match &mut self.completion {
            Some(completion) => completion.step(direction),
            None => {
                let halves = self.input.split_at_cursor();
                self.completion = Completion::find(halves, &self.rooms, self.current, &self.me);
            }
        }
        let Some(completion) = &self.completion else { return Vec::new() };
        let (before, after) = completion.text_around_cursor();
        // The only candidate: nothing to cycle through.
        if completion.words().0.len() == 1 {
            self.input.set_around_cursor(&format!("{before} "), after);
            self.completion = None;
        } else {
            self.input.set_around_cursor(&before, after);
        }
        Vec::new()
    }

    fn scroll(&mut self, to: impl FnOnce(usize) -> usize) {
        if let Some(room) = self.rooms.get_mut(self.current) {
            room.scroll = to(room.scroll);
            // Scrolling on retries a failed page.
            if room.older == Older::Failed {
                room.older = Older::NotRequested;
            }
        }
    }

    fn enter_pressed(&mut self) -> Vec<Effect> {
        let help_shown = mem::take(&mut self.help);
        if let Some(question) = self.question.take() {
            let answer = self.input.take_secret();
            return self.answered(question, answer);
        }
        let line = self.input.take();
        match line.trim() {
            "" => Vec::new(),
            // A new user asks for help; sending `?` takes a second Enter.
            "?" if !help_shown => {
                self.input.set("?");
                self.help = true;
                self.notice = Some(Notice::Info("Enter again sends ?".to_owned()));
                Vec::new()
            }
            text if !text.starts_with('/') => self.send(lines_to_send(&line)),
            // A doubled slash sends a single one.
            text if text.starts_with("//") => self.send(text[1..].to_owned()),
            typed => match command::parse(typed) {
                Ok(command) => self.command(command),
                Err(why) => {
                    self.input.set(&line);
                    self.show_error(why)
                }
            },
        }
    }

    fn answered(&mut self, question: Question, answer: String) -> Vec<Effect> {
        // A mistyped command must not become a password.
        if question.is_secret() && command::is_command(&answer) && !self.command_warned {
            self.input.set(&answer);
            self.question = Some(question);
            self.command_warned = true;
            return Vec::new();
        }
        match question {
            Question::NewPassword { name } => vec![Effect::Create { name, password: answer }],
            // The room is known to have a password, so an empty one is no answer.
            Question::Password { .. } if answer.is_empty() => self.ask(question),
            Question::Password { code, .. } => vec![Effect::Join { code, password: answer }],
            Question::ReallyDelete { code } if answer.trim() == code => vec![Effect::Delete { code }],
            Question::ReallyDelete { .. } => {
                self.notice = Some(Notice::Info("nothing was deleted".to_owned()));
                Vec::new()
            }
        }
    }

    fn send(&mut self, body: String) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return self.show_error(NO_ROOM) };
        if let StreamState::Closed { .. } = room.stream {
            self.input.set(&body);
            return self.show_error("you are not in this room: /join it again");
        }
        room.scroll = 0;
        // An answer implies that the new messages were read.
        room.new_after = None;
        let id = new_message_id();
        room.pending.push(Pending { id: id.clone(), body: body.clone(), failed: None, stored: None });
        vec![Effect::Send { code: room.info.short_code.clone(), id, body }]
    }

    fn command(&mut self, command: Command) -> Vec<Effect> {
        match command {
            Command::Help => self.help = true,
            Command::Quit => self.end = Some(End::Quit),
            Command::LogIn => self.end = Some(End::LogIn),
            Command::Create { name } => return self.ask(Question::NewPassword { name }),
            Command::Join { key } => return self.join(key),
            other => return self.room_command(other),
        }
        Vec::new()
    }

    fn join(&mut self, key: String) -> Vec<Effect> {
        match invitation::token(&key, &self.url) {
            Some(Ok(token)) => vec![Effect::JoinByInvitation { token: token.to_owned() }],
            Some(Err(error)) => self.show_error(error.to_string()),
            None => match self.index_of(&key) {
                Some(index) if !matches!(self.rooms[index].stream, StreamState::Closed { .. }) => {
                    self.show_room(index)
                }
                _ => vec![Effect::Join { code: key, password: String::new() }],
            },
        }
    }

    /// Runs a command about the current room.
    fn room_command(&mut self, command: Command) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return self.show_error(NO_ROOM) };
        let code = room.info.short_code.clone();
        let effect = match command {
            Command::Users => {
                let names = room.presence.names().join(", ");
                room.note(format!("here: {names}"));
                return Vec::new();
            }
            Command::Retry => return retry(room),
            Command::Delete => return self.ask(Question::ReallyDelete { code }),
            Command::Invite { ttl } => Effect::Invite { code, ttl },
            Command::Rename { name } => Effect::Rename { code, name },
            Command::Remove { user } => Effect::Remove { code, user },
            Command::Ban { user } => Effect::Ban { code, user },
            Command::Unban { user } => Effect::Unban { code, user },
            _ => match room.stream {
                // There is no membership to give up: only remove the room from the screen.
                StreamState::Closed { remedy: Remedy::Rejoin, .. } => {
                    self.remove_room(&code);
                    return Vec::new();
                }
                StreamState::Closed { .. } | StreamState::Connecting => {
                    return self.show_error("this room is not joined yet, so it cannot be left");
                }
                StreamState::Live | StreamState::Reconnecting => Effect::Leave { code },
            },
        };
        vec![effect]
    }
}

/// The lines to send, as typed, without leading and trailing empty lines. A single line is trimmed; of several, the
/// first may be indented.
fn lines_to_send(typed: &str) -> String {
    let trimmed = typed.trim();
    if !trimmed.contains('\n') {
        return trimmed.to_owned();
    }
    let first = typed.find(|c: char| !c.is_whitespace()).unwrap_or_default();
    let start = typed[..first].rfind('\n').map_or(0, |end| end + 1);
    typed[start..].trim_end().to_owned()
}

/// Sends all failed messages again, each under its first id.
fn retry(room: &mut RoomView) -> Vec<Effect> {
    let code = &room.info.short_code;
    let failed = room.pending.iter_mut().filter(|pending| pending.failed.is_some());
    failed
        .map(|pending| {
            pending.failed = None;
            Effect::Send { code: code.clone(), id: pending.id.clone(), body: pending.body.clone() }
        })
        .collect()
}
