//! What a history's people do and how ill its world is, all of it from the seed.

use super::dice::Dice;

/// One history before it happens. Times are in milliseconds from its beginning.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) seed: u64,
    pub(crate) dice: Dice,
    pub(crate) chats: Vec<Chat>,
    /// Whether all chats share one conversation, and with it one lane.
    pub(crate) shared: bool,
    /// In the order of time.
    pub(crate) acts: Vec<Act>,
    /// When a process is asked to stop, and started again.
    pub(crate) stop_at: Option<u64>,
    /// Nothing fails any more from here on.
    pub(crate) calm_at: u64,
    pub(crate) ills: Ills,
}

/// One person's chat with us.
#[derive(Debug, Clone)]
pub(crate) struct Chat {
    /// The person's id, which names the chat as well.
    pub(crate) peer: String,
    /// Whether the store has to be asked whether this person may speak.
    pub(crate) granted: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Act {
    pub(crate) at: u64,
    pub(crate) chat: usize,
    pub(crate) what: What,
}

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Writes the chat's `n`th message.
    Says {
        n: usize,
    },
    /// Changes the words of the `n`th message for the `version`th time.
    Edits {
        n: usize,
        version: usize,
    },
    Stops,
    AsksStatus,
}

/// How often what goes wrong, out of a thousand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ills {
    /// A commit fails, nothing of it kept.
    pub(crate) commit: u64,
    /// A commit is kept, and its caller told that it failed.
    pub(crate) commit_kept: u64,
    /// A question to the store fails.
    pub(crate) read: u64,
    /// A request to the platform or its answer is lost.
    pub(crate) network: u64,
    /// The platform asks us to wait.
    pub(crate) throttled: u64,
    /// The platform refuses a part for good.
    pub(crate) refused: u64,
    /// The platform offers updates again.
    pub(crate) repeated: u64,
    /// The model fails in a way that may pass.
    pub(crate) model: u64,
    /// The process dies at a point that it passes.
    pub(crate) death: u64,
    /// How often it dies at most.
    pub(crate) deaths_max: u64,
    /// When the machine's clock is set back by an hour.
    pub(crate) clock_back_at: Option<u64>,
    /// Longest time that a call of the store takes. Never so short that chats go in step: the prompts
    /// of two first turns are made in a thread, and which is done first is not from the seed.
    pub(crate) store_ms_max: u64,
}

/// The longest history, before calm and quiet.
const STORY_MS_MAX: u64 = 120_000;

impl Story {
    pub(crate) fn of(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let chats: Vec<Chat> = (0..dice.about("chats").within(1..5))
            .map(|index| Chat {
                peer: format!("{}", 1001 + index),
                granted: dice.about("granted").nth(index).falls(250),
            })
            .collect();
        let length = dice.about("length").within(5_000..STORY_MS_MAX);
        let mut acts: Vec<Act> =
            (0..chats.len()).flat_map(|chat| acts(dice, chat, length)).collect();
        acts.sort_by_key(|act| (act.at, act.chat));
        Self {
            seed,
            dice,
            shared: dice.about("shared").falls(250),
            ills: Ills::of(dice, length),
            stop_at: dice.about("stop").falls(200).then(|| dice.about("stop at").below(length)),
            calm_at: length + 5_000,
            chats,
            acts,
        }
    }

    /// How a message is named in its own text and in every part that answers it.
    pub(crate) fn tag(chat: usize, n: usize) -> String {
        format!("m{chat}-{n}")
    }

    /// The session that a chat's messages belong to, as the router computes it.
    pub(crate) fn session(&self, chat: usize) -> String {
        if self.shared {
            "agent:main:main".into()
        } else {
            format!("agent:main:direct:{}", self.chats[chat].peer)
        }
    }
}

/// One person's acts in the order of time; an edit is of a message that was written before.
fn acts(dice: Dice, chat: usize, length: u64) -> Vec<Act> {
    let dice = dice.about("acts").nth(chat as u64);
    let count = dice.about("count").within(1..9);
    // Some write at leisure, some all at once.
    let span = if dice.about("hurry").falls(300) { 2_000.min(length) } else { length };
    let mut times: Vec<u64> =
        (0..count).map(|nth| dice.about("time").nth(nth).below(span)).collect();
    times.sort_unstable();
    times.dedup();
    let (mut said, mut edits) = (0, 0);
    times
        .into_iter()
        .enumerate()
        .map(|(nth, at)| {
            let roll = dice.about("what").nth(nth as u64).below(100);
            let what = match roll {
                0..8 if said > 0 => What::Stops,
                8..14 => What::AsksStatus,
                14..26 if said > 0 => {
                    edits += 1;
                    What::Edits { n: said - 1, version: edits }
                }
                _ => {
                    said += 1;
                    What::Says { n: said - 1 }
                }
            };
            Act { at, chat, what }
        })
        .collect()
}

impl Ills {
    /// Nothing ever fails.
    pub(crate) const NONE: Self = Self {
        commit: 0,
        commit_kept: 0,
        read: 0,
        network: 0,
        throttled: 0,
        refused: 0,
        repeated: 0,
        model: 0,
        death: 0,
        deaths_max: 0,
        clock_back_at: None,
        store_ms_max: 30,
    };

    /// Each illness is absent in many histories, so that the others are seen without it.
    fn of(dice: Dice, length: u64) -> Self {
        let rate = |what: &str, rates: &[u64]| dice.about(what).pick(rates);
        Self {
            commit: rate("commit", &[0, 0, 20, 100]),
            commit_kept: rate("commit kept", &[0, 0, 0, 50]),
            read: rate("read", &[0, 0, 0, 0, 0, 0, 50]),
            network: rate("network", &[0, 20, 100, 300]),
            throttled: rate("throttled", &[0, 0, 50, 200]),
            refused: rate("refused", &[0, 0, 0, 10]),
            repeated: rate("repeated", &[0, 0, 50, 300]),
            model: rate("model", &[0, 0, 50, 300]),
            death: rate("death", &[1, 5, 20, 50]),
            deaths_max: rate("deaths", &[0, 1, 2, 5]),
            clock_back_at: dice
                .about("clock")
                .falls(100)
                .then(|| dice.about("clock back").below(length)),
            store_ms_max: rate("store time", &[30, 60, 100, 400]),
        }
    }
}
