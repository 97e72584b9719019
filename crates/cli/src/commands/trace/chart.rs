//! A conversation as a sequence chart: a column for each party, an arrow for each message, and what
//! went wrong marked where it happened.

use std::io::{IsTerminal, stdout};

use skep_client::Client;
use skep_protocol::verdict::sender;
use skep_protocol::{Event, Fate, QueueName, Search, Traced, format_time};

use super::list::{cut, short, tell};
use super::{Which, search};
use crate::context::Context;
use crate::output::{counted, one_line};

/// Messages that are drawn unless it is said.
const CHART: u32 = 200;
/// Characters a line has, where no terminal says otherwise, and at most.
const WIDTH: usize = 100;
const WIDTH_RANGE: std::ops::RangeInclusive<usize> = 80..=120;
/// Characters of the time at the left, and of the state at the right.
const TIME: usize = 14;
const STATE: usize = 17;
/// Characters from one column to the next, at least and at most: with less no arrow is seen.
const STEP_RANGE: std::ops::RangeInclusive<usize> = 10..=36;

pub(super) async fn show(context: &Context, client: &Client, which: &Which) -> anyhow::Result<()> {
    let wanted = Search { whole: true, ..which.search() };
    let found = search(client, "", wanted, which.count.unwrap_or(CHART)).await?;
    let mut words = String::new();
    if let Some(first) = found.messages.first() {
        let count = counted(found.messages.len() as u64, "message", "messages");
        let day = format_time(first.time_ms).chars().take(10).collect::<String>();
        let name = which.conversation.as_deref().unwrap_or_default();
        words = format!("conversation {}: {count}, {day} (UTC)\n\n", one_line(name.as_bytes()));
        let (width, pen) = if stdout().is_terminal() { (terminal_width(), &LINES) } else { (WIDTH, &PLAIN) };
        words.push_str(&draw(&found.messages, width, pen));
    }
    tell(context, client, which, &found, &mut words).await
}

fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(stdout()).ok();
    let columns = size.map_or(WIDTH, |size| usize::from(size.ws_col));
    columns.clamp(*WIDTH_RANGE.start(), *WIDTH_RANGE.end())
}

/// The characters to draw with.
struct Pen {
    life: char,
    line: char,
    right: char,
    left: char,
    mark: char,
}

const LINES: Pen = Pen { life: '│', line: '─', right: '▶', left: '◀', mark: '✗' };
const PLAIN: Pen = Pen { life: '|', line: '-', right: '>', left: '<', mark: 'x' };

