//! HTML that is being written. Markup can only be a literal of this program; whatever comes from outside comes in as text.
//!
//! Invariant: nothing that a record holds becomes markup, an attribute, a link or a style, and nothing of it is invisible or turns
//! the letters around it: control, bidirectional and zero-width characters are shown as what they are.

use std::fmt::Write as _;

/// Longest text that is shown whole, in bytes. What is longer ends with the words that say where the rest is.
const TEXT_LIMIT: usize = 1 << 20;

/// Texts up to this long, in bytes and without a line break, stand in the line; others get a block of their own.
const LINE_LIMIT: usize = 120;

/// A page, or a part of one.
#[derive(Default)]
pub(super) struct Html {
    out: String,
}

impl Html {
    /// The finished page.
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Markup of ours.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// A number.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        // Writing into a String does not fail.
        let _ = write!(self.out, "{number}");
        self
    }

    /// Text within a sentence or an attribute of ours.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                '\n' | '\t' => self.out.push(c),
                c if is_hidden(c) => {
                    let _ = write!(self.out, "\u{27e8}U+{:04X}\u{27e9}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self
    }

    /// Text that was recorded, marked as such, within a line: `<bdi>` keeps right-to-left text from turning what is beside it.
    pub(super) fn recorded(&mut self, text: &str) -> &mut Self {
        self.markup("<bdi class=\"r\">").text(whole(text)).markup("</bdi>").cut(text)
    }

    /// The same, but no more of it than fits a sentence.
    pub(super) fn quoted(&mut self, text: &str) -> &mut Self {
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let end = line.char_indices().nth(LINE_LIMIT).map_or(line.len(), |(at, _)| at);
        self.markup("<bdi class=\"r\">").text(&line[..end]).markup("</bdi>");
        if line[..end].len() < text.trim().len() { self.markup("…") } else { self }
    }

    /// Recorded text of any length: in the line if it is short, else in a block.
    pub(super) fn value(&mut self, text: &str) -> &mut Self {
        if text.len() <= LINE_LIMIT && !text.contains('\n') {
            return self.recorded(text);
        }
        // A block that scrolls on a screen must be reachable by keyboard. On paper it is shown whole.
        self.markup("<pre class=\"r\" dir=\"auto\" tabindex=\"0\">\n").text(whole(text)).markup("</pre>").cut(text)
    }

    fn cut(&mut self, text: &str) -> &mut Self {
        match text.len() - whole(text).len() {
            0 => self,
            left => self
                .markup("<p class=\"note\">Cut here: ")
                .number(left as u64)
                .markup(" bytes more are in <code>records.jsonl</code>.</p>"),
        }
    }
}

fn whole(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_LIMIT)]
}

/// Characters that are not seen, or that change how others are seen. Of the variation selectors the two that emoji are written
/// with are let through.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164 | 0xfe00..=0xfe0d | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}
