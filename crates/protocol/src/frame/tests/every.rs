//! One frame of every kind.

use super::super::*;
use super::message;
use crate::{Action, Code, Ended, Holder, QueueSpec, Stored};

/// One frame of every kind, with every member said, and one of those that grew a member later
/// without it; the vectors are made of them.
#[expect(clippy::too_many_lines, reason = "a table: one row a frame")]
pub(super) fn every_frame() -> Vec<(&'static str, Frame)> {
    let queue = QueueName::new("jobs").unwrap();
    let agent = AgentId::new("alice").unwrap();
    let lease = LeaseToken([7; 16]);
    let previous = Some(Ended { reason: "lease_expired".into(), progress: Some("half".into()) });
    let delivery = Delivery {
        subscription: 1,
        queue: queue.clone(),
        position: Position::Number(9),
        attempt: 2,
        lease,
        lease_ms: 60_000,
        previous: previous.clone(),
        message: message(1),
    };
    let accepted = Accepted {
        position: Some(Position::Number(9)),
        durability: Some(Durability::Fsync),
        guarantee: Guarantee::AtLeastOnce,
        queues: 1,
        skipped: 0,
        live: 2,
        duplicate: false,
        recipient: Some(Recipient { agent: agent.clone(), waiting: 3, connected: Some(false), last_seen_ms: Some(5) }),
    };
    let refused = Error::new(Code::UnknownAgent, "no agent \"bob\"");
    let publication = |result| Publication { sequence: 4, count: 2, result };
    let position = Position::Number(9);
    let stored = Stored {
        position,
        time_ms: 5,
        attempts: 1,
        previous: None,
        message: message(2),
        holder: None,
        due_ms: None,
        died_ms: None,
        behind: None,
    };
    let settles = vec![
        Settle { lease, action: Action::Ack },
        Settle { lease, action: Action::Nack { after_ms: Some(5), reason: "busy".into() } },
        Settle { lease, action: Action::Reject { reason: "bad".into() } },
        Settle { lease, action: Action::Extend { lease_ms: None, progress: Some("half".into()) } },
        Settle { lease, action: Action::Return },
    ];
    let info = AgentInfo {
        agent: agent.clone(),
        metadata: "{}".into(),
        connected: Some(true),
        last_seen_ms: None,
        waiting: 2,
        workspaces: vec!["docs".parse().unwrap()],
    };
    vec![
        (
            "connect",
            Frame::Connect(Connect {
                version: 1,
                features: 0,
                token: Some("secret".into()),
                agent: Some(agent.clone()),
                producer: Some(ProducerId([1; 16])),
                resume: Some(ResumeToken([2; 16])),
                held: vec![lease],
                client: "test 1".into(),
            }),
        ),
        (
            "welcome",
            Frame::Welcome(Welcome {
                version: 1,
                features: 0,
                hub: "skep 0.1.0".into(),
                agent: Some(agent.clone()),
                producer: ProducerId([1; 16]),
                resume: ResumeToken([2; 16]),
                resumed: true,
                lost: vec![lease],
                replies: "$reply.00".into(),
                heartbeat_ms: 30_000,
                payload_bytes_max: 1 << 20,
            }),
        ),
        ("publish", Frame::Publish(Publish { sequence: 4, messages: vec![message(1), message(2)] })),
        (
            "receipt",
            Frame::Receipt(vec![
                publication(Settlement::Ok(accepted)),
                publication(Settlement::Error(refused.clone())),
            ]),
        ),
        (
            "subscribe",
            Frame::Subscribe(Subscribe {
                id: 1,
                target: Target::Queue(queue.clone()),
                window: Window { subscription: 1, messages: 10, bytes: 1 << 20 },
                handlers: 2,
                binding: Binding::Deadline,
            }),
        ),
        ("subscribed", Frame::Subscribed(1)),
        ("unsubscribe", Frame::Unsubscribe(1)),
        ("window", Frame::Window(Window { subscription: 1, messages: 10, bytes: 1 << 20 })),
        ("deliver", Frame::Deliver(vec![delivery.clone(), Delivery { previous: None, ..delivery }])),
        ("live", Frame::Live(vec![message(1)])),
        (
            "settle",
            Frame::Settle(SettleBatch {
                tag: 5,
                settles,
                atomic: true,
                publish: Some(Publish { sequence: 6, messages: vec![message(3)] }),
            }),
        ),
        (
            "settled",
            Frame::Settled(Settled {
                tag: 5,
                results: vec![Settlement::Ok(()), Settlement::Error(Error::new(Code::LeaseLost, "lease is lost"))],
                receipts: vec![publication(Settlement::Error(refused.clone()))],
            }),
        ),
        ("manage", Frame::Manage(Manage { tag: 6, command: Command::Declare(QueueSpec::new(queue.clone())) })),
        ("managed", Frame::Managed(Managed { tag: 6, result: Settlement::Ok(Answer::Done { changed: true }) })),
        ("query", Frame::Query(Query { tag: 7, ask: Ask::Peek { queue: queue.clone(), limit: 10, from: None } })),
        (
            "page",
            Frame::Page(Report {
                tag: 7,
                result: Settlement::Ok(Page::Messages { messages: vec![stored], next: Some(Position::Number(10)) }),
            }),
        ),
        ("ping", Frame::Ping(8)),
        ("pong", Frame::Pong(8)),
        ("error", Frame::Error(refused)),
        ("goodbye", Frame::Goodbye(Goodbye { reason: "done".into() })),
        (
            "query_from",
            Frame::Query(Query {
                tag: 7,
                ask: Ask::Peek { queue: queue.clone(), limit: 10, from: Some(Position::Number(9)) },
            }),
        ),
        (
            "query_after",
            Frame::Query(Query { tag: 7, ask: Ask::QueuesAfter { after: Some(queue.clone()), limit: 10 } }),
        ),
        (
            "page_part",
            Frame::Page(Report {
                tag: 7,
                result: Settlement::Ok(Page::AgentsPart { agents: vec![info], next: Some("alice".parse().unwrap()) }),
            }),
        ),
        ("query_trace", Frame::Query(Query { tag: 8, ask: Ask::Trace { message: "m-1".into(), search: None } })),
        (
            "query_search",
            Frame::Query(Query { tag: 8, ask: Ask::Trace { message: String::new(), search: Some(search()) } }),
        ),
        (
            "manage_picked",
            Frame::Manage(Manage {
                tag: 9,
                command: Command::RedrivePicked { queue: queue.clone(), pick: Box::new(pick()) },
            }),
        ),
        (
            "managed_picked",
            Frame::Managed(Managed { tag: 9, result: Settlement::Ok(Answer::Picked(picked(previous))) }),
        ),
        ("page_traced", Frame::Page(Report { tag: 8, result: Settlement::Ok(Page::Traced(found(queue))) })),
    ]
}

