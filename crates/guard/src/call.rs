//! Which gateway methods a connection may call, and which guarded events it may hear.

use std::{collections::BTreeSet, fmt};

/// What a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A person's client.
    Operator,
    /// A device that offers its own abilities.
    Node,
}

impl Role {
    /// Reads the word of the wire; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Operator, Self::Node].into_iter().find(|role| role.as_str() == word)
    }

    /// The word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Decide on commands that wait for approval.
    Approvals,
    /// Let devices in.
    Pairing,
    /// Look.
    Read,
    /// Chat and change; looking is included.
    Write,
}

impl Scope {
    const ALL: [Self; 5] = [Self::Admin, Self::Approvals, Self::Pairing, Self::Read, Self::Write];

    /// Reads the word of the wire; `None` for any other, which is then a scope that nobody has.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    /// The word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "operator.admin",
            Self::Approvals => "operator.approvals",
            Self::Pairing => "operator.pairing",
            Self::Read => "operator.read",
            Self::Write => "operator.write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes. Empty is no right at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads the words of the wire; words that are no scope are left out.
    pub fn parse<Word: AsRef<str>>(words: impl IntoIterator<Item = Word>) -> Self {
        words.into_iter().filter_map(|word| Scope::parse(word.as_ref().trim())).collect()
    }

    /// Whether holding these allows what `scope` allows.
    pub fn cover(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
            || self.0.contains(&Scope::Admin)
            || (scope == Scope::Read && self.0.contains(&Scope::Write))
    }

    /// What of `asked` these cover. Whatever is handed on, by approval, rotation or connect, goes
    /// through here once per party, so it is never more than what each of them has.
    pub fn grant(&self, asked: &Self) -> Self {
        asked.iter().filter(|scope| self.cover(*scope)).collect()
    }

    /// In the order of their words.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<Iter: IntoIterator<Item = Scope>>(scopes: Iter) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// Who calls: what the connection was granted when it was made, never what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its role.
    pub role: Role,
    /// Its scopes.
    pub scopes: Scopes,
}

/// What a method asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// An operator with this scope. A method that nobody has classified takes [`Scope::Admin`].
    Operator(Scope),
    /// A node.
    Node,
}

/// Why a call is refused; the text is the protocol's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    /// The operator lacks a scope.
    #[error("missing scope: {0}")]
    MissingScope(Scope),
    /// The method is not for this role.
    #[error("unauthorized role: {0}")]
    UnauthorizedRole(Role),
}

impl CallRefusal {
    /// The rule's stable word.
    pub fn rule(self) -> &'static str {
        match self {
            Self::MissingScope(_) => "scope",
            Self::UnauthorizedRole(_) => "role",
        }
    }
}

/// Whether this caller may call a method that requires this.
///
/// # Errors
/// The refusal, with the text that the client is sent.
pub fn may_call(required: Required, caller: &Caller) -> Result<(), CallRefusal> {
    match (required, caller.role) {
        (Required::Node, Role::Node) => Ok(()),
        (Required::Operator(scope), Role::Operator) if caller.scopes.cover(scope) => Ok(()),
        (Required::Operator(scope), Role::Operator) => Err(CallRefusal::MissingScope(scope)),
        (Required::Node, Role::Operator) | (Required::Operator(_), Role::Node) => {
            Err(CallRefusal::UnauthorizedRole(caller.role))
        }
    }
}

/// The scope that an event is guarded by; `None` for those that every connection hears.
pub fn event_scope(event: &str) -> Option<Scope> {
    let guarded = [
        ("exec.approval.", Scope::Approvals),
        ("device.pair.", Scope::Pairing),
        ("node.pair.", Scope::Pairing),
    ];
    guarded.into_iter().find(|(prefix, _)| event.starts_with(prefix)).map(|(_, scope)| scope)
}

/// Whether this caller hears this event.
pub fn may_hear(event: &str, caller: &Caller) -> bool {
    match event_scope(event) {
        None => true,
        Some(scope) => may_call(Required::Operator(scope), caller).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn caller(role: Role, scopes: &[&str]) -> Caller {
        Caller { role, scopes: Scopes::parse(scopes) }
    }

    #[track_caller]
    fn check(required: Required, role: Role, scopes: &[&str], expected: Result<(), &str>) {
        let answer =
            may_call(required, &caller(role, scopes)).map_err(|refusal| refusal.to_string());
        assert_eq!(answer, expected.map_err(str::to_owned));
    }

    #[test]
    fn each_scope_allows_its_own_and_what_it_includes() {
        // SEC-19: each scope against each requirement.
        let includes: &[(&str, &[Scope])] = &[
            ("operator.read", &[Scope::Read]),
            ("operator.write", &[Scope::Write, Scope::Read]),
            ("operator.approvals", &[Scope::Approvals]),
            ("operator.pairing", &[Scope::Pairing]),
            ("operator.admin", &Scope::ALL),
        ];
        for (held, allowed) in includes {
            for scope in Scope::ALL {
                let missing = format!("missing scope: {scope}");
                let expected =
                    if allowed.contains(&scope) { Ok(()) } else { Err(missing.as_str()) };
                check(Required::Operator(scope), Role::Operator, &[held], expected);
            }
        }
    }

    #[test]
    fn roles_keep_to_their_own_methods() {
        check(Required::Node, Role::Node, &[], Ok(()));
        check(
            Required::Node,
            Role::Operator,
            &["operator.admin"],
            Err("unauthorized role: operator"),
        );
        check(
            Required::Operator(Scope::Read),
            Role::Node,
            &["operator.admin"],
            Err("unauthorized role: node"),
        );
    }

    #[test]
    fn a_scope_that_nobody_knows_gives_nothing() {
        check(
            Required::Operator(Scope::Read),
            Role::Operator,
            &["operator.*", "admin", "OPERATOR.ADMIN"],
            Err("missing scope: operator.read"),
        );
    }

    #[test]
    fn guarded_events_are_for_those_with_their_scope() {
        let hears = |event, role, scopes: &[&str]| may_hear(event, &caller(role, scopes));
        assert!(hears("chat", Role::Node, &[]));
        assert!(hears("device.pair.requested", Role::Operator, &["operator.pairing"]));
        assert!(hears("exec.approval.resolved", Role::Operator, &["operator.admin"]));
        assert!(!hears("exec.approval.requested", Role::Operator, &["operator.pairing"]));
        assert!(!hears("node.pair.requested", Role::Node, &["operator.admin"]));
        assert!(!hears("device.pair.resolved", Role::Operator, &[]));
    }

    proptest! {
        /// SEC-06, SEC-08, SEC-16: what is granted was asked for and is covered by what is held;
        /// holding nothing grants nothing.
        #[test]
        fn a_grant_is_never_wider_than_either_side(
            held in prop::collection::vec(select(Scope::ALL.to_vec()), 0..5),
            asked in prop::collection::vec(select(Scope::ALL.to_vec()), 0..5),
        ) {
            let (held, asked): (Scopes, Scopes) = (held.into_iter().collect(), asked.into_iter().collect());
            let granted = held.grant(&asked);
            prop_assert!(granted.iter().all(|scope| held.cover(scope) && asked.0.contains(&scope)));
            prop_assert!(!held.is_empty() || granted.is_empty());
        }
    }
}
