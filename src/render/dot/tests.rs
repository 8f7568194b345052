use super::*;

#[test]
fn names_cannot_leave_their_label() {
    assert_eq!(
        html("a<b>&\"'\n\u{0}"),
        "a&lt;b&gt;&amp;&quot;&#39;\\n\\u{0}"
    );
    assert_eq!(html(""), "(no name)");
    assert_eq!(html("\u{ffff}"), "\\u{ffff}");
    assert_eq!(quoted("a\"\\N"), "\"a&quot;\\\\N\"");
}

#[test]
fn long_names_lose_their_middle() {
    let short = shorten(&"ab".repeat(64));
    assert_eq!(short.chars().count(), LONGEST);
    assert!(short.contains('…'));
    assert_eq!(shorten("DOCKER"), "DOCKER");
}
