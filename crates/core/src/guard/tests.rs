use skep_protocol::{AgentId, Guarantee, Message, MessageBuilder, MessageId};

use super::*;

const HOUR_MS: u64 = 3_600_000;

struct Bench {
    guard: Guard,
    telemetry: Telemetry,
    party: Party,
    sequence: u64,
    now: Now,
}

impl Bench {
    fn new(allowed: Guards) -> Self {
        let party = Party { name: "agent/a".into(), agent: AgentId::new("a").ok() };
        Bench { guard: Guard::new(allowed), telemetry: Telemetry::default(), party, sequence: 0, now: Now::default() }
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = Now { mono_ms: ms, unix_ms: ms };
        self
    }

    /// Judges a message under the next number.
    fn say(&mut self, message: MessageBuilder) -> Result<(), Error> {
        self.sequence += 1;
        self.say_at(self.sequence, message)
    }

    fn say_at(&mut self, sequence: u64, message: MessageBuilder) -> Result<(), Error> {
        let sender = Sender { party: &self.party, producer: Some(ProducerId([7; 16])), sequence };
        self.guard.judge(sender, &message.finish().unwrap().view(), self.now, &self.telemetry)
    }
}

fn message(id: &str) -> MessageBuilder {
    Message::build(&MessageId::new(id).unwrap(), "agent/a", "note")
}

/// The message `n` of a row of which each caused the next.
fn link(n: u32) -> MessageBuilder {
    message(&format!("m{n}")).causation(&format!("m{}", n - 1))
}

#[test]
fn a_row_of_causes_ends_at_the_limit_and_says_which() {
    let mut bench = Bench::new(Guards::default());
    assert!((1..=32).all(|n| bench.say(link(n)).is_ok()));
    let error = bench.say(link(33).conversation("talk")).unwrap_err();
    assert_eq!((error.code, error.outcome, error.retry), (Code::HopsExceeded, Outcome::Refused, Retry::Never));
    for part in ["m33", "talk", "33 hops", "32", "guards.hops", "causationid"] {
        assert!(error.text.contains(part), "{part}: {error}");
    }
    assert_eq!(bench.telemetry.counters().refused_by_hops, 1);
    assert!(bench.say(message("new").causation("m5")).is_ok(), "another branch of the row is shorter");
}

#[test]
fn a_client_may_say_more_hops_than_the_hub_knows_and_never_fewer() {
    let mut bench = Bench::new(Guards::default());
    let said = |message: MessageBuilder, hops| message.attribute("hops", Attribute::Number(hops));
    assert_eq!(bench.say(said(message("far"), 33)).unwrap_err().code, Code::HopsExceeded);
    assert_eq!(bench.say(said(message("far"), i64::MAX)).unwrap_err().code, Code::HopsExceeded);
    assert!(bench.say(said(message("m0"), 32)).is_ok());
    assert_eq!(bench.say(said(link(1), 0)).unwrap_err().code, Code::HopsExceeded, "its cause is known to have 32");
    assert!(bench.say(said(message("other").causation("elsewhere"), -5)).is_ok());
}

#[test]
fn a_conversation_ends_with_its_budget_and_begins_anew_after_silence() {
    let mut bench = Bench::new(Guards::default());
    let talk = |n: u64| message(&format!("t{n}")).conversation("talk");
    assert!((0..1_000).all(|n| bench.say(talk(n)).is_ok()));
    let error = bench.at(HOUR_MS).say(talk(1_000)).unwrap_err();
    assert_eq!((error.code, error.retry), (Code::ConversationExhausted, Retry::After(23 * HOUR_MS)));
    for part in ["talk", "1000 messages", "23 h 0 min", "conversationid", "guards.conversation_messages"] {
        assert!(error.text.contains(part), "{part}: {error}");
    }
    assert!(bench.say(message("x").conversation("another")).is_ok());
    assert!(bench.at(24 * HOUR_MS - 1).say(talk(1_001)).is_err(), "what was refused does not prolong it");
    assert!(bench.at(24 * HOUR_MS).say(talk(1_002)).is_ok());
    assert_eq!(bench.telemetry.counters().refused_by_conversation, 2);
}

