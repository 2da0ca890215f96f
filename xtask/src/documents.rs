//! Checks the Markdown pages: every link to a file or a heading of this repository must lead somewhere.
//! Links to the web are not followed, because a test must not depend on somebody else's server.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use crate::place::Place;
use crate::tally::Tally;

/// One check for each page.
pub(crate) fn run(place: &Place, tally: &mut Tally) -> Result<()> {
    for page in place.find_sources(&|name| name.ends_with(".md"))? {
        let name = page.strip_prefix(place.root()).unwrap_or(&page).display().to_string();
        let text = std::fs::read_to_string(&page).with_context(|| format!("can't read {name}"))?;
        let folder = page.parent().unwrap_or(place.root());
        let dead: Vec<_> = links(&text).into_iter().filter(|link| !leads_somewhere(link, folder, &text)).collect();
        tally.check(dead.is_empty(), &format!("{name}: nothing is at {}", dead.join(", ")));
    }
    Ok(())
}

fn leads_somewhere(link: &str, folder: &Path, text: &str) -> bool {
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    if link.contains("://") || link.starts_with("mailto:") {
        return true;
    }
    let target = folder.join(file);
    match heading {
        None => target.exists(),
        Some(heading) if file.is_empty() => anchors(text).contains(heading),
        Some(heading) if file.ends_with(".md") => {
            std::fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(heading))
        }
        // Line numbers and the like, in files that are not pages.
        Some(_) => target.exists(),
    }
}

/// The lines that are prose: not in a fenced block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of `[text](target)` and of `[name]: target`.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let line = without_code(line);
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                found.extend(target.split_whitespace().next().map(str::to_owned));
            }
        }
        if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.extend(target.split_whitespace().next().map(str::to_owned));
        }
    }
    found
}

fn without_code(line: &str) -> String {
    // Every second part stands between two backticks.
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The anchors of a page's headings, made as the usual Markdown sites make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let base: String = line
            .trim_matches(|c: char| c == '#' || c.is_whitespace())
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let mut anchor = base.clone();
        let mut again = 0;
        while !found.insert(anchor) {
            again += 1;
            anchor = format!("{base}-{again}");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{anchors, leads_somewhere, links};

    #[test]
    fn links_are_found_in_prose_only() {
        let text = "[a](one.md) and `[b](code.md)` ![c](two.png \"title\")\n```\n[d](fenced.md)\n```\n[e]: three.md\n";
        assert_eq!(links(text), ["one.md", "two.png", "three.md"]);
    }

    #[test]
    fn anchors_follow_the_headings() {
        let found = anchors("# The seal, v1\n## Twice\n## Twice\n```\n# not one\n```\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["the-seal-v1", "twice", "twice-1"]);
    }

    #[test]
    fn dead_links_are_told_from_live_ones() {
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = "# Here\n";
        for live in ["Cargo.toml", "src/main.rs#L3", "#here", "proto://elsewhere/x", "../LICENSE"] {
            assert!(leads_somewhere(live, here, text), "{live}");
        }
        for dead in ["absent.toml", "absent.md#x", "#there"] {
            assert!(!leads_somewhere(dead, here, text), "{dead}");
        }
    }
}
