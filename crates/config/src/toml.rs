//! TOML text as a tree, with the place of every key and value.

use serde_json::Number;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::json5::SyntaxError;
use crate::tree::{Entry, Lines, Node, Value};

/// Parses `text`; origins say that it is file number `file`. Dates become strings.
///
/// # Errors
/// The first place where the text is not TOML, or holds a number that JSON cannot carry.
pub fn parse(text: &str, file: usize) -> Result<Node, SyntaxError> {
    let lines = Lines::new(text, file);
    let table = DeTable::parse(text).map_err(|error| SyntaxError {
        message: error.message().to_owned(),
        at: lines.origin(error.span().unwrap_or(0..0)),
    })?;
    let origin = lines.origin(table.span());
    Ok(Node { value: object(table.get_ref(), &lines)?, origin })
}

fn object(table: &DeTable<'_>, lines: &Lines<'_>) -> Result<Value, SyntaxError> {
    let mut entries = table
        .iter()
        .map(|(key, value)| {
            Ok(Entry {
                key: key.get_ref().to_string(),
                key_origin: lines.origin(key.span()),
                node: node(value, lines)?,
            })
        })
        .collect::<Result<Vec<_>, SyntaxError>>()?;
    // The table is sorted by key; the file's own order is what people expect to see again.
    entries.sort_by_key(|entry| entry.key_origin.start);
    Ok(Value::Object(entries))
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Result<Node, SyntaxError> {
    let origin = lines.origin(value.span());
    let number = |number: Option<Number>| {
        let message = "the number is too large, or not finite".to_owned();
        number.map(Value::Number).ok_or(SyntaxError { message, at: origin })
    };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Integer(digits) => {
            let whole = i128::from_str_radix(digits.as_str(), digits.radix());
            number(whole.ok().and_then(Number::from_i128))?
        }
        DeValue::Float(digits) => number(digits.as_str().parse().ok().and_then(Number::from_f64))?,
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| node(item, lines)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => object(table, lines)?,
    };
    Ok(Node { value, origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_is_read_as_the_same_tree_in_the_files_order() {
        let text = "z = 1_000\na.b = 0x1f\n[t]\nd = 2026-01-02\nf = 1.5\nl = [true, 'x']\n[[t.list]]\nk = -1";
        assert_eq!(
            parse(text, 0).unwrap().to_json().to_string(),
            r#"{"z":1000,"a":{"b":31},"t":{"d":"2026-01-02","f":1.5,"l":[true,"x"],"list":[{"k":-1}]}}"#
        );
    }

    #[test]
    fn every_value_knows_its_place() {
        let tree = parse("[a]\nb = 'x'\n", 2).unwrap();
        let origin = tree.get(&"a.b".parse().unwrap()).unwrap().origin;
        assert_eq!((origin.file, origin.start, origin.line, origin.column), (2, 8, 2, 5));
        assert_eq!(tree.get(&"a".parse().unwrap()).unwrap().entries()[0].key_origin.column, 1);
    }

    #[test]
    fn what_is_not_toml_is_refused_at_its_place() {
        let at = |text| {
            let error = parse(text, 0).unwrap_err();
            (error.at.line, error.at.column)
        };
        assert_eq!(at("a = 1\nb = = 2"), (2, 5));
        assert_eq!(at("a = 1\na = 2"), (2, 1));
        assert_eq!(at("x = nan"), (1, 5));
    }
}
