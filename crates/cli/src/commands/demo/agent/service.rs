//! The service agent: answers live questions about languages.

use skep_client::{Client, LiveSubscription};
use skep_protocol::{Filter, Message};

use super::super::language::language;
use super::super::report::{Order, Report};
use super::super::task::{Question, SERVICE};
use super::{Agent, payload};

impl Agent<'_> {
    pub(super) async fn serve(mut self, client: &Client) -> anyhow::Result<()> {
        let mut questions = client.subscribe(Filter::new(SERVICE)?).await?;
        self.tell(&Report::Ready)?;
        let (mut count, mut unheard) = (0, 0);
        loop {
            let question = tokio::select! {
                question = questions.next() => question.ok_or_else(|| ended(&questions))?,
                order = self.orders.recv() => match order {
                    None | Some(Order::Stop) => return self.tell(&Report::Answered { count, unheard }),
                    Some(_) => continue,
                },
            };
            count += 1;
            if let Err(error) = answer(client, &question).await {
                // The asker is gone, or will ask again.
                tracing::warn!(%error, "an answer did not arrive");
                unheard += 1;
            }
        }
    }
}

async fn answer(client: &Client, question: &Message) -> anyhow::Result<()> {
    let asked: Question = payload(question)?;
    let answer = serde_json::to_vec(&language(&asked.extension))?;
    client.reply(question, |reply| reply.json(answer)).await?;
    Ok(())
}

fn ended(questions: &LiveSubscription) -> anyhow::Error {
    questions.ended().map_or_else(|| anyhow::anyhow!("the subscription to {SERVICE} ended"), Into::into)
}
