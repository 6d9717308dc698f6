//! How numbers are put for people.

/// How long something took or is ago.
pub(crate) fn duration(ms: u64) -> String {
    let (s, min, h, day) = (1000, 60_000, 3_600_000, 86_400_000);
    match ms {
        _ if ms < s => format!("{ms} ms"),
        _ if ms < min => format!("{} s", ms / s),
        _ if ms < h => format!("{} min", ms / min),
        _ if ms < 2 * day => format!("{} h", ms / h),
        _ => format!("{} days", ms / day),
    }
}

/// `one` or `many`, with the number before it.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

/// Rows with every column but the last as wide as its widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_their_largest_unit() {
        let told: Vec<_> =
            [999, 1000, 59_999, 60_000, 3_600_000, 90_000_000, 172_800_000].map(duration).into();
        assert_eq!(told, ["999 ms", "1 s", "59 s", "1 min", "1 h", "25 h", "2 days"]);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["a".into(), "b".into()], vec!["long".into(), "ü".into(), "c".into()]];
        assert_eq!(table(&rows), "a     b\nlong  ü  c");
    }
}
