//! What a history's people do and how ill its world is, all of it from the seed.

use super::{dice::Dice, history::on_disk};

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
    /// When a process, the first where there are several, is asked to stop, and started again.
    pub(crate) stop_at: Option<u64>,
    /// How many gateways share the store; one has it alone.
    pub(crate) gateways: u32,
    /// For how long each of several gateways takes its lease.
    pub(crate) lease_ms: u64,
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
    /// A client of a gateway writes the `n`th message into the chat's conversation.
    Asks {
        n: usize,
    },
}

impl Act {
    /// Whether it comes from a client of a gateway and not over the platform.
    pub(crate) fn is_a_clients(&self) -> bool {
        matches!(self.what, What::Asks { .. })
    }
}

impl What {
    /// Which message of the chat it is about; 0 where it is about none.
    pub(crate) fn number(self) -> usize {
        match self {
            Self::Says { n } | Self::Edits { n, .. } | Self::Asks { n } => n,
            Self::Stops | Self::AsksStatus => 0,
        }
    }
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
    /// One of several gateways is stopped at a point that it passes, and wakes later.
    pub(crate) stop: u64,
    /// How often that happens at most.
    pub(crate) stops_max: u64,
    /// One of several gateways is cut off from the store for a while.
    pub(crate) cut: u64,
    /// How often that happens at most.
    pub(crate) cuts_max: u64,
    /// How far the clocks of several gateways are apart, each from the next. Unit: milliseconds.
    pub(crate) skew_ms: i64,
    /// When the machine's clock is set back by an hour.
    pub(crate) clock_back_at: Option<u64>,
    /// Longest time that a call of the store takes. Never so short that chats go in step: the prompts
    /// of two first turns are made in a thread, and which is done first is not from the seed.
    pub(crate) store_ms_max: u64,
}

/// How long a gateway that has the store alone waits for a delivery. Unit: milliseconds.
const DELIVERY_MS_MAX: u64 = 30_000;

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
        let gateways = match seed % 3 {
            0 if !on_disk(seed) => dice.about("gateways").within(2..4) as u32,
            _ => 1,
        };
        let mut acts: Vec<Act> =
            (0..chats.len()).flat_map(|chat| acts(dice, chat, length, gateways > 1)).collect();
        acts.sort_by_key(|act| (act.at, act.chat));
        Self {
            seed,
            dice,
            shared: dice.about("shared").falls(250),
            ills: Ills::of(dice, length),
            stop_at: dice.about("stop").falls(200).then(|| dice.about("stop at").below(length)),
            gateways,
            lease_ms: dice.about("lease").within(6..31) * 1_000,
            calm_at: length + 5_000,
            chats,
            acts,
        }
    }

    /// How a message is named in its own text and in every part that answers it.
    pub(crate) fn tag(chat: usize, n: usize) -> String {
        format!("m{chat}-{n}")
    }

    /// How long a gateway waits for a delivery. Unit: milliseconds.
    pub(crate) fn delivery_ms_max(&self) -> u64 {
        match self.gateways {
            1 => DELIVERY_MS_MAX,
            _ => DELIVERY_MS_MAX.min(self.lease_ms / 6),
        }
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

/// One person's acts in the order of time; an edit is of a message that was written before. Where
/// there are several gateways, some of the person's messages come from a client.
fn acts(dice: Dice, chat: usize, length: u64, clients: bool) -> Vec<Act> {
    let dice = dice.about("acts").nth(chat as u64);
    let count = dice.about("count").within(1..9);
    // Some write at leisure, some all at once.
    let span = if dice.about("hurry").falls(300) { 2_000.min(length) } else { length };
    let mut times: Vec<u64> =
        (0..count).map(|nth| dice.about("time").nth(nth).below(span)).collect();
    times.sort_unstable();
    times.dedup();
    let (mut said, mut edits) = (0, 0);
    let mut written = None;
    times
        .into_iter()
        .enumerate()
        .map(|(nth, at)| {
            let roll = dice.about("what").nth(nth as u64).below(100);
            let what = match (roll, written) {
                (0..8, _) if said > 0 => What::Stops,
                (8..14, _) => What::AsksStatus,
                (14..26, Some(n)) => {
                    edits += 1;
                    What::Edits { n, version: edits }
                }
                _ => {
                    said += 1;
                    if clients && dice.about("client").nth(nth as u64).falls(300) {
                        What::Asks { n: said - 1 }
                    } else {
                        written = Some(said - 1);
                        What::Says { n: said - 1 }
                    }
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
        stop: 0,
        stops_max: 0,
        cut: 0,
        cuts_max: 0,
        skew_ms: 0,
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
            stop: rate("stopped", &[1, 5, 20]),
            stops_max: rate("stops", &[0, 1, 2, 4]),
            cut: rate("cut", &[1, 5, 20]),
            cuts_max: rate("cuts", &[0, 0, 1, 2]),
            skew_ms: dice.about("skew").pick(&[0, 0, 700, -5_000, 20_000]),
            clock_back_at: dice
                .about("clock")
                .falls(100)
                .then(|| dice.about("clock back").below(length)),
            store_ms_max: rate("store time", &[30, 60, 100, 400]),
        }
    }
}
