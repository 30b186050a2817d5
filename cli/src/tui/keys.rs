//! What keys and lines do to the screen.

use std::mem;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::new_message_id;

use super::{
    app::{App, End, Notice},
    command::{self, Command},
    completion::Completion,
    news::{Cure, Effect},
    question::Question,
    room::{Link, Older, Pending, RoomView},
};
use crate::invitation;

const NO_ROOM: &str = "there is no room yet: /create or /join one";

impl App {
    /// Takes what was pasted: its lines are kept, but for an answer, which is one line and often copied with its end.
    pub(crate) fn paste(&mut self, text: &str) {
        self.completion = None;
        self.forget_the_question_mark();
        if self.question.is_none() {
            return self.input.insert(text);
        }
        let line = text.trim_end_matches(['\r', '\n']).replace(['\r', '\n'], " ");
        self.input.insert(&line);
    }

    /// Takes a key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.notice = None;
        self.watch(true);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let other = key.modifiers.contains(KeyModifiers::ALT);
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        let page = (self.log_height / 2).max(1);
        if let KeyCode::Tab | KeyCode::BackTab = key.code {
            return self.tab_pressed(key.code == KeyCode::Tab);
        }
        self.completion = None;
        if key.code != KeyCode::Enter || other || shift {
            self.forget_the_question_mark();
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
            // Ctrl-J is what a terminal sends for the end of a line that is no Enter.
            KeyCode::Char('j') if control && self.question.is_none() => self.input.insert("\n"),
            KeyCode::Enter if (other || shift) && self.question.is_none() => self.input.insert("\n"),
            KeyCode::PageUp => self.scroll(|lines| lines + page),
            KeyCode::PageDown => self.scroll(|lines| lines.saturating_sub(page)),
            KeyCode::Up if other => return self.go(self.current.saturating_sub(1)),
            KeyCode::Down if other && self.current + 1 < self.rooms.len() => {
                return self.go(self.current + 1);
            }
            KeyCode::Enter => return self.enter_pressed(),
            _ => {
                self.help &= !self.input.key(key);
            }
        }
        Vec::new()
    }

    /// Takes the question mark that was answered by help off the line: what comes now is not said behind it.
    fn forget_the_question_mark(&mut self) {
        if self.help && self.question.is_none() && self.input.text() == "?" {
            self.input.set("");
        }
    }

    /// Completes the word before the cursor, by another one each time; in an empty line, looks at the next room with
    /// news.
    fn tab_pressed(&mut self, forward: bool) -> Vec<Effect> {
        if self.question.is_some() {
            return Vec::new();
        }
        if self.input.is_empty() {
            let news = (1..=self.rooms.len()).map(|step| (self.current + step) % self.rooms.len());
            let next = news.clone().find(|place| self.rooms[*place].unread > 0);
            return next.or_else(|| news.clone().next()).map_or_else(Vec::new, |place| self.go(place));
        }
        match &mut self.completion {
            Some(completion) if forward => completion.next(),
            Some(completion) => completion.previous(),
            None => {
                let halves = self.input.halves();
                self.completion = Completion::find(halves, &self.rooms, self.current, &self.me);
            }
        }
        let Some(completion) = &self.completion else { return Vec::new() };
        let (before, behind) = completion.halves();
        // There is no other word to go to.
        if completion.words().0.len() == 1 {
            self.input.put(&format!("{before} "), behind);
            self.completion = None;
        } else {
            self.input.put(&before, behind);
        }
        Vec::new()
    }

    fn scroll(&mut self, to: impl FnOnce(usize) -> usize) {
        if let Some(room) = self.rooms.get_mut(self.current) {
            room.scroll = to(room.scroll);
            // Whoever goes on scrolling asks once more.
            if room.older == Older::Failed {
                room.older = Older::Unasked;
            }
        }
    }

    fn enter_pressed(&mut self) -> Vec<Effect> {
        let helped = mem::take(&mut self.help);
        if let Some(question) = self.question.take() {
            let answer = self.input.take(false);
            return self.answered(question, answer);
        }
        let line = self.input.take(true);
        match line.trim() {
            "" => Vec::new(),
            // Whoever is new here asks; whoever means it says it again.
            "?" if !helped => {
                self.input.set("?");
                self.help = true;
                self.notice = Some(Notice::Told("Enter again says ?".to_owned()));
                Vec::new()
            }
            spoken if !spoken.starts_with('/') => self.say(spoken_lines(&line)),
            // Two slashes say one.
            spoken if spoken.starts_with("//") => self.say(spoken[1..].to_owned()),
            typed => match command::parse(typed) {
                Ok(command) => self.command(command),
                Err(why) => {
                    self.input.set(&line);
                    self.refuse(why)
                }
            },
        }
    }

    fn answered(&mut self, question: Question, answer: String) -> Vec<Effect> {
        // A command that was meant for the line below must not end up as somebody's password.
        if question.is_secret() && command::is_command(&answer) && !self.doubted {
            self.input.set(&answer);
            self.question = Some(question);
            self.doubted = true;
            return Vec::new();
        }
        match question {
            Question::NewPassword { name } => vec![Effect::Create { name, password: answer }],
            // A room that asks for a password has one.
            Question::Password { .. } if answer.is_empty() => self.ask(question),
            Question::Password { code, .. } => vec![Effect::Enter { code, password: answer }],
            Question::ReallyDelete { code } if answer.trim() == code => vec![Effect::Delete { code }],
            Question::ReallyDelete { .. } => {
                self.notice = Some(Notice::Told("nothing was deleted".to_owned()));
                Vec::new()
            }
        }
    }

    fn say(&mut self, body: String) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return self.refuse(NO_ROOM) };
        if let Link::Closed { .. } = room.link {
            self.input.set(&body);
            return self.refuse("you are not in this room: /join it again");
        }
        room.scroll = 0;
        // Whoever answers has read what was new.
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
            inside => return self.command_inside(inside),
        }
        Vec::new()
    }

    fn join(&mut self, key: String) -> Vec<Effect> {
        match invitation::token(&key, &self.url) {
            Some(Ok(token)) => vec![Effect::EnterByInvitation { token: token.to_owned() }],
            Some(Err(error)) => self.refuse(error.to_string()),
            None => match self.place(&key) {
                Some(place) if !matches!(self.rooms[place].link, Link::Closed { .. }) => self.go(place),
                _ => vec![Effect::Enter { code: key, password: String::new() }],
            },
        }
    }

    /// A command about the room that is looked at.
    fn command_inside(&mut self, command: Command) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return self.refuse(NO_ROOM) };
        let code = room.info.short_code.clone();
        let effect = match command {
            Command::Users => {
                let names = room.people.names().join(", ");
                room.note(format!("here: {names}"));
                return Vec::new();
            }
            Command::Retry => return retry(room),
            Command::Delete => return self.ask(Question::ReallyDelete { code }),
            Command::Invite { ttl } => Effect::Invite { code, ttl },
            Command::Rename { name } => Effect::Rename { code, name },
            Command::Remove { user } => Effect::Remove { code, user, ban: false },
            Command::Ban { user } => Effect::Remove { code, user, ban: true },
            Command::Unban { user } => Effect::Unban { code, user },
            _ => match room.link {
                // There is nothing left to give up: the room is taken off the screen.
                Link::Closed { cure: Cure::Join, .. } => {
                    self.gone(&code);
                    return Vec::new();
                }
                Link::Closed { .. } | Link::Connecting => {
                    return self.refuse("this room is not entered yet, so it cannot be left");
                }
                Link::Live | Link::Reconnecting => Effect::Leave { code },
            },
        };
        vec![effect]
    }
}

/// The lines that are said: as they were typed, without empty ones around them. A single line has no space around it
/// either; of several, the first may be indented.
fn spoken_lines(typed: &str) -> String {
    let said = typed.trim();
    if !said.contains('\n') {
        return said.to_owned();
    }
    let first = typed.find(|c: char| !c.is_whitespace()).unwrap_or_default();
    let start = typed[..first].rfind('\n').map_or(0, |end| end + 1);
    typed[start..].trim_end().to_owned()
}

/// Sends again what was given up, each under its first id.
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
