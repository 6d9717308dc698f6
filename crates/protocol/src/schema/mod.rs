//! Which values a method accepts, written as data.
//!
//! A schema is written in the notation of the protocol's documentation and read once:
//!
//! | notation | accepts |
//! |---|---|
//! | `any`, `null`, `bool` | anything, null, true or false |
//! | `str`, `str+`, `str≤100`, `str+≤64` | text; `+` not empty; `≤` at most so many characters |
//! | `int`, `int[0..]`, `int[1..1000]` | a whole number, bounds included |
//! | `num`, `num[0..1]` | a number, bounds included |
//! | `"now"`, `3` | exactly this text or number |
//! | `A \| B` | what either accepts |
//! | `A[]`, `A[]{2..12}`, `(A \| B)[]` | a list, with bounds on its length |
//! | `map<A>` | an object with any keys |
//! | `{key: A, other?: B}` | an object with these keys and no others |
//! | `{key: A, …}` | an object with these keys and perhaps others |

mod notation;
mod validate;

pub use notation::NotationError;
pub use validate::Problems;

/// A set of accepted JSON values.
#[derive(Debug, Clone, PartialEq)]
pub enum Schema {
    /// Anything.
    Any,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number. One written with a fraction or an exponent (`5.0`) is not.
    Int(Bounds<i64>),
    /// Any number.
    Num(Bounds<f64>),
    /// A text; the bounds count characters.
    Str(Bounds<usize>),
    /// Exactly this text or number.
    Const(serde_json::Value),
    /// What at least one of these accepts.
    AnyOf(Vec<Schema>),
    /// A list; the bounds count its items.
    List(Box<Schema>, Bounds<usize>),
    /// An object with any keys, whose values are all of one kind.
    Map(Box<Schema>),
    /// An object with known keys.
    Object {
        /// The known keys, in the order in which problems are reported.
        fields: Vec<Field>,
        /// Whether other keys are accepted too.
        open: bool,
    },
}

/// Least and greatest value, both included; `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds<T> {
    /// The least accepted value.
    pub min: Option<T>,
    /// The greatest accepted value.
    pub max: Option<T>,
}

/// One key of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The key.
    pub name: String,
    /// Whether the key must be there.
    pub required: bool,
    /// What its value must be.
    pub schema: Schema,
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Self { min: None, max: None }
    }
}
