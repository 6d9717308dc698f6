//! How a schema is read from its notation.

use std::str::FromStr;

use super::{Bounds, Field, Schema};

/// A schema's text that cannot be read: a mistake in our own tables, not in a client's frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at `{rest}`")]
pub struct NotationError {
    expected: &'static str,
    rest: String,
}

impl Schema {
    /// Reads the notation that the module's front page describes.
    ///
    /// # Errors
    /// [`NotationError`] shows the place that could not be read.
    pub fn parse(notation: &str) -> Result<Self, NotationError> {
        let mut reader = Reader { rest: notation };
        let schema = reader.any_of()?;
        if reader.rest.trim_start().is_empty() { Ok(schema) } else { reader.fail("the end") }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn any_of(&mut self) -> Result<Schema, NotationError> {
        let first = self.listed()?;
        if !self.eat("|") {
            return Ok(first);
        }
        let mut options = vec![first, self.listed()?];
        while self.eat("|") {
            options.push(self.listed()?);
        }
        Ok(Schema::AnyOf(options))
    }

    /// A single schema and the `[]`s after it.
    fn listed(&mut self) -> Result<Schema, NotationError> {
        let mut schema = self.single()?;
        while self.eat("[]") {
            let length = if self.eat("{") { self.bounds("}")? } else { Bounds::default() };
            schema = Schema::List(Box::new(schema), length);
        }
        Ok(schema)
    }

    fn single(&mut self) -> Result<Schema, NotationError> {
        if self.eat("{") {
            return self.object();
        }
        if self.eat("(") {
            let inner = self.any_of()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.eat("\"") {
            let (text, rest) = self.rest.split_once('"').ok_or_else(|| self.error("\""))?;
            self.rest = rest;
            return Ok(Schema::Const(text.into()));
        }
        if self.rest.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Schema::Const(self.number::<i64>()?.into()));
        }
        match self.word() {
            "any" => Ok(Schema::Any),
            "null" => Ok(Schema::Null),
            "bool" => Ok(Schema::Bool),
            "str" => self.text(),
            "int" => Ok(Schema::Int(self.range()?)),
            "num" => Ok(Schema::Num(self.range()?)),
            "map" => {
                self.expect("<")?;
                let value = self.any_of()?;
                self.expect(">")?;
                Ok(Schema::Map(Box::new(value)))
            }
            _ => self.fail("a schema"),
        }
    }

    fn object(&mut self) -> Result<Schema, NotationError> {
        let (mut fields, mut open) = (Vec::new(), false);
        while !self.eat("}") {
            if self.eat("…") {
                open = true;
            } else {
                fields.push(self.field()?);
            }
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Schema::Object { fields, open })
    }

    fn field(&mut self) -> Result<Field, NotationError> {
        let name = self.word().to_owned();
        if name.is_empty() {
            return self.fail("a key");
        }
        let required = !self.eat("?");
        self.expect(":")?;
        Ok(Field { name, required, schema: self.any_of()? })
    }

    fn text(&mut self) -> Result<Schema, NotationError> {
        let min = self.eat("+").then_some(1);
        let max = if self.eat("≤") { Some(self.number()?) } else { None };
        Ok(Schema::Str(Bounds { min, max }))
    }

    /// `[a..b]` after a number; `[]` is left for the list.
    fn range<T: FromStr>(&mut self) -> Result<Bounds<T>, NotationError> {
        if self.rest.starts_with("[]") || !self.eat("[") {
            return Ok(Bounds::default());
        }
        self.bounds("]")
    }

    fn bounds<T: FromStr>(&mut self, end: &'static str) -> Result<Bounds<T>, NotationError> {
        let min = if self.eat("..") {
            None
        } else {
            let min = self.number()?;
            self.expect("..")?;
            Some(min)
        };
        let max = if self.eat(end) {
            None
        } else {
            let max = self.number()?;
            self.expect(end)?;
            Some(max)
        };
        Ok(Bounds { min, max })
    }

    fn number<T: FromStr>(&mut self) -> Result<T, NotationError> {
        self.rest = self.rest.trim_start();
        let digits = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let (number, rest) = self.rest.split_at(self.rest.len() - digits.len());
        let number = number.parse().map_err(|_| self.error("a number"))?;
        self.rest = rest;
        Ok(number)
    }

    fn word(&mut self) -> &str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &'static str) -> Result<(), NotationError> {
        if self.eat(token) { Ok(()) } else { self.fail(token) }
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, NotationError> {
        Err(self.error(expected))
    }

    fn error(&self, expected: &'static str) -> NotationError {
        NotationError { expected, rest: self.rest.chars().take(40).collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(notation: &str, schema: Schema) {
        assert_eq!(Schema::parse(notation), Ok(schema), "{notation}");
    }

    fn text(min: Option<usize>, max: Option<usize>) -> Schema {
        Schema::Str(Bounds { min, max })
    }

    fn list(item: Schema, min: Option<usize>, max: Option<usize>) -> Schema {
        Schema::List(Box::new(item), Bounds { min, max })
    }

    #[test]
    fn every_form_of_the_notation_is_read() {
        check("any", Schema::Any);
        check("str", text(None, None));
        check("str+≤64", text(Some(1), Some(64)));
        check("str≤100", text(None, Some(100)));
        check("int[1..1000]", Schema::Int(Bounds { min: Some(1), max: Some(1000) }));
        check("int[0..]", Schema::Int(Bounds { min: Some(0), max: None }));
        check("num[..1]", Schema::Num(Bounds { min: None, max: Some(1.0) }));
        check("int[]", list(Schema::Int(Bounds::default()), None, None));
        check("str+[]{2..12}", list(text(Some(1), None), Some(2), Some(12)));
        check("map<bool>", Schema::Map(Box::new(Schema::Bool)));
        check(
            "(str | null)[]",
            list(Schema::AnyOf(vec![text(None, None), Schema::Null]), None, None),
        );
        check("\"a\" | 1", Schema::AnyOf(vec![Schema::Const("a".into()), Schema::Const(1.into())]));
        check(
            "{ a?: bool, b: {}, … }",
            Schema::Object {
                fields: vec![
                    Field { name: "a".into(), required: false, schema: Schema::Bool },
                    Field {
                        name: "b".into(),
                        required: true,
                        schema: Schema::Object { fields: vec![], open: false },
                    },
                ],
                open: true,
            },
        );
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        for (notation, message) in [
            ("{a: strange}", "expected a schema at `}`"),
            ("{a bool}", "expected : at ` bool}`"),
            ("{a: bool", "expected } at ``"),
            ("str str", "expected the end at ` str`"),
            ("int[a..]", "expected a number at `a..]`"),
            ("\"open", "expected \" at `open`"),
        ] {
            assert_eq!(Schema::parse(notation).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn no_notation_makes_the_reader_panic(text in r#"[a-z{}\[\]()<>|?:,.+≤…" 0-9]{0,40}"#) {
            let _ = Schema::parse(&text);
        }
    }
}
