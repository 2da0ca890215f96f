//! `index.html` of a bundle: what happened, told to a person who need not know Tachograph, on screen and on paper.
//!
//! Invariants: one file that loads nothing, runs nothing and links to nothing outside the bundle (its policy forbids it to, and lets
//! only its own style sheet in, by hash). What was recorded is text, visibly set apart from what the page says itself. The page says
//! of itself that it proves nothing. It depends on its input alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tachograph_ledger::{leaf_hash, sha256};

use super::story::{Role, StampTold, Story, Told};
use html::Html;

mod html;
mod parts;
mod sentence;
mod tree;

const STYLE: &str = include_str!("page/style.css");

/// Records beyond this many are not told one by one.
const RECORDS_LIMIT: usize = 1_000;

/// Nor those that would make the page longer than this, in bytes: no browser shows it any more.
const PAGE_LIMIT: usize = 64 << 20;

/// The page as HTML5.
pub fn render(story: &Story<'_>) -> String {
    let mut html = Html::default();
    head(story, &mut html);
    summary(story, &mut html);
    overview(story, &mut html);
    records(story, &mut html);
    proof(story, &mut html);
    limits(story, &mut html);
    html.markup("<footer><p>Made on ").text(&story.created_at.to_string());
    html.markup(" by the clock of whoever made it, from the other files of this folder. Where this page differs from ");
    html.markup("<code>records.jsonl</code>, that file counts.</p></footer>\n</body>\n</html>\n");
    html.finish()
}

fn head(story: &Story<'_>, html: &mut Html) {
    html.markup("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.markup("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
    html.text(&STANDARD.encode(Sha256::digest(STYLE)));
    html.markup("'; base-uri 'none'; form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    html.markup(
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Evidence from ledger ",
    );
    html.text(story.ledger).markup("</title>\n<style>").markup(STYLE).markup("</style>\n</head>\n<body>\n");
}

fn summary(story: &Story<'_>, html: &mut Html) {
    let answers = story.records.iter().filter(|told| told.role == Role::Answer).count();
    html.markup("<header>\n<h1>Evidence from ledger ").text(story.ledger).markup("</h1>\n<p class=\"lead\">");
    html.number(answers as u64).markup(if answers == 1 { " record" } else { " records" });
    html.markup(
        " of what an AI system did, taken out of a tamper-evident log so that you can check them yourself.</p>\n",
    );
    html.markup("<table class=\"facts\">");
    row("Asked for", html, |html| html.recorded(story.selection));
    row("Answered by", html, |html| {
        html.number(answers as u64);
        html.markup(" of the ").number(story.size).markup(" records that the ledger had when its state was signed")
    });
    if let Some((first, last)) = span_of_time(story) {
        row("Happened", html, |html| html.text(&first).markup(" to ").text(&last));
    }
    row("Ledger’s key", html, |html| html.markup("<span class=\"hash\">").text(story.vkey).markup("</span>"));
    row("Signed state", html, |html| {
        html.number(story.size)
            .markup(" records, root <span class=\"hash\">")
            .text(&story.root.to_hex())
            .markup("</span>")
    });
    row("Witnesses", html, |html| match story.witnesses.is_empty() {
        true => html.markup("none"),
        false => html.text(&story.witnesses.join(", ")),
    });
    row("Time stamps", html, |html| match story.not_after.len() + usize::from(story.not_before.is_some()) {
        0 => html.markup("none: the times here are those of the application’s and the recorder’s clocks"),
        _ => {
            for (at, stamp) in story.not_before.iter().chain(&story.not_after).enumerate() {
                html.markup(if at > 0 { "<br>" } else { "" });
                said(stamp, html);
            }
            html
        }
    });
    html.markup("</table>\n<p class=\"legend\">How to read this page: <span class=\"r\">text on this ground</span> was recorded, and is shown ");
    html.markup("as it was recorded. Everything else the page says itself. Characters that can’t be seen are shown by their number, such as ");
    html.markup("⟨U+202E⟩. <strong>This page proves nothing</strong>: it tells what the files beside it say, and those can be checked. ");
    html.markup("How, is said <a href=\"#proof\">below</a> and in <a href=\"VERIFY.md\"><code>VERIFY.md</code></a>.</p>\n</header>\n<main>\n");
}

fn row(label: &'static str, html: &mut Html, value: impl FnOnce(&mut Html) -> &mut Html) {
    html.markup("<tr><th scope=\"row\">").markup(label).markup("</th><td>");
    value(html).markup("</td></tr>\n");
}

/// When the first and the last of the answering events happened, to the second.
fn span_of_time(story: &Story<'_>) -> Option<(String, String)> {
    let times = || story.records.iter().filter(|told| told.role == Role::Answer).map(|told| told.leaf.event_time);
    let words = |nanos| {
        let text = tachograph_record::Time::from_unix_nanos(nanos).ok()?.to_string();
        Some(format!("{} {} UTC", &text[..10], &text[11..19]))
    };
    Some((words(times().min()?)?, words(times().max()?)?))
}

/// The class that sets effects in below their causes.
fn depth_class(depth: usize) -> &'static str {
    ["d0", "d1", "d2", "d3", "d4", "d5"][depth.min(5)]
}

