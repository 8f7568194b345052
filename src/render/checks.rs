//! Results of expectations: text, and JUnit XML for servers that show tests.

use colored::Colorize;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use unicode_width::UnicodeWidthStr;

use crate::expect::Mismatch;

use super::safe;

/// The expectations of one file.
#[derive(Debug, Clone)]
pub struct Suite {
    pub file: String,
    pub ruleset: String,
    pub checks: Vec<Check>,
}

/// One flow against what was expected of it.
#[derive(Debug, Clone)]
pub struct Check {
    pub name: Option<String>,
    pub flow: String,
    /// Where the test begins in the file, from 1.
    pub line: usize,
    /// The answer is `unknown`.
    pub undecided: bool,
    /// Empty: as expected.
    pub wrong: Vec<Mismatch>,
}

impl Check {
    fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{name}: {}", self.flow),
            None => self.flow.clone(),
        }
    }
}

fn words(wrong: &Mismatch) -> String {
    format!(
        "{}: expected {}, is {}",
        wrong.what, wrong.expected, wrong.is
    )
}

/// A line for each flow, and what is wrong below it.
pub fn text(suites: &[Suite], width: usize, color: bool) -> String {
    let mut out = String::new();
    let (mut flows, mut failed) = (0, 0);
    for suite in suites {
        let (file, ruleset) = (safe::terminal(&suite.file), safe::terminal(&suite.ruleset));
        out += &format!("{file}, ruleset {ruleset}\n");
        for check in &suite.checks {
            flows += 1;
            let good = check.wrong.is_empty();
            failed += usize::from(!good);
            let word = match (good, color) {
                (true, false) => "ok  ".to_string(),
                (true, true) => "ok  ".green().to_string(),
                (false, false) => "FAIL".to_string(),
                (false, true) => "FAIL".red().bold().to_string(),
            };
            out += &format!("  {word}  {}\n", safe::terminal(&check.title()));
            for wrong in &check.wrong {
                let (expected, is) = (safe::terminal(&wrong.expected), safe::terminal(&wrong.is));
                let what = wrong.what;
                let line = format!("        {what}: expected {expected}, is {is}");
                out += &match line.width() <= width {
                    true => line,
                    false => format!("        {what}: expected {expected}\n          is {is}"),
                };
                out.push('\n');
            }
            if !good {
                out += &format!("        see line {}, and `nfpath explain`\n", check.line);
            }
        }
    }
    let passed = flows - failed;
    let noun = if flows == 1 { "flow" } else { "flows" };
    out + &format!("{flows} {noun}: {passed} as expected, {failed} not\n")
}

/// JUnit XML, as most servers read it: one `testsuite` for each file, one `testcase` for each flow.
pub fn junit(suites: &[Suite]) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    // writing to memory cannot fail
    let _ = write_junit(&mut writer, suites);
    let mut text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    text.push('\n');
    text
}

fn write_junit(writer: &mut Writer<Vec<u8>>, suites: &[Suite]) -> std::io::Result<()> {
    let count = |checks: &[Check]| {
        let failed = checks.iter().filter(|check| !check.wrong.is_empty());
        (checks.len().to_string(), failed.count().to_string())
    };
    let all: Vec<Check> = suites
        .iter()
        .flat_map(|suite| suite.checks.clone())
        .collect();
    let (tests, failures) = count(&all);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let root = BytesStart::new("testsuites")
        .with_attributes([("tests", tests.as_str()), ("failures", failures.as_str())]);
    writer.write_event(Event::Start(root))?;
    for suite in suites {
        let (tests, failures) = count(&suite.checks);
        let file = safe::terminal(&suite.file);
        let start = BytesStart::new("testsuite").with_attributes([
            ("name", file.as_str()),
            ("tests", tests.as_str()),
            ("failures", failures.as_str()),
        ]);
        writer.write_event(Event::Start(start))?;
        for check in &suite.checks {
            let (name, line) = (safe::terminal(&check.title()), check.line.to_string());
            let case = BytesStart::new("testcase").with_attributes([
                ("classname", file.as_str()),
                ("name", name.as_str()),
                ("file", file.as_str()),
                ("line", line.as_str()),
            ]);
            if check.wrong.is_empty() {
                writer.write_event(Event::Empty(case))?;
                continue;
            }
            writer.write_event(Event::Start(case))?;
            let lines: Vec<String> = check
                .wrong
                .iter()
                .map(|wrong| safe::terminal(&words(wrong)))
                .collect();
            let message = lines.join("; ");
            let failure =
                BytesStart::new("failure").with_attributes([("message", message.as_str())]);
            writer.write_event(Event::Start(failure))?;
            writer.write_event(Event::Text(BytesText::new(&lines.join("\n"))))?;
            writer.write_event(Event::End(BytesEnd::new("failure")))?;
            writer.write_event(Event::End(BytesEnd::new("testcase")))?;
        }
        writer.write_event(Event::End(BytesEnd::new("testsuite")))?;
    }
    writer.write_event(Event::End(BytesEnd::new("testsuites")))
}
