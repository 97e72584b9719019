//! WebSocket in JSON, with ten lines of Python that know nothing of us.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::hub::{Hub, declare, info, receive, soon, text};

/// What a newcomer would write: it declares a queue, publishes, receives, acks, and prints what it was told.
const SCRIPT: &str = r#"
import asyncio, json, os, sys, websockets

async def main(url, token):
    async with websockets.connect(url, subprotocols=["skep.v1.json"]) as hub:
        async def say(**frame): await hub.send(json.dumps(frame))
        async def hear(name):
            while name not in (frame := json.loads(await asyncio.wait_for(hub.recv(), 20))): pass
            return frame[name]
        await say(connect={"version": 1, "token": token, "client": "ten lines of python"})
        welcome = await hear("welcome")
        await say(manage={"tag": 1, "command": {"declare": {"name": "jobs"}}})
        await hear("managed")
        event = {"specversion": "1.0", "id": "m-1", "source": "python", "type": "task", "to": "jobs", "data": {"n": 1}}
        await say(publish={"sequence": 1, "messages": [event]})
        receipt = await hear("receipt")
        window = {"subscription": 1, "messages": 1, "bytes": 1000000}
        await say(subscribe={"id": 1, "target": {"queue": "jobs"}, "window": window})
        delivery = (await hear("deliver"))[0]
        await say(settle={"tag": 2, "settles": [{"lease": delivery["lease"], "action": "ack"}]})
        settled = await hear("settled")
        print(json.dumps({"subprotocol": hub.subprotocol, "welcome": welcome, "receipt": receipt,
                          "delivery": delivery, "settled": settled}))

asyncio.run(main(sys.argv[1], os.environ["TOKEN"]))
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_python_script_declares_publishes_receives_and_acks() {
    let (hub, python) = (Hub::start().await, python());
    let url = format!("ws://{}/ws", hub.http());
    let mut command = Command::new(python);
    let ran = command.args(["-c", SCRIPT, &url]).env("TOKEN", hub.token()).stdin(Stdio::null()).output();
    let ran = ran.expect("python runs");
    assert!(ran.status.success(), "{ran:?}");
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(told["subprotocol"], "skep.v1.json");
    assert_eq!((&told["welcome"]["version"], &told["welcome"]["resumed"]), (&1.into(), &false.into()));
    let accepted = &told["receipt"][0]["result"]["ok"];
    assert_eq!((&accepted["durability"], &accepted["queues"]), (&"fsync".into(), &1.into()), "{told}");
    assert_eq!(told["delivery"]["position"], accepted["position"]);
    assert_eq!(told["delivery"]["message"]["data"]["n"], 1);
    assert_eq!(told["settled"]["results"][0], serde_json::json!({"ok": null}));
    let client = hub.client().await;
    assert_eq!((info(&client, "jobs").await.ready, info(&client, "jobs").await.leased), (0, 0));
    hub.close().await;
}

/// A message of a compact client, read in JSON, and the other way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_python_publishes_in_json_a_compact_client_reads_as_the_same() {
    let (hub, python) = (Hub::start().await, python());
    let client = hub.client().await;
    declare(&client, "jobs").await;
    let publish = r#"
import json, sys
from websockets.sync.client import connect
with connect(sys.argv[1], additional_headers={"Authorization": "Bearer " + sys.argv[2]}) as hub:
    hub.send(json.dumps({"connect": {"version": 1}}))
    event = {"specversion": "1.0", "id": "m-1", "source": "python", "type": "task", "to": "jobs",
             "datacontenttype": "text/plain", "data": "gr\u00fc\u00dfe \U0001F41D"}
    hub.send(json.dumps({"publish": {"sequence": 1, "messages": [event]}}))
    while "receipt" not in json.loads(hub.recv(timeout=20)): pass
"#;
    let url = format!("ws://{}/ws", hub.http());
    let ran = Command::new(python).args(["-c", publish, &url, hub.token()]).stdin(Stdio::null()).output();
    let ran = ran.expect("python runs");
    assert!(ran.status.success(), "{ran:?}");
    let mut jobs = receive(&client, "jobs", 1).await;
    let job = soon("a delivery comes", jobs.next()).await.expect("a delivery");
    assert_eq!((text(&job.message).as_str(), job.message.view().kind()), ("grüße 🐝", "task"));
    hub.close().await;
}

/// The example of the README, as it stands there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_that_the_readme_shows_is_told_of_a_welcome_and_a_receipt_and_bob_has_a_message() {
    let (hub, python) = (Hub::start().await, python());
    let client = hub.client().await;
    let bob = skep_protocol::Command::Register { agent: "bob".parse().expect("an id"), metadata: "{}".into() };
    soon("bob is added", client.manage(bob)).await.expect("added");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let (_, example) = readme.split_once("```python\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let ran = Command::new("timeout").arg("60").arg(python).args(["-c", example]).current_dir(hub.beside()).output();
    let ran = ran.expect("python runs");
    let out = String::from_utf8_lossy(&ran.stdout);
    let lines: Vec<&str> = out.lines().collect();
    assert!(ran.status.success() && lines.len() == 2, "{ran:?}");
    assert!(lines[0].starts_with(r#"{"welcome":"#) && lines[1].contains(r#""durability":"fsync""#), "{out}");
    assert_eq!(info(&client, "agent.bob.inbox").await.ready, 1);
    hub.close().await;
}

fn python() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(find_python)
}

/// The interpreter that has `websockets`: `SKEP_PYTHON`, as `cargo xtask test` sets it; else one of
/// our own in the target folder, which is made when it is missing.
fn find_python() -> PathBuf {
    if let Some(python) = env::var_os("SKEP_PYTHON") {
        return python.into();
    }
    let executable = env::current_exe().expect("a path");
    let target = executable.ancestors().find(|at| at.join("CACHEDIR.TAG").exists()).expect("the target folder");
    let home = target.join("venv");
    let python = home.join("bin/python");
    if !has_websockets(&python) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-input", "websockets"]));
    }
    assert!(has_websockets(&python), "{} has no websockets", python.display());
    python
}

fn has_websockets(python: &Path) -> bool {
    let imported = Command::new(python).args(["-c", "import websockets"]).stderr(Stdio::null()).status();
    imported.is_ok_and(|status| status.success())
}

fn run(command: &mut Command) {
    let ran = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(ran.status.success(), "{command:?}: {ran:?}");
}
