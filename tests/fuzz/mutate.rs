//! Mutations: of bytes, of words, and of the nodes of JSON.

use serde_json::{Value, json};

/// A stream of numbers (splitmix64).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn word(&mut self) -> &'static str {
        self.pick(&WORDS)
    }
}

/// Words that readers stumble over.
const WORDS: [&str; 34] = [
    "",
    "0",
    "-1",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "1e400",
    "0x",
    "0xffffffffffffffffffffffffffffffffff",
    "0.0.0.0/0",
    "255.255.255.255/33",
    "10.0.0.9-10.0.0.1",
    "::/0",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "lo",
    "*",
    "!",
    "-",
    "->",
    ":",
    "[",
    "]:",
    "@",
    "\u{0}",
    "\u{202e}",
    "ß𝔘",
    "accept",
    "jump",
    "ip6",
    "--dport",
    "trace id ",
];

/// A damaged JSON text, from one to some nodes changed; sometimes damaged as text besides.
pub fn json(seed: &str, numbers: &mut Numbers) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(seed) else {
        return text(seed, numbers);
    };
    for _ in 0..1 + numbers.below(4) {
        change_node(&mut value, numbers);
    }
    let out = value.to_string();
    match numbers.below(8) {
        0 => text(&out, numbers),
        _ => out,
    }
}

/// The places of all nodes but the root.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => {
            for (index, node) in list.iter().enumerate() {
                let place = format!("{at}/{index}");
                places(node, &place, found);
                found.push(place);
            }
        }
        Value::Object(map) => {
            for (key, node) in map {
                let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                places(node, &place, found);
                found.push(place);
            }
        }
        _ => {}
    }
}

fn change_node(value: &mut Value, numbers: &mut Numbers) {
    let mut found = Vec::new();
    places(value, "", &mut found);
    if found.is_empty() {
        *value = odd(numbers);
        return;
    }
    let place = found[numbers.below(found.len())].clone();
    let donor = value.pointer(&found[numbers.below(found.len())]).cloned();
    let (parent, key) = place.rsplit_once('/').unwrap_or(("", &place));
    let key = key.replace("~1", "/").replace("~0", "~");
    let Some(parent) = value.pointer_mut(parent) else {
        return;
    };
    match numbers.below(8) {
        0 => match parent {
            Value::Array(list) => drop(key.parse().map(|at: usize| list.remove(at))),
            Value::Object(map) => drop(map.remove(&key)),
            _ => {}
        },
        1 => match parent {
            Value::Array(list) => {
                let at = key.parse().unwrap_or(0);
                let copies = numbers.pick(&[1, 1, 1, 2, 40]);
                for _ in 0..copies {
                    list.insert(at, list[at].clone());
                }
            }
            Value::Object(map) => {
                let node = map.get(&key).cloned().unwrap_or(Value::Null);
                map.insert(numbers.word().to_string(), node);
            }
            _ => {}
        },
        2 | 3 => set(parent, &key, donor.unwrap_or(Value::Null)),
        4 => {
            let node = match parent {
                Value::Array(list) => key.parse().ok().and_then(|at: usize| list.get(at)).cloned(),
                Value::Object(map) => map.get(&key).cloned(),
                _ => None,
            };
            let mut node = node.unwrap_or(Value::Null);
            for _ in 0..numbers.pick(&[1, 1, 2, 10, 60, 300]) {
                node = match numbers.below(2) {
                    0 => json!([node]),
                    _ => json!({ &key: node }),
                };
            }
            set(parent, &key, node);
        }
        _ => set(parent, &key, odd(numbers)),
    }
}

fn set(parent: &mut Value, key: &str, node: Value) {
    match parent {
        Value::Array(list) => {
            if let Some(place) = key.parse::<usize>().ok().and_then(|at| list.get_mut(at)) {
                *place = node;
            }
        }
        Value::Object(map) => drop(map.insert(key.to_string(), node)),
        _ => {}
    }
}

/// A value that is seldom expected.
fn odd(numbers: &mut Numbers) -> Value {
    match numbers.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!([]),
        3 => json!({}),
        4 => json!(u64::MAX),
        5 => json!(i64::MIN),
        6 => json!(1.5e300),
        7 => json!(numbers.below(300)),
        8 => json!("x".repeat(20_000)),
        9 => json!({"range": ["10.0.0.9", "10.0.0.1"]}),
        10 => json!({"prefix": {"addr": "10.0.0.0", "len": 300}}),
        _ => json!(numbers.word()),
    }
}

/// A damaged text.
pub fn text(seed: &str, numbers: &mut Numbers) -> String {
    let mut out = seed.to_string();
    for _ in 0..1 + numbers.below(4) {
        out = match numbers.below(7) {
            0 => bytes(&out, numbers),
            1 | 2 => words(&out, numbers),
            3 => lines(&out, numbers),
            4 => {
                let at = boundary(&out, numbers);
                out[..at].to_string()
            }
            5 => {
                let at = boundary(&out, numbers);
                let times = numbers.pick(&[1, 2, 1000]);
                let word = numbers.word().repeat(times);
                format!("{}{word}{}", &out[..at], &out[at..])
            }
            _ => {
                let (a, b) = (boundary(&out, numbers), boundary(&out, numbers));
                let (a, b) = (a.min(b), a.max(b));
                format!("{}{}{}", &out[..b], &out[a..b], &out[b..])
            }
        };
        // a text that only grows says nothing new
        if out.len() > 200_000 {
            out.truncate(
                (0..=200_000)
                    .rev()
                    .find(|at| out.is_char_boundary(*at))
                    .unwrap_or(0),
            );
        }
    }
    out
}

fn boundary(text: &str, numbers: &mut Numbers) -> usize {
    let at = numbers.below(text.len() + 1);
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

fn bytes(text: &str, numbers: &mut Numbers) -> String {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.is_empty() {
        return String::new();
    }
    for _ in 0..1 + numbers.below(6) {
        let at = numbers.below(bytes.len());
        bytes[at] = match numbers.below(3) {
            0 => bytes[at] ^ 1 << numbers.below(8),
            1 => numbers.pick(b"\0\n\t \"\\{}[]:,/-0.9@$%"),
            _ => numbers.below(256) as u8,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn words(text: &str, numbers: &mut Numbers) -> String {
    let mut words: Vec<&str> = text
        .split_inclusive([' ', '\n', ',', ':', '=', '/'])
        .collect();
    if words.is_empty() {
        return numbers.word().to_string();
    }
    let at = numbers.below(words.len());
    match numbers.below(4) {
        0 => {
            let other = numbers.below(words.len());
            words.swap(at, other);
        }
        1 => drop(words.remove(at)),
        2 => words.insert(at, words[at]),
        _ => words[at] = numbers.word(),
    }
    words.concat()
}

fn lines(text: &str, numbers: &mut Numbers) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    if lines.is_empty() {
        return "\n".into();
    }
    let at = numbers.below(lines.len());
    match numbers.below(4) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at]),
        2 => {
            let other = numbers.below(lines.len());
            lines.swap(at, other);
        }
        _ => {
            let line = lines[at];
            lines.splice(at..at, std::iter::repeat_n(line, 60));
        }
    }
    lines.concat()
}