fn overview(story: &Story<'_>, html: &mut Html) {
    html.markup("<h2 id=\"overview\">What happened</h2>\n");
    if story.records.iter().any(|told| told.depth > 0) {
        html.markup("<p class=\"note\">What was caused by something else is set in below it.</p>\n");
    }
    html.markup("<ol class=\"overview\">\n");
    for told in told_records(story) {
        html.markup("<li class=\"").markup(depth_class(told.depth)).markup("\"><a href=\"#record-").number(told.index);
        html.markup("\">№ ").number(told.index).markup("</a>");
        sentence::write(told, html);
        html.markup("</li>\n");
    }
    html.markup("</ol>\n");
    left_out(story.records.len().saturating_sub(RECORDS_LIMIT), html);
}

fn told_records<'s, 'a>(story: &'s Story<'a>) -> impl Iterator<Item = &'s Told<'a>> {
    story.records.iter().take(RECORDS_LIMIT)
}

fn left_out(count: usize, html: &mut Html) {
    if count > 0 {
        html.markup("<p><strong>").number(count as u64);
        html.markup(
            " records more are in this folder</strong>, in <code>records.jsonl</code>, and are not told here.</p>\n",
        );
    }
}

fn records(story: &Story<'_>, html: &mut Html) {
    html.markup("<h2 id=\"records\">The records, one by one</h2>\n");
    let mut told = 0;
    for record in told_records(story) {
        if html.len() > PAGE_LIMIT {
            break;
        }
        article(story, record, html);
        told += 1;
    }
    left_out(story.records.len() - told, html);
}

fn article(story: &Story<'_>, told: &Told<'_>, html: &mut Html) {
    html.markup("<article id=\"record-").number(told.index).markup("\" class=\"").markup(depth_class(told.depth));
    html.markup(match (told.body, told.role) {
        (None, _) => " destroyed",
        (_, Role::Anchor) => " anchor",
        _ => "",
    });
    html.markup("\">\n<header><h3>Record № ").number(told.index);
    if told.depth > 0 {
        html.markup(" <span class=\"cause\">caused by what stands above it</span>");
    }
    html.markup("</h3>\n<p>");
    sentence::write(told, html);
    html.markup("</p></header>\n");
    parts::write(told, html);
    how_proved(story, told, html);
    html.markup("</article>\n");
}

/// For each claim that the bundle makes of a record, what proves it.
fn how_proved(story: &Story<'_>, told: &Told<'_>, html: &mut Html) {
    let mut leaf = Vec::new();
    told.leaf.encode_into(&mut leaf);
    html.markup("<section class=\"part proof\"><h4>How this is proved</h4><table>\n");
    row("Content", html, |html| {
        match told.body {
            Some(body) if sha256(body.as_bytes()) == told.leaf.body_sha256 => {
                html.markup("has the SHA-256 that the seal holds: ")
            }
            Some(_) => html.markup("<strong>has not the SHA-256 that the seal holds</strong>: "),
            None => html.markup("is not here any more. It had the SHA-256 "),
        };
        html.markup("<span class=\"hash\">").text(&told.leaf.body_sha256.to_hex()).markup("</span>, ");
        html.number(told.leaf.body_len).markup(" bytes. <code>records.jsonl</code>, <code>body</code>")
    });
    row("Seal", html, |html| {
        html.markup("is the leaf with the hash <span class=\"hash\">").text(&leaf_hash(&leaf).to_hex());
        html.markup("</span>. <code>records.jsonl</code>, <code>leaf</code>")
    });
    row("Place", html, |html| {
        html.markup("index ")
            .number(told.index)
            .markup(" of ")
            .number(story.size)
            .markup(", by an inclusion proof of ");
        html.number(told.proof_len as u64).markup(" hashes. <code>proofs/").text(&format!("{:020}", told.index));
        html.markup(".tlog-proof</code>")
    });
    html.markup("</table></section>\n");
}

fn said(stamp: &StampTold, html: &mut Html) {
    html.text(&stamp.authority).markup(": ");
    match stamp.said_at {
        Some(at) => html.text(&at.to_string()),
        None => html.markup("its time is in the token"),
    };
    html.markup(" (<code>").text(&stamp.file).markup("</code>)");
}

fn claim(claim: &'static str, html: &mut Html, by: impl FnOnce(&mut Html) -> &mut Html) {
    html.markup("<tr><th scope=\"row\">").markup(claim).markup("</th><td>");
    by(html).markup("</td></tr>\n");
}

