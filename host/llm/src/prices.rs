//! What tokens cost. Vendors change their prices: the table has its date, and a configuration can say better.

use sandbar_protocol::Usage;

/// When the prices in the table were written down.
pub const PRICES_AS_OF: &str = "2026-11";

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    pub input: f64,
    pub output: f64,
    /// Of input that came from the provider's cache; none makes it cost as much as other input.
    pub cached: Option<f64>,
}

const OPENAI: &str = "https://api.openai.com/";
const ANTHROPIC: &str = "https://api.anthropic.com/";

/// Who sells it, the model, input, output, cached input.
const TABLE: [(&str, &str, f64, f64, f64); 6] = [
    (OPENAI, "gpt-4o", 2.50, 10.00, 1.25),
    (OPENAI, "gpt-4o-mini", 0.15, 0.60, 0.075),
    (OPENAI, "o1", 15.00, 60.00, 7.50),
    (ANTHROPIC, "claude-opus-4-6", 5.00, 25.00, 0.50),
    (ANTHROPIC, "claude-sonnet-4-6", 3.00, 15.00, 0.30),
    (ANTHROPIC, "claude-haiku-4-5", 1.00, 5.00, 0.10),
];

impl Price {
    /// The price that the table has. Elsewhere than at its vendor a model of the same name may cost anything, or nothing.
    pub fn listed(base_url: &str, model: &str) -> Option<Self> {
        let (_, _, input, output, cached) = TABLE
            .into_iter()
            .find(|(vendor, name, ..)| base_url.starts_with(vendor) && is_release_of(model, name))?;
        Some(Self {
            input,
            output,
            cached: Some(cached),
        })
    }

    /// Unknown as long as either count of tokens is.
    pub fn cost(&self, usage: Usage) -> Option<f64> {
        let (input, output) = (usage.input_tokens?, usage.output_tokens?);
        let cached = usage.cached_tokens.unwrap_or(0).min(input);
        let million = (input - cached) as f64 * self.input
            + cached as f64 * self.cached.unwrap_or(self.input)
            + output as f64 * self.output;
        Some(million / 1e6)
    }
}

/// Whether a model is the named one, or its release of a date such as `-2024-08-06` or `-20251001`.
fn is_release_of(model: &str, name: &str) -> bool {
    model.strip_prefix(name).is_some_and(|rest| {
        let digits: String = rest.chars().filter(|c| *c != '-').collect();
        let dated = rest.starts_with("-20") && digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
        rest.is_empty() || dated
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_of_the_vendor() {
        for (base_url, model, expected) in [
            ("https://api.openai.com/v1", "gpt-4o", Some(2.50)),
            ("https://api.openai.com/v1", "gpt-4o-mini", Some(0.15)),
            ("https://api.openai.com/v1", "gpt-4o-mini-2024-07-18", Some(0.15)),
            ("https://api.openai.com/v1", "gpt-4o-audio", None),
            ("https://api.openai.com/v1", "claude-haiku-4-5", None),
            ("https://api.anthropic.com/v1", "claude-haiku-4-5-20251001", Some(1.00)),
            ("https://api.openai.com.example.org/v1", "gpt-4o", None),
            ("http://127.0.0.1:11434/v1", "gpt-4o", None),
        ] {
            assert_eq!(
                Price::listed(base_url, model).map(|price| price.input),
                expected,
                "{model} at {base_url}"
            );
        }
    }

    #[test]
    fn unknown_stays_unknown() {
        let price = Price {
            input: 2.0,
            output: 10.0,
            cached: Some(1.0),
        };
        let usage = |input, output, cached| Usage {
            input_tokens: input,
            output_tokens: output,
            cached_tokens: cached,
            reasoning_tokens: output,
        };
        for (usage, expected) in [
            (usage(Some(1_000_000), Some(100_000), None), Some(3.0)),
            (usage(Some(1_000_000), Some(0), Some(500_000)), Some(1.5)),
            (usage(Some(10), Some(0), Some(1_000_000)), Some(0.00001)),
            (usage(None, Some(1), None), None),
            (usage(Some(1), None, None), None),
        ] {
            assert_eq!(price.cost(usage), expected, "{usage:?}");
        }
        let flat = Price { cached: None, ..price };
        assert_eq!(flat.cost(usage(Some(1_000_000), Some(0), Some(1_000_000))), Some(2.0));
    }
}
