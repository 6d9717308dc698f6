//! Which words are commands, and what the gateway itself answers to them.

/// A chat command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// End what runs in this session now.
    Stop,
    /// Begin the conversation anew; words after the command are sent to the model.
    Anew {
        /// Which word was used: `new` or `reset`.
        word: &'static str,
        /// What is left for the model.
        rest: Option<String>,
    },
    /// Show how the session is doing.
    Status,
    /// Show the commands.
    Help,
}

/// Bare words that stop a run, as in OpenClaw.
const STOP_WORDS: &[&str] = &["stop", "esc", "abort", "wait", "exit", "interrupt"];

/// What `/help` answers: the commands that work here, in the layout that OpenClaw's users know.
pub const HELP: &str =
    "ℹ️ Help\n\nSession\n  /new  |  /reset  |  /stop\n\nStatus\n  /status  |  /help";

/// What `/stop` answers when something ran, and when nothing did.
pub(crate) const STOPPED: &str = "⚙️ Agent was aborted.";
pub(crate) const NOTHING_TO_STOP: &str = "⚙️ Nothing was running.";

impl Command {
    /// The command that a text is, if it is one. A `:` after the word is accepted.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if STOP_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Some(Self::Stop);
        }
        let body = text.strip_prefix('/')?;
        let end = body.find(|c: char| c.is_whitespace() || c == ':').unwrap_or(body.len());
        let (word, rest) = body.split_at(end);
        let rest = rest.trim_start_matches(':').trim();
        let alone = rest.is_empty();
        match word.to_ascii_lowercase().as_str() {
            "stop" if alone => Some(Self::Stop),
            "status" if alone => Some(Self::Status),
            "help" if alone => Some(Self::Help),
            "new" => Some(Self::Anew { word: "new", rest: (!alone).then(|| rest.to_owned()) }),
            "reset" => Some(Self::Anew { word: "reset", rest: (!alone).then(|| rest.to_owned()) }),
            _ => None,
        }
    }
}

/// What `/status` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCard {
    /// Our version.
    pub version: String,
    /// `provider/model`.
    pub model: String,
    /// How the provider is paid: `api-key`, `none`.
    pub auth: String,
    /// Tokens that the session's calls read and wrote.
    pub tokens: (u64, u64),
    /// The last prompt, and the model's window. Unit: tokens.
    pub context: (u64, u64),
    /// How often the conversation was compacted.
    pub compactions: u64,
    /// How long it thinks.
    pub thinking: String,
    /// When something last happened, in words.
    pub updated: String,
    /// The price so far, where costs are configured.
    pub cost: Option<String>,
}

impl StatusCard {
    /// The card as text, line by line as OpenClaw shows it.
    pub fn render(&self, session: &claw_domain::SessionKey, waiting: usize) -> String {
        let (used, window) = self.context;
        let percent = (used * 100).checked_div(window).unwrap_or(0);
        let cost = self.cost.as_ref().map_or_else(String::new, |cost| format!(" · 💵 {cost}"));
        format!(
            "🦞 Rusty Claw {}\n🧠 Model: {} · 🔑 {}\n🧮 Tokens: {} in / {} out{cost}\n📚 Context: {}/{} ({percent}%) · 🧹 Compactions: {}\n🧵 Session: {session} • updated {}\n⚙️ Runtime: direct · Think: {}\n🪢 Queue: followup (depth {waiting})",
            self.version,
            self.model,
            self.auth,
            short(self.tokens.0),
            short(self.tokens.1),
            short(used),
            short(window),
            self.compactions,
            self.updated,
            self.thinking,
        )
    }
}

/// 999, 1.2k, 128k, 1.5m.
fn short(tokens: u64) -> String {
    let scaled = |unit: f64, name: &str| {
        let value = tokens as f64 / unit;
        if value < 10.0 && (value * 10.0).round() % 10.0 != 0.0 {
            format!("{value:.1}{name}")
        } else {
            format!("{value:.0}{name}")
        }
    };
    match tokens {
        0..1_000 => tokens.to_string(),
        1_000..1_000_000 => scaled(1e3, "k"),
        _ => scaled(1e6, "m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anew(word: &'static str, rest: Option<&str>) -> Option<Command> {
        Some(Command::Anew { word, rest: rest.map(Into::into) })
    }

    #[test]
    fn commands_are_found_and_everything_else_is_a_message() {
        for (text, command) in [
            ("/stop", Some(Command::Stop)),
            (" STOP ", Some(Command::Stop)),
            ("interrupt", Some(Command::Stop)),
            ("stop it please", None),
            ("/stop it please", None),
            ("/status", Some(Command::Status)),
            ("/status:", Some(Command::Status)),
            ("/Help", Some(Command::Help)),
            ("/new", anew("new", None)),
            ("/new what is up?", anew("new", Some("what is up?"))),
            ("/reset: go\non", anew("reset", Some("go\non"))),
            ("/newer", None),
            ("/", None),
            ("", None),
            ("hello /status", None),
        ] {
            assert_eq!(Command::parse(text), command, "{text:?}");
        }
    }

    #[test]
    fn the_status_card_reads_as_it_always_did() {
        let card = StatusCard {
            version: "0.1.0".into(),
            model: "mocka/mock-a".into(),
            auth: "api-key".into(),
            tokens: (11, 1_234),
            context: (11, 128_000),
            compactions: 0,
            thinking: "low".into(),
            updated: "just now".into(),
            cost: Some("$0.0123".into()),
        };
        insta::assert_snapshot!(card.render(&"agent:main:main".into(), 0), @r"
        🦞 Rusty Claw 0.1.0
        🧠 Model: mocka/mock-a · 🔑 api-key
        🧮 Tokens: 11 in / 1.2k out · 💵 $0.0123
        📚 Context: 11/128k (0%) · 🧹 Compactions: 0
        🧵 Session: agent:main:main • updated just now
        ⚙️ Runtime: direct · Think: low
        🪢 Queue: followup (depth 0)
        ");
    }
}
