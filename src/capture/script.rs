//! The snapshot as a POSIX shell script, for machines without nfpath.
//!
//! Made from the same recipes, so both take the same. Needs sed, tr and the tools that it asks; JSON goes into the file as text, for
//! a shell cannot check it.

use std::fmt::Write;

use crate::load::bundle::{SCHEMA, SCHEMA_VERSION};

use super::{Form, RECIPES, Recipe, SECRETS};

/// What comes before the parts. `@VERSION@` is replaced.
const HEAD: &str = r#"#!/bin/sh
# Writes the facts that nfpath needs of this host to standard output, as one JSON object (nfpath.snapshot).
# Nothing is changed on the host. Run as root:  ssh root@HOST sh < THIS > host.json
# Made by nfpath @VERSION@.

LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
export LC_ALL PATH
umask 077
work=${TMPDIR:-/tmp}/nfpath-snapshot.$$
mkdir "$work" || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
tab=$(printf '\t')

# standard input as a JSON string
string() {
    printf '"'
    tr -d '\000-\010\013-\037\177' |
        sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e "s/$tab/\\\\t/g" -e 's/$/\\n/' | tr -d '\n'
    printf '"'
}

# standard input's first line as a JSON string
line() {
    printf '"'
    sed -n '/[^ ]/{p;q;}' | tr -d '\000-\037\177' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g'
    printf '"'
}

# the file of a program: the shell of BusyBox would take its own applet of that name, whose ip cannot write JSON
file() {
    dirs=$PATH:
    applet=
    while [ -n "$dirs" ]; do
        file=${dirs%%:*}/$1
        dirs=${dirs#*:}
        if [ -f "$file" ] && [ -x "$file" ]; then
            case $(readlink -f "$file" 2>/dev/null) in
            */busybox*) applet=${applet:-$file} ;;
            *)
                printf '%s\n' "$file"
                return
                ;;
            esac
        fi
    done
    [ -n "$applet" ] && printf '%s\n' "$applet"
}

have() {
    file "$1" >/dev/null
}

# run COMMAND...
run() {
    file=$(file "$1") || return 127
    shift
    "$file" "$@"
}

comma=
# begin NAME COMMAND...
begin() {
    printf '%s\n    "%s": {"command": [' "$comma" "$1"
    comma=,
    shift
    between=
    for word in "$@"; do
        printf '%s"%s"' "$between" "$word"
        between=', '
    done
    printf '], '
}

# part FORM NAME VERSION-COMMAND COMMAND...
part() {
    form=$1
    version=$3
    name=$2
    shift 3
    begin "$name" "$@"
    if ! have "$1"; then
        printf '"status": "absent", "error": "%s is not installed"}' "$1"
        return
    fi
    printf '"version": '
    run $version 2>&1 </dev/null | line
    if ! run "$@" >"$work/out" 2>"$work/error" </dev/null; then
        [ -s "$work/error" ] || echo "it failed and did not say why" >"$work/error"
        if grep -q '^BusyBox' "$work/error"; then
            echo "the $1 of BusyBox cannot do this: install the real one" >"$work/error"
        fi
        printf ', "status": "failed", "error": '
        line <"$work/error"
    elif [ "$form" = json ] && ! [ -s "$work/out" ]; then
        printf ', "status": "failed", "error": "it printed nothing"'
    elif [ "$form" = json ] && ! grep -q '^ *[[{]' "$work/out"; then
        printf ', "status": "failed", "error": "it printed no JSON: is this the real %s?"' "$1"
    else
        printf ', "status": "ok", "text": '
        string <"$work/out"
    fi
    printf '}'
}

"#;

/// The script.
pub fn script() -> String {
    let mut out = HEAD.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(
        out,
        r#"printf '{{\n  "schema": "{SCHEMA}/{SCHEMA_VERSION}",\n  "taken": "%s",\n  "hostname": ' "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
uname -n | line
printf ',\n  "kernel": '
uname -r | line
printf ',\n  "tool": {{"nfpath": "{} (script)"}},\n  "parts": {{'
"#,
        env!("CARGO_PKG_VERSION")
    );
    for recipe in &RECIPES {
        part(&mut out, recipe);
    }
    let secrets: Vec<String> = SECRETS.iter().map(|key| format!("-e {key}")).collect();
    let _ = write!(
        out,
        r#"
if have sysctl; then
    begin sysctls sysctl -a -e
    run sysctl -a -e >"$work/all" 2>/dev/null </dev/null
else
    begin sysctls read /proc/sys/net
    find /proc/sys/net -type f 2>/dev/null | while read -r file; do
        value=$(sed -n 1p "$file" 2>/dev/null) && printf '%s = %s\n' "${{file#/proc/sys/}}" "$value"
    done >"$work/all"
fi
grep '^net[./]' "$work/all" | grep -v {} >"$work/out"
if [ -s "$work/out" ]; then
    printf '"status": "ok", "text": '
    string <"$work/out"
else
    printf '"status": "failed", "error": "neither sysctl nor /proc/sys can be read"'
fi
printf '}}\n  }}\n}}\n'
"#,
        secrets.join(" ")
    );
    out
}

fn part(out: &mut String, recipe: &Recipe) {
    let form = match recipe.form {
        Form::Json => "json",
        Form::Text => "text",
    };
    let version = recipe.version.join(" ");
    let line = |command: &[&str]| {
        format!(
            "part {form} {} '{version}' {}",
            recipe.name,
            command.join(" ")
        )
    };
    match recipe.commands {
        [] => {}
        [only] => {
            let _ = writeln!(out, "{}", line(only));
        }
        [rest @ .., last] => {
            for (at, command) in rest.iter().enumerate() {
                let word = if at == 0 { "if" } else { "elif" };
                let program = command.first().copied().unwrap_or_default();
                let _ = writeln!(out, "{word} have {program}; then\n    {}", line(command));
            }
            let _ = writeln!(out, "else\n    {}\nfi", line(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_in_the_script() {
        let script = script();
        for recipe in &RECIPES {
            for command in recipe.commands {
                let words = format!(
                    "{} '{}' {}",
                    recipe.name,
                    recipe.version.join(" "),
                    command.join(" ")
                );
                assert!(script.contains(&words), "{words}");
            }
        }
        assert!(!script.contains("@VERSION"));
    }
}
