//! How the tables of this crate write a set of paths: `models.providers.*.models[].id`.

/// One step of such a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Key(String),
    /// `*`: any key.
    AnyKey,
    /// `[]`: any item of a list.
    AnyItem,
    /// `**`: everything below.
    Rest,
}

/// The steps of `pattern`; every text is one.
pub(crate) fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for part in pattern.split('.') {
        let name = part.trim_end_matches("[]");
        pieces.push(match name {
            "*" => Piece::AnyKey,
            "**" => Piece::Rest,
            name => Piece::Key(name.to_owned()),
        });
        let items = (part.len() - name.len()) / "[]".len();
        pieces.extend(std::iter::repeat_n(Piece::AnyItem, items));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_path_with_placeholders() {
        let key = |name: &str| Piece::Key(name.to_owned());
        let check = |pattern: &str, expected: &[Piece]| assert_eq!(pieces(pattern), expected);
        check("a.*.b-c[].d", &[key("a"), Piece::AnyKey, key("b-c"), Piece::AnyItem, key("d")]);
        check("a[][].**", &[key("a"), Piece::AnyItem, Piece::AnyItem, Piece::Rest]);
    }
}