/// A pick with every member said.
fn pick() -> Pick {
    Pick {
        message: Some("m-1".into()),
        position: Some(Position::Number(9)),
        reason: Some("no such".into()),
        kind: Some("task".into()),
        source: Some("agent/alice".into()),
        partitionkey: Some("k".into()),
        since_ms: Some(4),
        until_ms: Some(6),
        from: Some(Position::Number(8)),
        limit: Some(10),
        dry_run: true,
    }
}

fn picked(previous: Option<Ended>) -> Picked {
    let (position, time_ms, message) = (Position::Number(9), 5, message(2));
    let dead = Stored {
        position,
        time_ms,
        attempts: 1,
        previous,
        message,
        holder: None,
        due_ms: None,
        died_ms: Some(6),
        behind: None,
    };
    Picked { count: 2, skipped: 1, next: Some(Position::Number(10)), first: vec![dead] }
}

/// A search with every member said.
fn search() -> Search {
    Search {
        conversation: Some("c-1".into()),
        from: Some("alice".into()),
        to: Some("jobs".into()),
        since_ms: Some(4),
        until_ms: Some(6),
        outcome: Some(Wanted::Undelivered),
        limit: Some(10),
        next: Some(Position::Number(9)),
        whole: true,
    }
}

fn found(queue: QueueName) -> Found {
    let event = Event {
        time_ms: 5,
        position: Position::Number(9),
        what: "leased".into(),
        queue: Some(queue.clone()),
        attempt: Some(1),
        party: Some("agent/bob".into()),
        detail: None,
    };
    let traced = Traced {
        id: "m-1".into(),
        position: Some(Position::Number(9)),
        time_ms: 4,
        conversation: "c-1".into(),
        kind: "task".into(),
        source: "agent/alice".into(),
        party: "agent/alice".into(),
        to: vec!["jobs".into()],
        state: Fate::Leased,
        state_ms: 5,
        queue: Some(queue),
        attempts: 1,
        reason: Some("busy".into()),
        holder: Some(Holder { party: "agent/bob".into(), until_ms: 7 }),
        message: Some(message(1)),
        events: vec![event],
        due_ms: Some(11),
        behind: None,
    };
    Found { messages: vec![traced], next: Some(Position::Number(10)), unstored_since_ms: 3 }
}
