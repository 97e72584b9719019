//! Queues and agents, page by page, over the wire and over HTTP.

use skep_protocol::{AgentId, Ask, Command, Page};

use crate::curl::{Answer, Curl};
use crate::hub::{Hub, declare, queue, soon};

/// More than one page holds.
const MANY: u32 = 600;

fn get(hub: &Hub, path: &str) -> Answer {
    Curl::bare(hub.http(), "GET", path).token(hub.token()).call()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_queues_are_walked_by_the_client_by_links_and_by_metrics() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    for n in 0..MANY {
        declare(&client, &format!("q{n:03}")).await;
    }
    let names: Vec<String> = (0..MANY).map(|n| format!("q{n:03}")).collect();
    let of = |queues: Vec<skep_protocol::QueueInfo>| -> Vec<String> {
        queues.iter().map(|queue| queue.spec.name.to_string()).collect()
    };
    assert_eq!(of(soon("all are seen", client.queues()).await.expect("queues")), names);
    let Page::Queues(asked) = soon("all are seen", client.query(Ask::Queues)).await.expect("queues") else {
        panic!("queues")
    };
    assert_eq!(of(asked), names);
    let (page, next) = soon("a page", client.queues_after(Some(queue("q009")), 3)).await.expect("a page");
    assert_eq!((of(page), next), (names[10..13].to_vec(), Some(queue("q012"))));

    let (mut seen, mut path) = (Vec::new(), Some("/v1/queues".to_owned()));
    while let Some(at) = path {
        let answer = get(&hub, &at);
        let body = answer.json();
        let queues = body["queues"].as_array().expect("queues");
        assert!(!queues.is_empty() && queues.len() <= 256);
        seen.extend(queues.iter().map(|queue| queue["spec"]["name"].as_str().expect("a name").to_owned()));
        let link = answer.headers.iter().find(|(name, _)| name == "link").map(|(_, link)| link.clone());
        path = link.map(|link| link.trim_start_matches('<').split('>').next().expect("a link").to_owned());
        let next = body["next"].as_str().map(|next| format!("/v1/queues?after={next}"));
        assert_eq!(path, next, "the link and the body say the same");
    }
    assert_eq!(seen, names);
    assert_eq!(get(&hub, "/v1/queues?after=q597&limit=1").json()["next"], "q598");
    get(&hub, "/v1/queues?after=a+b").refused(400, "invalid_name");
    get(&hub, "/v1/queues?from=q1").refused(400, "invalid_argument");
    let metrics = get(&hub, "/metrics").body;
    assert!(metrics.contains("skep_queues 600\n"), "{metrics:.2000}");
    assert_eq!(metrics.matches("skep_queue_messages_ready{").count(), 500);
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_with_much_to_say_are_walked_in_small_pages() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    let metadata = format!("{{\"of\":\"{}\"}}", "x".repeat(60_000));
    let ids: Vec<AgentId> = (0..40).map(|n| format!("a{n:02}").parse().expect("an id")).collect();
    for agent in &ids {
        let register = Command::Register { agent: agent.clone(), metadata: metadata.clone() };
        soon("an agent is known", client.manage(register)).await.expect("an agent");
    }
    let agents = soon("all are seen", client.agents()).await.expect("agents");
    assert_eq!(agents.iter().map(|info| info.agent.clone()).collect::<Vec<_>>(), ids);
    let first = get(&hub, "/v1/agents");
    assert!(first.body.len() < 400_000, "{} bytes", first.body.len());
    let next = first.json()["next"].as_str().expect("there are more").to_owned();
    let second = get(&hub, &format!("/v1/agents?after={next}&limit=2")).json();
    let at = ids.iter().position(|id| id.as_str() == next).expect("known");
    assert_eq!(second["agents"][0]["agent"], ids[at + 1].as_str());
    assert_eq!(second["next"], ids[at + 2].as_str());
    hub.close().await;
}
