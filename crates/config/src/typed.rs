//! A part of the tree as a Rust type, with every misfit shown where it was written.

use std::fmt::{self, Display};

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::path::Path;
use crate::tree::{Entry, Node, Origin, Value};

/// Why a value is not of the type that its key needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) message: String,
    /// Known as soon as the error has passed the value that it is about.
    pub(crate) place: Option<(Path, Origin)>,
}

/// Reads `node`, which stands at `path`, as a `T`.
///
/// # Errors
/// The first value that does not fit.
pub(crate) fn read<T: DeserializeOwned>(node: &Node, path: &Path) -> Result<T, Misfit> {
    T::deserialize(Typed { node, path: path.clone() })
}

struct Typed<'a> {
    node: &'a Node,
    path: Path,
}

impl Typed<'_> {
    fn place<T>(&self, result: Result<T, Misfit>) -> Result<T, Misfit> {
        result.map_err(|misfit| {
            let place = misfit.place.or_else(|| Some((self.path.clone(), self.node.origin)));
            Misfit { place, ..misfit }
        })
    }
}

impl<'de> Deserializer<'de> for Typed<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.place(match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) => visitor.visit_str(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(whole), ..) => visitor.visit_u64(whole),
                (None, Some(whole), _) => visitor.visit_i64(whole),
                (None, None, Some(float)) => visitor.visit_f64(float),
                (None, None, None) => Err(de::Error::custom("the number is too large")),
            },
            Value::Array(items) => {
                visitor.visit_seq(Items { left: items, next: 0, path: &self.path })
            }
            Value::Object(entries) => {
                visitor.visit_map(Entries { left: entries, value: None, path: &self.path })
            }
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.node.value {
            Value::Object(_) => self.deserialize_any(visitor),
            // A list would be taken for the fields in order.
            _ => self.place(Err(de::Error::invalid_type(kind(self.node), &"an object"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let (node, path) = (self.node, self.path.clone());
        self.place(visitor.visit_newtype_struct(Typed { node, path }))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.place(match &self.node.value {
            Value::String(word) => {
                let word: StrDeserializer<'_, Misfit> = word.as_str().into_deserializer();
                visitor.visit_enum(word)
            }
            Value::Object(entries) if entries.len() == 1 => {
                visitor.visit_enum(Variant { entry: &entries[0], path: &self.path })
            }
            _ => Err(de::Error::invalid_type(kind(self.node), &"a word")),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier
    }
}

struct Items<'a> {
    left: &'a [Node],
    next: usize,
    path: &'a Path,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        let Some((node, left)) = self.left.split_first() else { return Ok(None) };
        let path = self.path.index(self.next);
        (self.left, self.next) = (left, self.next + 1);
        seed.deserialize(Typed { node, path }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

struct Entries<'a> {
    left: &'a [Entry],
    value: Option<&'a Entry>,
    path: &'a Path,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        let Some((entry, left)) = self.left.split_first() else { return Ok(None) };
        (self.left, self.value) = (left, Some(entry));
        let key: StringDeserializer<Misfit> = entry.key.clone().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|misfit| Misfit {
            place: Some((self.path.key(&entry.key), entry.key_origin)),
            ..misfit
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let entry = self.value.take().expect("a value is asked for after its key");
        seed.deserialize(Typed { node: &entry.node, path: self.path.key(&entry.key) })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

/// An enum written as `{ variant: content }`.
struct Variant<'a> {
    entry: &'a Entry,
    path: &'a Path,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Misfit;
    type Variant = Typed<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Typed<'a>), Misfit> {
        let name: StrDeserializer<'_, Misfit> = self.entry.key.as_str().into_deserializer();
        let content = Typed { node: &self.entry.node, path: self.path.key(&self.entry.key) };
        Ok((seed.deserialize(name)?, content))
    }
}

impl<'de> VariantAccess<'de> for Typed<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        de::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_struct("", fields, visitor)
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: Display>(message: T) -> Self {
        Self { message: message.to_string(), place: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {}, found {}", words(expected), found_words(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // A text may be a secret; a number that is out of range is what helps most.
        let found = match found {
            Unexpected::Unsigned(n) => n.to_string(),
            Unexpected::Signed(n) => n.to_string(),
            Unexpected::Float(n) => n.to_string(),
            other => found_words(other).to_owned(),
        };
        Self::custom(format!("expected {}, found {found}", words(expected)))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {}, found {length} items", words(expected)))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let words: Vec<_> = expected.iter().map(|word| format!("`{word}`")).collect();
        Self::custom(format!("`{found}` is not one of {}", words.join(", ")))
    }

    fn unknown_field(found: &str, _expected: &'static [&'static str]) -> Self {
        Self::custom(format!("`{found}` is not known here"))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::custom(format!("`{key}` is missing"))
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::custom(format!("`{key}` is given twice, once in another word"))
    }
}

fn kind(node: &Node) -> Unexpected<'_> {
    match &node.value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(_) => Unexpected::Other("a number"),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

/// What was found, by its kind alone: the text itself may be a secret.
fn found_words(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(true) => "true",
        Unexpected::Bool(false) => "false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a fraction",
        Unexpected::Other("a number") => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a string",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq | Unexpected::TupleVariant => "a list",
        Unexpected::Map | Unexpected::StructVariant => "an object",
        _ => "something else",
    }
}

/// Rust's names for what a type expects, in words for people.
fn words(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    let range = |low: &str, high: &str| format!("a whole number from {low} to {high}");
    match expected.as_str() {
        "u8" => range("0", "255"),
        "u16" => range("0", "65535"),
        "a nonzero u8" => range("1", "255"),
        "a nonzero u16" => range("1", "65535"),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number, 1 or more".to_owned()
        }
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "unit" => "null".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other if other.starts_with("enum ") || other == "variant identifier" => "a word".to_owned(),
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Sample {
        port: u16,
        #[serde(default)]
        tries: Option<NonZeroU32>,
        #[serde(default)]
        ratio: f64,
        #[serde(default)]
        mode: Mode,
        #[serde(default)]
        map: BTreeMap<String, Vec<Inner>>,
        #[serde(default)]
        shown: bool,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Off,
        NonMain,
        Of(u8),
        In {
            x: u8,
        },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        name: String,
    }

    fn sample(text: &str) -> Result<Sample, String> {
        let tree = crate::json5::parse(text, 0).unwrap();
        read(&tree, &Path::root().key("s")).map_err(|misfit| {
            let (path, at) = misfit.place.unwrap();
            format!("{}:{}: {path}: {}", at.line, at.column, misfit.message)
        })
    }

    #[test]
    fn values_become_types() {
        let text = "{port: 1, tries: null, ratio: 2, mode: 'non-main', map: {k: [{name: 'n'}]}}";
        let map = BTreeMap::from([("k".into(), vec![Inner { name: "n".into() }])]);
        assert_eq!(
            sample(text),
            Ok(Sample { port: 1, tries: None, ratio: 2.0, mode: Mode::NonMain, map, shown: false })
        );
        assert_eq!(sample("{port: 1, mode: {of: 3}}").unwrap().mode, Mode::Of(3));
        assert_eq!(sample("{port: 1, mode: {in: {x: 3}}}").unwrap().mode, Mode::In { x: 3 });
        assert_eq!(sample("{port: 1, tries: 2}").unwrap().tries, NonZeroU32::new(2));
    }

    #[test]
    fn a_misfit_is_told_in_plain_words_at_its_place() {
        let check = |text: &str, expected: &str| {
            assert_eq!(sample(text), Err(expected.to_owned()), "{text}");
        };
        check("{}", "1:1: s: `port` is missing");
        check(
            "{\n port: 'x'}",
            "2:8: s.port: expected a whole number from 0 to 65535, found a string",
        );
        check("{port: 70000}", "1:8: s.port: expected a whole number from 0 to 65535, found 70000");
        check("{port: -1}", "1:8: s.port: expected a whole number from 0 to 65535, found -1");
        check("{port: 1, tries: 0}", "1:18: s.tries: expected a whole number, 1 or more, found 0");
        check("{port: 1, ratio: []}", "1:18: s.ratio: expected a number, found a list");
        check("{port: 1, shown: 'yes'}", "1:18: s.shown: expected true or false, found a string");
        check(
            "{port: 1, mode: 'on'}",
            "1:17: s.mode: `on` is not one of `off`, `non-main`, `of`, `in`",
        );
        check("{port: 1, mode: 3}", "1:17: s.mode: expected a word, found a number");
        check(
            "{port: 1, map: {'a.b': [{name: 5}]}}",
            "1:32: s.map[\"a.b\"][0].name: expected a string, found a whole number",
        );
        check("[1]", "1:1: s: expected an object, found a list");
    }
}
