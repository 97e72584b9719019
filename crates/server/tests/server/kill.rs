//! `kill -9` of the real hub, fifty times, while clients publish and consume.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skep_client::{Client, Leased};
use skep_protocol::{Ask, Code, Error, Outcome, Page};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::hub::{declare, info, next, note, receive, soon, text};
use crate::ledger::Ledger;
use crate::victim::{Door, Victim};

const KILLS: u64 = 50;
const PUBLISHERS: usize = 3;
const CONSUMERS: usize = 2;
/// Messages that are sent and not yet settled: what is left at the end is soon done.
const UNSETTLED_MAX: usize = 500;
/// Messages of one publish.
const A_BATCH: u32 = 16;
/// Messages that one consumer works on at once.
const AT_ONCE: usize = 8;
/// A client that loses its hub again and again waits longer and longer, so a new one takes over.
const LIVES_OF_A_CLIENT: u64 = 3;
/// All of it must be done by then.
const TEST_MAX: Duration = Duration::from_secs(150);

/// What all parties share.
struct World {
    ledger: Ledger,
    door: Door,
    room: Semaphore,
    /// How often the hub was started.
    lives: AtomicU64,
    /// Publishers end, then consumers.
    stage: watch::Sender<Stage>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Work,
    Drain,
    End,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_killed_fifty_times_loses_nothing_and_repeats_nothing_that_was_acked() {
    let seed = std::env::var("SKEP_SEED")
        .map_or_else(|_| RandomState::new().hash_one(0), |seed| seed.parse().expect("a number"));
    println!("seed {seed}; to repeat: SKEP_SEED={seed}");
    timeout(TEST_MAX, story(seed)).await.expect("the story ends in time");
}

async fn story(seed: u64) {
    let mut random = Random(seed);
    let mut victim = Victim::new(random.next());
    victim.start();
    victim.ready().await;
    let world = Arc::new(World::new(victim.door()));
    let first = world.client().await;
    for name in ["plain", "work", "results"] {
        declare(&first, name).await;
    }
    first.close().await;
    let mut parties = JoinSet::new();
    (0..PUBLISHERS).for_each(|_| drop(parties.spawn(world.clone().publish())));
    let mut consumers = JoinSet::new();
    for _ in 0..CONSUMERS {
        consumers.spawn(world.clone().consume("plain"));
        consumers.spawn(world.clone().consume("work"));
    }
    let lives_with_work = kill_again_and_again(&mut victim, &world, &mut random).await;

    world.stage.send_replace(Stage::Drain);
    soon("publishers end", async {
        while let Some(ended) = parties.join_next().await {
            ended.expect("no panic")
        }
    })
    .await;
    let client = world.client().await;
    soon("all is consumed", world.are_empty(&client, &["plain", "work"])).await;
    world.stage.send_replace(Stage::End);
    soon("consumers end", async {
        while let Some(ended) = consumers.join_next().await {
            ended.expect("no panic")
        }
    })
    .await;
    let missing = world.ledger.missing();
    assert!(missing.is_empty(), "{} acknowledged messages are gone, and nobody acked them: {missing:?}", missing.len());
    world.every_input_has_one_output(&client).await;
    world.nothing_follows_an_ack(&client).await;
    for name in ["plain", "work", "results"] {
        let left = info(&client, name).await;
        assert_eq!((left.ready, left.leased, left.delayed, left.dead), (0, 0, 0, 0), "in {name}");
    }
    world.ledger.is_true();
    let done = *world.ledger.counts().borrow();
    println!("{KILLS} kills, {lives_with_work} of them under work: {done:?}");
    assert!(lives_with_work >= KILLS * 3 / 4 && done.receipts > 1_000, "too little was at stake");
}

/// Answers before how many kills something was stored.
async fn kill_again_and_again(victim: &mut Victim, world: &World, random: &mut Random) -> u64 {
    let mut lives_with_work = 0;
    for kill in 0..KILLS {
        let before = world.ledger.counts().borrow().receipts;
        // Now and then it is killed while it starts.
        if kill % 8 != 7 {
            if kill > 0 {
                victim.ready().await;
            }
            let mut counts = world.ledger.counts();
            let works = soon("there is work", counts.wait_for(|counts| counts.receipts > before)).await.is_ok();
            lives_with_work += u64::from(works);
        }
        // Nothing is waited for: the moment of the kill is drawn, so that it falls anywhere in the work.
        sleep(Duration::from_millis(50 + random.next() % 351)).await;
        victim.kill().await;
        victim.start();
        world.lives.fetch_add(1, Ordering::SeqCst);
    }
    victim.ready().await;
    lives_with_work
}

impl World {
    fn new(door: Door) -> Self {
        let (room, stage) = (Semaphore::new(UNSETTLED_MAX), watch::Sender::new(Stage::Work));
        World { ledger: Ledger::new(), door, room, lives: AtomicU64::new(0), stage }
    }

