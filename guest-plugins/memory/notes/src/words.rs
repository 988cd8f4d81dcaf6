//! How well texts fit a question: by the words that they share, where a rare word counts for more than a common one.

use std::collections::{BTreeMap, BTreeSet};

/// One score for each text; nothing shared is 0.
pub(crate) fn scores(query: &str, texts: &[String]) -> Vec<f64> {
    let wanted = words(query);
    let texts: Vec<BTreeSet<String>> = texts.iter().map(|text| words(text)).collect();
    let mut holders: BTreeMap<&str, f64> = BTreeMap::new();
    for word in texts.iter().flatten() {
        *holders.entry(word).or_default() += 1.0;
    }
    let all = texts.len() as f64;
    let weight = |word: &String| (1.0 + all / holders.get(word.as_str()).copied().unwrap_or(1.0)).ln();
    texts
        .iter()
        .map(|text| wanted.intersection(text).map(weight).sum())
        .collect()
}

/// Lower case, of letters and digits. Writing without spaces between words gives pairs of characters instead.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for part in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
        let chars: Vec<char> = part.chars().collect();
        if chars.iter().any(|c| is_unspaced(*c)) {
            words.extend(chars.windows(2).map(|pair| pair.iter().collect::<String>()));
        } else if chars.len() > 1 {
            words.insert(part.to_owned());
        }
    }
    words
}

/// Han, kana and Hangul.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_words() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(words(text).into_iter().collect::<Vec<_>>(), expected, "{text}");
        };
        check("", &[]);
        check("A name: ADA's, 42!", &["42", "ada", "name"]);
        check("Größe", &["größe"]);
        check("我住在北京", &["住在", "北京", "在北", "我住"]);
    }

    #[test]
    fn rare_words_count_for_more() {
        let texts = ["the green door", "the green boat", "a green hat", "nothing"].map(str::to_owned);
        let scores = scores("green boat", &texts);
        assert!(scores[1] > 2.0 * scores[0], "{scores:?}");
        assert_eq!((scores[0], scores[3]), (scores[2], 0.0));
    }
}
