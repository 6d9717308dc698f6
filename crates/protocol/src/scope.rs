//! The roles a connection can have, and the scopes an operator can hold.

/// The role of a person's client; the default.
pub const ROLE_OPERATOR: &str = "operator";

/// See everything that is not secret.
pub const READ: &str = "operator.read";
/// Talk to the agent, and send.
pub const WRITE: &str = "operator.write";
/// Everything.
pub const ADMIN: &str = "operator.admin";
/// Decide on commands that wait for approval.
pub const APPROVALS: &str = "operator.approvals";
/// Admit devices and people.
pub const PAIRING: &str = "operator.pairing";

/// Every operator scope of protocol 3.
pub const ALL: [&str; 5] = [ADMIN, APPROVALS, PAIRING, READ, WRITE];

/// What a command line asks for.
pub const COMMAND_LINE: [&str; 3] = [ADMIN, APPROVALS, PAIRING];