#[test]
fn a_conversation_that_never_pauses_ends_after_its_hours() {
    let mut bench = Bench::new(Guards { conversation_hours: 2, ..Guards::default() });
    let talk = |n: u64| message(&format!("t{n}")).conversation("talk");
    assert!((0..4).all(|n| bench.at(n * HOUR_MS / 2).say(talk(n)).is_ok()));
    let error = bench.at(2 * HOUR_MS).say(talk(4)).unwrap_err();
    assert!(error.text.contains("guards.conversation_hours") && error.text.contains("90 min"), "{error}");
    assert_eq!(error.retry, Retry::After(3 * HOUR_MS / 2));
    assert!(bench.at(7 * HOUR_MS / 2).say(talk(5)).is_ok());
}

#[test]
fn what_passed_passes_again_as_a_resend_and_is_counted_once() {
    let mut bench = Bench::new(Guards { conversation_messages: 2, ..Guards::default() });
    let talk = |n: u64| message(&format!("t{n}")).conversation("talk");
    for _ in 0..5 {
        bench.say_at(1, talk(1)).unwrap();
    }
    bench.say_at(2, talk(2)).unwrap();
    bench.say_at(1, talk(1)).unwrap();
    assert!(bench.say_at(3, talk(3)).is_err());
    assert!(bench.say_at(3, talk(3)).is_err(), "what was refused is judged again");
    assert!(bench.say_at(4, talk(1)).is_err(), "a new message under an old id is no resend");
}

#[test]
fn a_sender_is_paced_and_told_when_to_go_on() {
    let mut bench = Bench::new(Guards { messages_per_second: 10, ..Guards::default() });
    assert!((0..10).all(|n| bench.say(message(&format!("a{n}"))).is_ok()));
    let error = bench.say(message("b")).unwrap_err();
    assert_eq!((error.code, error.retry), (Code::RateExceeded, Retry::After(100)));
    assert!(error.text.contains("agent/a") && error.text.contains("10 messages a second"), "{error}");
    assert!(bench.at(99).say(message("c")).is_err());
    assert!(bench.at(100).say(message("d")).is_ok());
    assert!(bench.say(message("e")).is_err());
    bench.party = Party { name: "agent/b".into(), agent: AgentId::new("b").ok() };
    assert!(bench.say(message("f")).is_ok(), "others are not paced with it");
    assert_eq!(bench.telemetry.counters().refused_by_rate, 3);
}

#[test]
fn a_party_is_paced_under_whatever_source_and_uses_up_no_share_but_its_own() {
    let mut bench = Bench::new(Guards { messages_per_second: 2, ..Guards::default() });
    let from = |source: &str, id: &str| Message::build(&MessageId::new(id).unwrap(), source, "note");
    bench.party = Party { name: "local".into(), agent: None };
    assert!(bench.say(from("one", "a")).is_ok() && bench.say(from("agent/b", "b")).is_ok());
    let error = bench.say(from("another", "c")).unwrap_err();
    assert!(error.code == Code::RateExceeded && error.text.starts_with("local publishes faster"), "{error}");
    bench.party = Party { name: "agent/b".into(), agent: AgentId::new("b").ok() };
    assert!(bench.say(from("agent/b", "d")).is_ok() && bench.say(from("one", "e")).is_ok());
    assert!(bench.say(from("agent/b", "f")).is_err());
}

#[test]
fn a_limit_of_zero_is_none() {
    let mut bench =
        Bench::new(Guards { hops: 0, conversation_messages: 0, conversation_hours: 0, messages_per_second: 0 });
    assert!((1..=5_000).all(|n| bench.at(u64::from(n) * HOUR_MS / 60).say(link(n).conversation("talk")).is_ok()));
}

#[test]
fn what_has_no_cause_and_no_conversation_leaves_no_trace() {
    let mut bench = Bench::new(Guards::default());
    assert!((0..100).all(|n| bench.say(message(&format!("m{n}")).guarantee(Guarantee::AtLeastOnce)).is_ok()));
    let past = bench.guard.past.lock().unwrap();
    assert!(past.messages.is_empty() && past.conversations.is_empty() && past.rates.is_empty());
}
