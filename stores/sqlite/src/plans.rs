//! Whether every statement of a message's way finds its rows by an index.

use std::path::Path;

use rusqlite::Connection;

use crate::{delivery, event, lease, migrate::migrate, people, session, transcript};

/// The steps of a plan that read or sort more than they return.
fn slow_steps(conn: &Connection, sql: &str) -> Vec<String> {
    let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound = vec![rusqlite::types::Null; plan.parameter_count()];
    let steps =
        plan.query_map(rusqlite::params_from_iter(unbound), |row| row.get::<_, String>(3)).unwrap();
    steps
        .map(Result::unwrap)
        .filter(|step| step.starts_with("SCAN") || step.contains("TEMP B-TREE"))
        .collect()
}

#[test]
fn no_statement_of_a_messages_way_scans_or_sorts() {
    let mut conn = Connection::open_in_memory().unwrap();
    migrate(&mut conn, Path::new("f")).unwrap();
    let statements = [
        &lease::HOT[..],
        &event::HOT,
        &session::HOT,
        &transcript::HOT,
        &delivery::HOT,
        &people::HOT,
    ]
    .concat();
    // Each of these walks an index, or a table of one row, in its own order and stops at its limit.
    let walks = ["outbox USING INDEX outbox_pending", "usage"];
    for sql in statements {
        let mut slow = slow_steps(&conn, sql);
        slow.retain(|step| {
            !walks.iter().any(|walk| step.strip_prefix("SCAN ").is_some_and(|of| of == *walk))
        });
        assert!(slow.is_empty(), "{sql}\n{slow:?}");
    }
}
