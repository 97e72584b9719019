//! `skep request`: a question, and its answer.

use std::time::Duration;

use skep_client::{Client, Error};
use skep_protocol::{AgentId, Ask, Code, Kind, QueueName, Topic};

use crate::advice::{Named, advised};
use crate::context::Context;
use crate::duration;
use crate::message::MessageArgs;

/// Ask a service or an agent, and wait for the reply
///
/// The target is a topic, or the name of an agent that is known. The reply's payload is printed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A topic such as service.words, or an agent
    #[arg(value_name = "TOPIC|AGENT")]
    target: Topic,
    #[command(flatten)]
    message: MessageArgs,
    /// How long to wait for the reply; what a queue still holds of the request then expires
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    timeout: Duration,
}

const EXAMPLES: &str = "\
Examples:
  skep request service.words \"how many words has this?\"
  skep request bob --as alice --timeout 5m \"are you done?\"
  skep request service.sum --data-json '[1,2,3]'

Somebody who waits for it answers with `skep reply`; `skep subscribe service.words` shows how.";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.attached(async |client| {
            let agent = known_agent(client, &self.target).await?;
            let topic = agent.as_ref().map_or_else(|| self.target.clone(), Topic::inbox);
            let message = self.message.begin(client, Kind::REQUEST)?.to(&topic);
            let asked = client.request(message, Some(self.timeout));
            let reply = advised(context, client, Named::Topic(&topic), asked).await;
            let reply = reply.map_err(|error| self.explain(context, error, &topic))?;
            if context.output().is_json() {
                return Ok(context.output().value(&reply)?);
            }
            Ok(context.output().payload(&reply.payload())?)
        })
    }

    /// That nobody answered, in the words of who asked.
    fn explain(&self, context: &Context, error: Error, topic: &Topic) -> Error {
        if error.code != Code::Timeout {
            return error;
        }
        let within = duration::show(duration::millis(self.timeout));
        let text = match Topic::agent_of(topic.as_str()) {
            Some(agent) => {
                let look = context.command(&format!("inbox {agent}"));
                format!(
                    "no reply from {topic} within {within}. Unless {agent} took it by then, it is given no more: {look}"
                )
            }
            None => format!("no reply from {topic} within {within}"),
        };
        Error { text, ..error }
    }
}

/// The agent of that name, if there is one.
async fn known_agent(client: &Client, target: &Topic) -> Result<Option<AgentId>, Error> {
    let Ok(agent) = AgentId::new(target.as_str()) else { return Ok(None) };
    match client.query(Ask::Queue { queue: QueueName::inbox(&agent) }).await {
        Ok(_) => Ok(Some(agent)),
        Err(error) if error.code == Code::UnknownQueue => Ok(None),
        Err(error) => Err(error),
    }
}