fn proof(story: &Story<'_>, html: &mut Html) {
    html.markup("<h2 id=\"proof\">How each claim is proved</h2>\n<table class=\"claims\">\n");
    html.markup("<tr><th scope=\"col\">Claim</th><th scope=\"col\">What proves it, and where it is</th></tr>\n");
    claim("Each record is what was sealed", html, |html| {
        html.markup("Its content has the SHA-256 and the length that its leaf holds (<code>records.jsonl</code>).")
    });
    claim("It stands in the ledger, at its index", html, |html| {
        html.markup("A proof leads from its leaf to the root of the tree over all ").number(story.size);
        html.markup(
            " records (<code>proofs/</code>; RFC 9162). Any program for C2SP <code>tlog-proof</code> can check it.",
        )
    });
    claim("That state of the ledger was signed", html, |html| {
        html.markup("<code>checkpoint</code> has size and root, and the signature of the ledger’s key. ");
        html.markup("<strong>Take that key from elsewhere</strong> and compare it with <code>ledger.vkey</code>: a forger would have put his own there.")
    });
    if let Some((from, to)) = story.covered {
        claim("None of these is missing", html, |html| {
            html.markup("From record № ").number(from).markup(" to № ").number(to);
            html.markup(" of the ledger: the recorder stated how many records each session and each agent has (<code>closed/</code>), and what it stated of this one ");
            html.markup("(<code>streams.json</code>) agrees with the numbers in the records’ seals. Of what lies before and behind nothing is shown, and of other sessions neither name nor content.")
        });
    }
    claim("Others saw the same ledger", html, |html| {
        match story.witnesses.is_empty() {
        true => html.markup("Nothing here: no witness has signed this state."),
        false => html.markup("<code>witnessed</code> has the signatures of ").text(&story.witnesses.join(", "))
            .markup(". Each says that the ledger only grew since that witness first saw it. Their keys must come from elsewhere too."),
    }
    });
    claim("The records were there by a certain time", html, |html| match story.not_after.is_empty() {
        true => html.markup("Nothing here but the clocks of those who recorded: there is no time stamp."),
        false => {
            html.markup("RFC 3161 time stamps over <code>checkpoint</code>: ");
            stamps(&story.not_after, html)
        }
    });
    claim("They were sealed after a certain time", html, |html| match &story.not_before {
        None => html.markup("Nothing here but the recorder’s clock."),
        Some(stamp) => {
            html.markup("A record further up in the ledger holds the hash of an earlier time stamp, ");
            said(stamp, html);
            html.markup(" over <code>not-before.checkpoint</code>. What stands behind that record was sealed later.")
        }
    });
    claim("The files are as they were packed", html, |html| {
        html.markup("<code>MANIFEST.sha256</code>. It finds damage, not forgery.")
    });
    html.markup("</table>\n<p>To check all of it, in this folder, with Python 3.9 or newer and nothing else:</p>\n");
    html.markup("<pre>python3 -I verify.py --key KEY</pre>\n<p>or with DuckDB and OpenSSL (<code>verify.sql</code>, <code>verify.sh</code>). ");
    html.markup("<a href=\"VERIFY.md\"><code>VERIFY.md</code></a> has every step.</p>\n");
}

fn stamps<'h>(stamps: &[StampTold], html: &'h mut Html) -> &'h mut Html {
    for (at, stamp) in stamps.iter().enumerate() {
        html.markup(if at > 0 { "; " } else { "" });
        said(stamp, html);
    }
    html.markup(".")
}

fn limits(story: &Story<'_>, html: &mut Html) {
    html.markup("<h2 id=\"limits\">What this does not prove</h2>\n<ul class=\"limits\">\n");
    html.markup("<li>That what was recorded is true. It is proved what the recorder received, and that it is unchanged since.</li>\n");
    html.markup("<li>That everything that happened was recorded. What an application never sent is not here.</li>\n");
    match story.covered {
        None => html.markup(
            "<li>That nothing else in the ledger belongs to the question, unless a range of indexes was asked for. ",
        ),
        Some((from, to)) => {
            html.markup("<li>That nothing before record № ").number(from).markup(" or behind record № ").number(to);
            html.markup(" of the ledger belongs to the question. ")
        }
    };
    html.markup("Only a check of the whole ledger shows that.</li>\n");
    if story.witnesses.is_empty() {
        html.markup(
            "<li>That the holder of the key showed the same history to others: no witness has signed it.</li>\n",
        );
    }
    if story.not_after.is_empty() {
        html.markup("<li>Any time by a clock of somebody else: there is no time stamp.</li>\n");
    }
    if story.records.iter().any(|told| told.body.is_none()) {
        html.markup("<li>What the records without content said, nor why it is not here: whether the ledger certifies that it was rightly destroyed, a check of the whole ledger shows.</li>\n");
    }
    html.markup("</ul>\n</main>\n");
}

#[cfg(test)]
mod tests;
