use crate::place::Place;

#[test]
fn a_conversation_that_runs_away_is_refused_with_the_reason_and_what_to_do() {
    let place = Place::empty();
    let guards = ["--guards-conversation-messages", "3"];
    place.skep(&[&["serve", "--detach", "--listen", "127.0.0.1:0"], &guards[..]].concat()).done();
    place.skep(&["agents", "add", "bob"]).done();
    let say = || place.skep(&["send", "bob", "again", "--conversation", "night"]);
    for _ in 0..3 {
        say().done();
    }
    let refused = say().failed(3, "conversation_exhausted");
    for part in ["night", "3 messages", "free again in 24 h 0 min", "guards.conversation_messages"] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    place.skep(&["send", "bob", "something else", "--conversation", "day"]).done();
    let shown = place.skep(&[&["config", "show"], &guards[..]].concat()).done().out;
    assert!(shown.contains("guards.conversation_messages  3") && shown.contains("guards.hops"), "{shown}");
}
