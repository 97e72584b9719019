//! Live requests and their replies, over the Rust client.

use std::sync::Arc;
use std::time::Duration;

use skep_protocol::{Filter, Message, MessageId, Topic};
use tokio::time::timeout;

use super::native::{Native, Way};
use crate::history::{Scribe, Sent, Told, What, hash};
use crate::random::Random;
use crate::world::{Stage, World};

const TOPIC: &str = "ask";
const REPLY_MAX: Duration = Duration::from_secs(2);

/// What a question must be answered with.
fn reply_to(question: &str) -> String {
    format!("re: {question}")
}

/// Asks until the work ends.
pub(super) async fn ask(world: Arc<World>, name: &str) -> anyhow::Result<()> {
    let mut random = Random::of(world.seed, name);
    let scribe = Scribe::open(&world, name)?;
    let mut number = 0;
    while world.is_working() {
        let Some(native) = Native::connect(&world, Way::Unix, name).await? else { break };
        while world.is_working() && !native.is_old(&world) {
            world.pace(Duration::from_millis(random.between(10, 60))).await;
            number += 1;
            let question = format!("question {number} {:x}", random.next());
            let id = MessageId::new(&format!("{name}-{number}"))?;
            let message = Message::build(&id, "prove/asker", "request").to(&Topic::new(TOPIC)?).text(&question);
            let sent = Sent::of(&message.clone().finish()?, name, number);
            let reply = hash(reply_to(&question).as_bytes());
            let _passes = world.pass().await;
            let op = scribe.begin(native.born, What::Request { message: sent, reply })?;
            let told = match native.client.request(message, Some(REPLY_MAX)).await {
                Ok(reply) => Told::replied(&reply),
                Err(error) => Told::error(&error),
            };
            scribe.end(op, vec![told])?;
        }
        native.client.close().await;
    }
    Ok(())
}

/// Answers to the end.
pub(super) async fn answer(world: Arc<World>, name: &str) -> anyhow::Result<()> {
    while let Some(native) = Native::connect(&world, Way::WebSocket, name).await? {
        if let Ok(mut questions) = native.client.subscribe(Filter::new(TOPIC)?).await {
            while !native.is_old(&world) && world.stage() < Stage::End {
                let Ok(question) = timeout(Duration::from_millis(200), questions.next()).await else { continue };
                let Some(question) = question else { break };
                let text = String::from_utf8_lossy(&question.payload()).into_owned();
                // Whoever asked may be gone; then nobody misses it.
                let _ = native.client.reply(&question, |reply| reply.text(&reply_to(&text))).await;
            }
        }
        native.client.close().await;
    }
    Ok(())
}
