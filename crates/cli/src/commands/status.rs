//! `skep status`: how the hub is.

use std::path::PathBuf;

use serde::Serialize;
use skep_protocol::{Ask, Page, Status};

use crate::connect;
use crate::context::{Context, Global};
use crate::exit::{Exit, Fell};
use crate::health::is_damage;
use crate::output::{age, path};
use crate::stored::unexpected;

/// Show how the hub is
///
/// Exit code 0 if it is ready; 7 if the store is damaged and takes nothing new; 3 if it refuses publishes for another reason,
/// such as a full disk.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

const EXAMPLES: &str = "\
Examples:
  skep status
  skep status --json | jq .messages";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.attached(async |client| match client.query(Ask::Status).await? {
            Page::Status(status) => {
                let place = Place::of(context.global());
                context.output().answer(&Shown { status: &status, place: &place }, words(&status, &place))?;
                status.not_ready.map_or(Ok(()), |why| Err(not_ready(context, &why).into()))
            }
            other => Err(unexpected(&other).into()),
        })
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: &'a Status,
    #[serde(flatten)]
    place: &'a Place,
}

/// Where the hub is, as far as its data folder says so.
#[derive(Default, Serialize)]
struct Place {
    http: Option<String>,
    unix: Option<PathBuf>,
    data: Option<PathBuf>,
    pid: Option<u32>,
}

impl Place {
    /// Of a hub whose address was said, nothing else is known.
    fn of(global: &Global) -> Self {
        let Ok(Some((hub, folder))) = connect::hub_of_folder(global) else { return Place::default() };
        Place { http: hub.http, unix: hub.unix, data: Some(folder), pid: Some(hub.pid) }
    }

    fn words(&self) -> String {
        let unix = self.unix.as_ref().map(|unix| format!("unix:{}", path(unix)));
        let at: Vec<String> = self.http.clone().into_iter().chain(unix).collect();
        let lines = [
            ("address", (!at.is_empty()).then(|| at.join(", "))),
            ("data", self.data.as_ref().map(|data| path(data))),
            ("pid", self.pid.map(|pid| pid.to_string())),
        ];
        lines.into_iter().filter_map(|(name, said)| Some(format!("{name:<9} {}\n", said?))).collect()
    }
}

fn words(status: &Status, place: &Place) -> String {
    let Status { hub, started_ms, sessions, agents, queues, messages, not_ready, recovery } = status;
    let ready = not_ready.as_ref().map_or_else(|| "ready".into(), |why| format!("not ready: {why}"));
    let (started, place) = (age(*started_ms), place.words());
    format!(
        "{hub}, started {started}, {ready}\n{place}\
         agents    {agents}\nqueues    {queues}\nmessages  {messages}\nsessions  {sessions}\n\
         store     {recovery}"
    )
}

/// What the exit code says, too.
fn not_ready(context: &Context, why: &str) -> Fell {
    let (exit, text) = match is_damage(why) {
        true => {
            let verify = context.command("verify");
            (Exit::Damaged, format!("the hub is read-only, its store is damaged; see {verify}"))
        }
        false => (Exit::Refused, "the hub refuses publishes, as said above".to_owned()),
    };
    Fell { exit, code: "not_ready", text }
}
