//! Shows what an edit changed, like a unified diff with line numbers.

use crate::text::{cut, numbered};

/// Places that are shown, lines around each, and lines of each.
const MAX_PLACES: usize = 5;
const AROUND: usize = 2;
const MAX_LINES: usize = 40;
const MAX_LINE_BYTES: usize = 300;

/// Whole lines that an edit replaces.
struct Block {
    start: usize,
    end: usize,
    new: String,
}

/// The number of the line that holds a byte.
pub(super) fn line_number(text: &str, at: usize) -> u64 {
    1 + text[..at].matches('\n').count() as u64
}

/// What replacing `old` by `new` at these places changes.
pub(super) fn changes(text: &str, matches: &[usize], old: &str, new: &str) -> String {
    let blocks = blocks(text, matches, old, new);
    let changed = text.replace(old, new);
    let mut out = String::new();
    // How much longer the text and how many more lines it has got before the block.
    let (mut more_bytes, mut more_lines) = (0_isize, 0_i64);
    for block in blocks.iter().take(MAX_PLACES) {
        let before = line_number(text, block.start);
        let after = before.saturating_add_signed(more_lines);
        let new_start = block.start.saturating_add_signed(more_bytes);
        let new_end = new_start + block.new.len();
        out.push_str(&format!("@@ line {after} @@\n"));
        let above: Vec<&str> = changed[..new_start].lines().rev().take(AROUND).collect();
        for (index, line) in above.iter().enumerate().rev() {
            push(&mut out, ' ', after - 1 - index as u64, line);
        }
        push_all(&mut out, '-', before, &text[block.start..block.end]);
        push_all(&mut out, '+', after, &block.new);
        let below = after + block.new.lines().count() as u64;
        for (index, line) in changed[new_end..].lines().take(AROUND).enumerate() {
            push(&mut out, ' ', below + index as u64, line);
        }
        let old_block = &text[block.start..block.end];
        more_bytes += block.new.len() as isize - old_block.len() as isize;
        more_lines += block.new.lines().count() as i64 - old_block.lines().count() as i64;
    }
    if blocks.len() > MAX_PLACES {
        out.push_str(&format!("[{} more places]\n", blocks.len() - MAX_PLACES));
    }
    out
}

fn blocks(text: &str, matches: &[usize], old: &str, new: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for &at in matches {
        let end = at + old.len();
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        // Where whole lines give way to whole lines, the line after them is not touched.
        let whole = old.ends_with('\n') && (new.ends_with('\n') || (new.is_empty() && start == at));
        let block_end = if whole {
            end
        } else {
            text[end..].find('\n').map_or(text.len(), |newline| end + newline + 1)
        };
        match blocks.last_mut() {
            // On the line of the match before, what followed that one is changed further; on the next line it goes on.
            Some(last) if start <= last.end => {
                let kept = last.new.len() - last.end.saturating_sub(at);
                last.new.truncate(kept);
                last.new.push_str(text.get(last.end..at).unwrap_or_default());
                last.new.push_str(new);
                last.new.push_str(&text[end..block_end]);
                last.end = block_end;
            }
            _ => blocks.push(Block {
                start,
                end: block_end,
                new: [&text[start..at], new, &text[end..block_end]].concat(),
            }),
        }
    }
    blocks
}

fn push_all(out: &mut String, sign: char, first: u64, lines: &str) {
    for (number, line) in (first..).zip(lines.lines().take(MAX_LINES)) {
        push(out, sign, number, line);
    }
    let hidden = lines.lines().count().saturating_sub(MAX_LINES);
    if hidden > 0 {
        out.push_str(&format!("{sign}[{hidden} more lines]\n"));
    }
}

fn push(out: &mut String, sign: char, number: u64, line: &str) {
    out.push(sign);
    out.push_str(&numbered(number, &cut(line, MAX_LINE_BYTES)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets() {
        let check = |text: &str, old: &str, new: &str, expected: &str| {
            let matches: Vec<usize> = text.match_indices(old).map(|(at, _)| at).collect();
            assert_eq!(changes(text, &matches, old, new), expected, "{text:?}");
        };
        check("a b a", "a", "x", "@@ line 1 @@\n-     1\ta b a\n+     1\tx b x\n");
        check("a\nb\n", "a\n", "", "@@ line 1 @@\n-     1\ta\n      1\tb\n");
        check(
            "a\nb\n",
            "a\n",
            "x",
            "@@ line 1 @@\n-     1\ta\n-     2\tb\n+     1\txb\n",
        );
        check(
            "a\nb\n",
            "b",
            "b\nc",
            "@@ line 2 @@\n      1\ta\n-     2\tb\n+     2\tb\n+     3\tc\n",
        );
        check(
            "1\n2\n3\n",
            "2\n",
            "x\ny\n",
            "@@ line 2 @@\n      1\t1\n-     2\t2\n+     2\tx\n+     3\ty\n      4\t3\n",
        );
        let many = "a\n\n".repeat(7);
        let matches: Vec<usize> = many.match_indices('a').map(|(at, _)| at).collect();
        assert!(changes(&many, &matches, "a", "b").ends_with("[2 more places]\n"));
        let long = "x\n".repeat(50);
        assert!(changes(&long, &[0], &long, "y\n").contains("-[10 more lines]\n"));
    }
}
