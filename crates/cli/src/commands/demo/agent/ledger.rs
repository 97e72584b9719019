//! The ledger: an agent that knows nothing but HTTP, and books every result once.

use serde::Deserialize;
use serde_json::{Value, json};
use skep_protocol::{Delivery, Error, Kind, Settlement};

use super::super::collector::Collector;
use super::super::http::Http;
use super::super::report::{Effect, Order, Report};
use super::super::task::{Counted, LEDGER};
use super::{Agent, may_retry, payload};
use crate::output::Output;

/// Takes up to 64, waits at most a second, and lets their leases last ten.
const RECEIVE: &str = "max=64&wait_ms=1000&lease_ms=10000";

/// What a receive is answered with.
#[derive(Deserialize)]
struct Received {
    deliveries: Vec<Delivery>,
}

/// What settles are answered with, in their order.
#[derive(Deserialize)]
struct Settled {
    results: Vec<Settlement<()>>,
}

/// What is booked, and how.
struct Ledger<'a> {
    output: &'a Output,
    http: Http,
    booked: Collector,
}

impl Agent<'_> {
    pub(super) async fn keep_books(mut self) -> anyhow::Result<()> {
        let about = json!({ "role": "books every result, over HTTP" }).to_string();
        self.http.put::<Value>(&format!("/v1/agents/{LEDGER}"), about).await?;
        self.tell(&Report::Ready)?;
        let mut ledger = Ledger { output: self.output, http: self.http, booked: Collector::default() };
        loop {
            let step = tokio::select! {
                // What is there is booked first; only a poll that waits is broken off.
                biased;
                step = ledger.book() => step,
                order = self.orders.recv() => match order {
                    None | Some(Order::Stop) => return Ok(()),
                    Some(_) => continue,
                },
            };
            if let Err(error) = step {
                tracing::warn!(%error, booked = ledger.booked.count(), "tried again");
                let error = error.downcast::<Error>()?;
                if !may_retry(&error).await {
                    return Err(error.into());
                }
            }
        }
    }
}

impl Ledger<'_> {
    /// Books what is there, and acks it.
    async fn book(&mut self) -> anyhow::Result<()> {
        let path = format!("/v1/inbox/{LEDGER}/receive?{RECEIVE}");
        let Received { deliveries } = self.http.post(&path, String::new()).await?;
        if deliveries.is_empty() {
            return Ok(());
        }
        let mut entries = Vec::new();
        for delivery in &deliveries {
            entries.push(self.enter(delivery)?);
        }
        let settles: Vec<Value> =
            deliveries.iter().map(|delivery| json!({ "lease": delivery.lease, "action": "ack" })).collect();
        let Settled { results } = self.http.post("/v1/settle", json!({ "settles": settles }).to_string()).await?;
        for (entry, result) in entries.iter().zip(results) {
            if let (Some(effect), Settlement::Ok(())) = (entry, result) {
                self.booked.confirm(effect.counted.number, &effect.message);
            }
        }
        Ok(())
    }

    /// Books one result; what is none is passed over.
    fn enter(&mut self, delivery: &Delivery) -> anyhow::Result<Option<Effect>> {
        let view = delivery.message.view();
        if view.kind() != Kind::TASK_COMPLETED.as_str() {
            return Ok(None);
        }
        let counted: Counted = payload(&delivery.message)?;
        let verdict = self.booked.take(counted.number, view.id());
        let effect = Effect { message: view.id().into(), verdict, latency_us: None, counted };
        self.output.value(&Report::Effect(effect.clone()))?;
        Ok(Some(effect))
    }
}
