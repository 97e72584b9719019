//! Topics and filters: parsed as the rules say, and matched alike by the filter, by the router and by the plainest matcher there is.
//!
//! The first line is a topic, each other line a filter.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use skep_core::Router;
use skep_fuzz::seeds;
use skep_protocol::limits::{TOPIC_BYTES_MAX, TOPIC_TOKENS_MAX};
use skep_protocol::{Filter, Topic};

fuzz_target!(init: seeds::lay(lines()), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let topic = lines.next().unwrap_or_default();
    assert_eq!(Topic::new(topic).is_ok(), is_topic(topic), "{topic:?}");
    let mut router = Router::default();
    let mut filters = Vec::new();
    for line in lines {
        let parsed = Filter::new(line);
        assert_eq!(parsed.is_ok(), is_filter(line), "{line:?}");
        let Ok(filter) = parsed else { continue };
        assert_eq!(filter.is_literal(), is_topic(line), "{line:?}");
        router.insert(&filter, filters.len());
        filters.push(filter);
    }
    if !is_topic(topic) {
        return;
    }
    let plain = |filter: &&Filter| matches_plainly(filter.as_str(), topic);
    let expected: Vec<&Filter> = filters.iter().filter(plain).collect();
    assert_eq!(filters.iter().filter(|filter| filter.matches(topic)).collect::<Vec<_>>(), expected);
    let mut routed = Vec::new();
    let _ = router.visit(topic, &mut |found| {
        routed.extend(found.copied());
        ControlFlow::Continue(())
    });
    routed.sort_unstable();
    assert_eq!(routed.iter().map(|n| &filters[*n]).collect::<Vec<_>>(), expected, "the router");
    for (n, filter) in filters.iter().enumerate() {
        assert_eq!(router.remove(filter, |value| *value == n), Some(n));
    }
    assert!(router.is_empty());
});

fn is_topic(text: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !",*>".contains(c);
    let tokens: Vec<&str> = text.split('.').collect();
    text.len() <= TOPIC_BYTES_MAX
        && tokens.len() <= TOPIC_TOKENS_MAX
        && tokens.iter().all(|token| !token.is_empty() && token.chars().all(is_plain))
}

/// A filter is a topic in which some tokens are `*` and the last may be `>`.
fn is_filter(text: &str) -> bool {
    let tokens: Vec<&str> = text.split('.').collect();
    let stars = tokens.iter().enumerate().map(|(n, token)| match *token {
        "*" => "x",
        ">" if n + 1 == tokens.len() => "x",
        other => other,
    });
    is_topic(&stars.collect::<Vec<_>>().join("."))
}

fn matches_plainly(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (filter.starts_with('*') || filter.starts_with('>')) {
        return false;
    }
    let (filter, topic): (Vec<&str>, Vec<&str>) = (filter.split('.').collect(), topic.split('.').collect());
    let alike = |(wanted, token): (&&str, &&str)| *wanted == "*" || *wanted == ">" || wanted == token;
    let long_enough =
        if filter.last() == Some(&">") { topic.len() >= filter.len() } else { topic.len() == filter.len() };
    long_enough && filter.iter().zip(&topic).all(alike)
}

fn lines() -> Vec<Vec<u8>> {
    ["a.b.c\na.b.c\na.*.c\na.>\n>\n*.b.*\n*", "$sys.a\n>\n$sys.>\n$sys.*\n*.a", "a\n>.b\na*\n\na..b\n\u{2003}\na,b"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
