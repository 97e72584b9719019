//! The ledger: an agent that knows nothing but HTTP, and books every result once.

use serde::Deserialize;
use serde_json::{Value, json};
use skep_protocol::{Delivery, Error, Kind, Settlement};
use tokio::sync::mpsc::error::TryRecvError;

use super::super::collector::Collector;
use super::super::report::{Effect, Order, Report};
use super::super::task::{Counted, LEDGER};
use super::{Agent, may_retry, payload};

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

impl Agent<'_> {
    pub(super) async fn keep_books(mut self) -> anyhow::Result<()> {
        let about = json!({ "role": "books every result, over HTTP" }).to_string();
        self.http.put::<Value>(&format!("/v1/agents/{LEDGER}"), about).await?;
        self.tell(&Report::Ready)?;
        let mut booked = Collector::default();
        loop {
            match self.orders.try_recv() {
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return Ok(()),
                Ok(_) | Err(TryRecvError::Empty) => {}
            }
            if let Err(error) = self.book(&mut booked).await {
                tracing::warn!(%error, booked = booked.count(), "tried again");
                let lasting = error.downcast::<Error>()?;
                if !may_retry(&lasting).await {
                    return Err(lasting.into());
                }
            }
        }
    }

    /// Books what is there, and acks it.
    async fn book(&self, booked: &mut Collector) -> anyhow::Result<()> {
        let path = format!("/v1/inbox/{LEDGER}/receive?{RECEIVE}");
        let Received { deliveries } = self.http.post(&path, String::new()).await?;
        if deliveries.is_empty() {
            return Ok(());
        }
        let mut entries = Vec::new();
        for delivery in &deliveries {
            entries.push(self.enter(booked, delivery)?);
        }
        let settles: Vec<Value> =
            deliveries.iter().map(|delivery| json!({ "lease": delivery.lease, "action": "ack" })).collect();
        let Settled { results } = self.http.post("/v1/settle", json!({ "settles": settles }).to_string()).await?;
        for (entry, result) in entries.iter().zip(results) {
            if let (Some(effect), Settlement::Ok(())) = (entry, result) {
                booked.confirm(effect.counted.number, &effect.message);
            }
        }
        Ok(())
    }

    /// Books one result; what is none is passed over.
    fn enter(&self, booked: &mut Collector, delivery: &Delivery) -> anyhow::Result<Option<Effect>> {
        let view = delivery.message.view();
        if view.kind() != Kind::TASK_COMPLETED.as_str() {
            return Ok(None);
        }
        let counted: Counted = payload(&delivery.message)?;
        let verdict = booked.take(counted.number, view.id());
        let effect = Effect { message: view.id().into(), verdict, latency_us: None, counted };
        self.tell(&Report::Effect(effect.clone()))?;
        Ok(Some(effect))
    }
}