/// One line of the chart.
enum Row<'a> {
    Message { from: usize, to: usize, traced: &'a Traced },
    Mark { at: usize, event: &'a Event },
}

fn draw(messages: &[Traced], width: usize, pen: &Pen) -> String {
    let mut parties: Vec<String> = Vec::new();
    let mut rows: Vec<(u64, Row<'_>)> = Vec::new();
    for traced in messages {
        let from = column(&mut parties, sender(traced));
        for to in &traced.to {
            let to = column(&mut parties, short(to));
            rows.push((traced.time_ms, Row::Message { from, to, traced }));
        }
        for event in traced.events.iter().filter(|event| is_marked(event)) {
            let place = event.queue.as_ref().map(place_of);
            let at = match place.as_deref() {
                Some(name) => parties.iter().position(|party| party == name).unwrap_or(from),
                None => from,
            };
            rows.push((event.time_ms, Row::Mark { at, event }));
        }
    }
    rows.sort_by_key(|(time_ms, _)| *time_ms);
    let room = width.saturating_sub(TIME + STATE);
    let step = (room / parties.len().max(1)).min(*STEP_RANGE.end());
    if step < *STEP_RANGE.start() {
        return listed(&parties, &rows, width);
    }
    let canvas = Canvas { parties: &parties, step, width, pen };
    let mut out = canvas.head();
    for (time_ms, row) in &rows {
        out.push_str(&canvas.row(*time_ms, row));
    }
    out
}

/// The column of a name. Sources are anybody's words: what a terminal would obey is shown.
fn column(parties: &mut Vec<String>, name: &str) -> usize {
    let name = one_line(name.as_bytes());
    parties.iter().position(|party| *party == name).unwrap_or_else(|| {
        parties.push(name);
        parties.len() - 1
    })
}

/// What is marked: all that is neither a step forward nor without meaning for the reader.
fn is_marked(event: &Event) -> bool {
    let is_uncharged = event.detail.as_deref().is_some_and(|detail| detail.ends_with("uncharged"));
    match event.what.as_str() {
        "accepted" | "stored" | "leased" | "extended" | "acked" | "replied" => false,
        "returned" => !is_uncharged,
        // After a nack that goes without saying.
        "delayed" => event.attempt.is_none(),
        _ => true,
    }
}

/// Whose column a queue is: that of its agent, and of dead letters that of where they come from.
fn place_of(queue: &QueueName) -> String {
    short(queue.origin().as_ref().unwrap_or(queue).as_str()).to_owned()
}

/// Too many parties for columns: a line each.
fn listed(parties: &[String], rows: &[(u64, Row<'_>)], width: usize) -> String {
    let name = |at: usize| parties.get(at).map(String::as_str).unwrap_or_default();
    let mut out = String::new();
    for (time_ms, row) in rows {
        let line = match row {
            Row::Message { from, to, traced } => {
                format!("{}  {} -> {}: {} [{}]", clock(*time_ms), name(*from), name(*to), label(traced), state(traced))
            }
            Row::Mark { at, event } => format!("{}    x {} {}", clock(*time_ms), name(*at), told(event)),
        };
        out.push_str(&cut(&line, width));
        out.push('\n');
    }
    out
}

struct Canvas<'a> {
    parties: &'a [String],
    step: usize,
    width: usize,
    pen: &'a Pen,
}

impl Canvas<'_> {
    fn at(&self, column: usize) -> usize {
        TIME + column * self.step
    }

    fn head(&self) -> String {
        let mut line = Line::blank(self.width);
        for (column, party) in self.parties.iter().enumerate() {
            line.write(self.at(column), &cut(party, self.step - 1));
        }
        line.ended()
    }

    fn row(&self, time_ms: u64, row: &Row<'_>) -> String {
        let mut line = Line::blank(self.width);
        line.write(0, &clock(time_ms));
        for column in 0..self.parties.len() {
            line.put(self.at(column), self.pen.life);
        }
        match row {
            Row::Message { from, to, traced } if from == to => {
                let room = self.width - STATE - self.at(*from) - 3;
                line.write(self.at(*from) + 1, &format!("{} {}", self.pen.left, cut(&label(traced), room)));
                line.write(self.width - STATE, &format!("  {}", state(traced)));
            }
            Row::Message { from, to, traced } => {
                self.arrow(&mut line, self.at(*from), self.at(*to), &label(traced));
                line.write(self.width - STATE, &format!("  {}", state(traced)));
            }
            Row::Mark { at, event } => {
                let at = self.at(*at);
                line.put(at, self.pen.mark);
                line.write(at + 2, &cut(&told(event), self.width - at - 2));
            }
        }
        line.ended()
    }

    fn arrow(&self, line: &mut Line, from: usize, to: usize, label: &str) {
        let (first, last) = (from.min(to) + 1, from.max(to) - 1);
        (first..=last).for_each(|at| line.put(at, self.pen.line));
        let head = if from < to { (last, self.pen.right) } else { (first, self.pen.left) };
        line.put(head.0, head.1);
        // What has no room on the arrow stands beside it, if there is more.
        let (on, beside) = (last.saturating_sub(first + 5), (self.width - STATE).saturating_sub(last + 4));
        if label.chars().count() > on && beside > on {
            line.write(last + 3, &format!("{} ", cut(label, beside)));
        } else {
            line.write(first + 2, &format!(" {} ", cut(label, on)));
        }
    }
}

/// Characters in their places.
struct Line(Vec<char>);

impl Line {
    fn blank(width: usize) -> Self {
        Line(vec![' '; width])
    }

    fn put(&mut self, at: usize, character: char) {
        if let Some(place) = self.0.get_mut(at) {
            *place = character;
        }
    }

    fn write(&mut self, at: usize, text: &str) {
        text.chars().enumerate().for_each(|(n, character)| self.put(at + n, character));
    }

    fn ended(self) -> String {
        let line: String = self.0.into_iter().collect();
        format!("{}\n", line.trim_end())
    }
}

/// The time of day, UTC.
fn clock(time_ms: u64) -> String {
    let (seconds, ms) = (time_ms / 1_000 % 86_400, time_ms % 1_000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn label(traced: &Traced) -> String {
    let payload = traced.message.as_ref().map(skep_protocol::Message::payload).unwrap_or_default();
    format!("{} {}", one_line(traced.kind.as_bytes()), one_line(&payload)).trim_end().to_owned()
}

fn state(traced: &Traced) -> String {
    let text = match (traced.state, traced.attempts) {
        (Fate::Acked, 1) | (_, 0) => traced.state.to_string(),
        (state, attempts) => format!("{state}, try {attempts}"),
    };
    cut(&text, STATE - 2)
}

fn told(event: &Event) -> String {
    let what = if event.what == "dead_lettered" { "dead letter" } else { &event.what };
    let attempt = event.attempt.map(|attempt| format!(", try {attempt}")).unwrap_or_default();
    let why = event.detail.as_ref().map(|detail| format!(": {}", one_line(detail.as_bytes()))).unwrap_or_default();
    format!("{what}{attempt}{why}")
}

#[cfg(test)]
mod tests {
    use skep_protocol::{Message, MessageId, Position};

    use super::*;

    fn message(from: &str, to: &str, state: Fate, text: &str) -> Traced {
        let message =
            Message::build(&MessageId::new("m").unwrap(), from, "task").payload("text/plain", text.to_owned());
        let (source, to) = (format!("agent/{from}"), vec![format!("agent.{to}.inbox")]);
        Traced {
            id: "m".into(),
            position: Some(Position::Number(7)),
            time_ms: 1_000,
            conversation: "m".into(),
            kind: "task".into(),
            party: source.clone(),
            source,
            to,
            state,
            state_ms: 1,
            queue: "jobs".parse().ok(),
            attempts: 1,
            reason: None,
            holder: None,
            message: Some(message.finish().unwrap()),
            events: Vec::new(),
            due_ms: None,
            behind: None,
        }
    }

    fn nacked(queue: &str) -> Event {
        Event {
            time_ms: 2_500,
            position: Position::Number(9),
            what: "nacked".into(),
            queue: queue.parse().ok(),
            attempt: Some(1),
            party: None,
            detail: Some("busy".into()),
        }
    }

    #[test]
    fn parties_are_columns_messages_are_arrows_and_a_nack_is_marked_where_it_happened() {
        let there =
            Traced { events: vec![nacked("agent.bob.inbox")], ..message("alice", "bob", Fate::Acked, "do this") };
        let back = Traced { time_ms: 3_000, ..message("bob", "alice", Fate::Dead, "no") };
        let drawn = draw(&[there, back], 80, &PLAIN);
        let expected = "\
\x20             alice                   bob
00:00:01.000  |-- task do this ------>|                          acked
00:00:02.500  |                       x nacked, try 1: busy
00:00:03.000  |<- task no ------------|                          dead, try 1
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_in_names_and_types() {
        let evil = message("x\u{1b}[31m", "bob", Fate::Waiting, "\u{7}");
        let evil = Traced { kind: "t\u{9b}2J".into(), events: vec![nacked("agent.bob.inbox")], ..evil };
        for width in [80, 40] {
            let drawn = draw(std::slice::from_ref(&evil), width, &PLAIN);
            assert!(drawn.contains("x\\u{1b}") && !drawn.contains(|c: char| c != '\n' && c.is_control()), "{drawn}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_however_many_speak() {
        for parties in [2, 4, 6, 9, 30] {
            let messages: Vec<Traced> = (0..parties)
                .map(|n| {
                    message(
                        &format!("agent-{n}"),
                        &format!("agent-{}", (n + 2) % parties),
                        Fate::Waiting,
                        &"x".repeat(99),
                    )
                })
                .collect();
            for width in [80, 100, 120] {
                let drawn = draw(&messages, width, &LINES);
                assert!(drawn.lines().all(|line| line.chars().count() <= width), "{drawn}");
                assert_eq!(drawn.lines().filter(|line| line.contains("task")).count(), parties, "{drawn}");
            }
        }
    }
}