    async fn client(&self) -> Client {
        loop {
            match self.door.client().await {
                Ok(client) => return client,
                Err(error) if error.code == Code::NoHub || error.code == Code::ConnectionLost => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn is_old(&self, born: u64) -> bool {
        self.lives.load(Ordering::SeqCst) >= born + LIVES_OF_A_CLIENT
    }

    async fn until(&self, stage: Stage) {
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }

    async fn publish(self: Arc<Self>) {
        while *self.stage.borrow() == Stage::Work {
            let (born, client) = (self.lives.load(Ordering::SeqCst), self.client().await);
            while !self.is_old(born) {
                tokio::select! {
                    () = self.until(Stage::Drain) => break,
                    room = self.room.acquire_many(A_BATCH) => room.expect("open").forget(),
                }
                self.publish_one_batch(&client).await;
            }
            client.close().await;
        }
    }

    async fn publish_one_batch(&self, client: &Client) {
        let queue = |n: u32| if n.is_multiple_of(2) { "plain" } else { "work" };
        let messages: Vec<_> = (0..A_BATCH).map(|n| note(client, queue(n), queue(n))).collect();
        messages.iter().for_each(|message| self.ledger.sends(message));
        let results = client.publish_all(messages.clone()).await;
        for (message, result) in messages.iter().zip(results) {
            match result {
                Ok(accepted) => self.ledger.receipt(message.id(), &accepted),
                Err(error) => self.ledger.wrong(format!("{} was refused: {error}", message.id())),
            }
        }
    }

    async fn consume(self: Arc<Self>, queue: &'static str) {
        while *self.stage.borrow() < Stage::End {
            let (born, client) = (self.lives.load(Ordering::SeqCst), self.client().await);
            let mut jobs = receive(&client, queue, u32::try_from(AT_ONCE).expect("few")).await;
            let mut at_work = JoinSet::new();
            while !self.is_old(born) {
                tokio::select! {
                    job = jobs.next(), if at_work.len() < AT_ONCE => {
                        let job = job.expect("a client that is not closed goes on");
                        self.ledger.delivered(&job);
                        at_work.spawn(self.clone().settle(client.clone(), queue, job));
                    }
                    Some(done) = at_work.join_next() => done.expect("no panic"),
                    () = self.until(Stage::End) => break,
                }
            }
            drop(jobs);
            while let Some(done) = at_work.join_next().await {
                done.expect("no panic");
            }
            client.close().await;
        }
    }

    /// Acks, or hands over into the results.
    async fn settle(self: Arc<Self>, client: Client, queue: &'static str, mut job: Leased) {
        let result = if queue == "work" { self.hand_over(&client, &mut job).await } else { job.ack().await };
        match result {
            Ok(()) => {
                self.ledger.settled(&job);
                self.room.add_permits(1);
            }
            Err(error) if error.code == Code::LeaseLost && error.outcome == Outcome::Refused => {
                self.ledger.lost_lease()
            }
            Err(error) if error.code == Code::LeaseLost => {
                self.ledger.unsure(&job);
                self.room.add_permits(1);
            }
            Err(error) => self.ledger.wrong(format!("the settle of {} ended with {error}", job.message.id())),
        }
    }

    async fn hand_over(&self, client: &Client, job: &mut Leased) -> Result<(), Error> {
        let output = note(client, "results", job.message.id());
        self.ledger.sends(&output);
        let receipts = job.hand_over(vec![output.clone()]).await?;
        self.ledger.output(job.message.id(), output.id());
        match &receipts[..] {
            // Not the receipt of a publish of its own: it is consumed at the end.
            [accepted] if accepted.position.is_some() => Ok(()),
            other => {
                self.ledger.wrong(format!("a hand-over of one message has the receipts {other:?}"));
                Ok(())
            }
        }
    }

    /// Waits until nothing is left in these queues.
    async fn are_empty(&self, client: &Client, queues: &[&str]) {
        for name in queues {
            while self.left(client, name).await > 0 {}
        }
    }

    async fn left(&self, client: &Client, name: &str) -> u64 {
        let info = info(client, name).await;
        info.ready + info.leased + info.delayed
    }

    /// Consumes the results: each input has one, and it is the one that was answered.
    async fn every_input_has_one_output(&self, client: &Client) {
        let (inputs, answered) = (self.ledger.receipts(b"work"), self.ledger.outputs());
        let mut results = receive(client, "results", 256).await;
        let mut outputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        while self.left(client, "results").await > 0 {
            let mut acks = JoinSet::new();
            for _ in 0..info(client, "results").await.leased {
                let mut output = next(&mut results).await;
                self.ledger.delivered(&output);
                outputs.entry(text(&output.message)).or_default().push(output.message.id().to_owned());
                acks.spawn(async move { output.ack().await.expect("acked") });
            }
            soon("all are acked", acks.join_all()).await;
        }
        for input in &inputs {
            let found = outputs.remove(input).unwrap_or_default();
            let told = answered.get(input);
            assert!(found.len() == 1 && told.is_none_or(|told| *told == found[0]), "{input}: {found:?}, told {told:?}");
        }
        assert!(outputs.is_empty(), "results of what was never acknowledged: {outputs:?}");
    }

    /// In the hub's own history each message was acked once, and that is the last that happened to it:
    /// of all whose acks were never answered, and of some others.
    async fn nothing_follows_an_ack(&self, client: &Client) {
        let unheard = self.ledger.acked_unheard();
        for message in unheard.into_iter().chain(self.ledger.outputs().into_keys().take(100)) {
            let asked =
                soon("a trace is answered", client.query(Ask::Trace { message: message.clone(), search: None })).await;
            let Ok(Page::Trace(events)) = asked else { panic!("{asked:?}") };
            let what: Vec<&str> = events.iter().map(|event| event.what.as_str()).collect();
            let acked = what.iter().filter(|what| **what == "acked").count();
            assert!(acked == 1 && what.last() == Some(&"acked"), "{message}: {what:?}");
        }
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
