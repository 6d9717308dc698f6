//! What their line has that ours has not, and how it is put back.
//!
//! A line is written from an entry; what that does not give is kept beside the entry, each field
//! under its JSON pointer (RFC 6901), and the fields that the line does without under one key. So
//! every line comes out as it went in, whatever it holds.

use serde_json::{Map, Value};

/// The pointers of what is written but was not there. No pointer begins without a slash.
const ABSENT: &str = "absent";

/// What makes `theirs` of `ours`.
pub(crate) fn difference(ours: &Value, theirs: &Value) -> Map<String, Value> {
    let mut found = Map::new();
    let mut absent = Vec::new();
    walk(&mut String::new(), ours, theirs, &mut found, &mut absent);
    if !absent.is_empty() {
        found.insert(ABSENT.into(), absent.into());
    }
    found
}

fn walk(
    path: &mut String,
    ours: &Value,
    theirs: &Value,
    found: &mut Map<String, Value>,
    absent: &mut Vec<Value>,
) {
    let here = path.len();
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, their) in theirs {
                step(path, name);
                match ours.get(name) {
                    Some(our) => walk(path, our, their, found, absent),
                    None => drop(found.insert(path.clone(), their.clone())),
                }
                path.truncate(here);
            }
            for name in ours.keys().filter(|name| !theirs.contains_key(*name)) {
                step(path, name);
                absent.push(path.clone().into());
                path.truncate(here);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (our, their)) in ours.iter().zip(theirs).enumerate() {
                step(path, &index.to_string());
                walk(path, our, their, found, absent);
                path.truncate(here);
            }
        }
        (ours, theirs) if ours == theirs => {}
        (_, theirs) => drop(found.insert(path.clone(), theirs.clone())),
    }
}

fn step(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

/// Whether `theirs` does without the field at this pointer.
pub(crate) fn is_absent(difference: &Map<String, Value>, pointer: &str) -> bool {
    let absent = difference.get(ABSENT).and_then(Value::as_array);
    absent.is_some_and(|pointers| pointers.iter().any(|absent| absent == pointer))
}

/// Puts back what [`difference`] found. What has no place in `ours` is left out.
pub(crate) fn put_back(ours: &mut Value, difference: &Map<String, Value>) {
    let pointers = difference.get(ABSENT).and_then(Value::as_array);
    for pointer in pointers.into_iter().flatten().filter_map(Value::as_str) {
        if let Some((Value::Object(parent), name)) = place(ours, pointer) {
            parent.shift_remove(&name);
        }
    }
    for (pointer, value) in difference.iter().filter(|(key, _)| key.starts_with('/')) {
        match place(ours, pointer) {
            Some((Value::Object(parent), name)) => drop(parent.insert(name, value.clone())),
            Some((Value::Array(parent), index)) => {
                let at = index.parse::<usize>().ok().and_then(|index| parent.get_mut(index));
                if let Some(at) = at {
                    *at = value.clone();
                }
            }
            _ => {}
        }
    }
}

/// The parent that a pointer leads to, and the name in it.
fn place<'a>(value: &'a mut Value, pointer: &str) -> Option<(&'a mut Value, String)> {
    let (parent, name) = pointer.rsplit_once('/')?;
    Some((value.pointer_mut(parent)?, name.replace("~1", "/").replace("~0", "~")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(ours: &Value, theirs: &Value) -> Map<String, Value> {
        let found = difference(ours, theirs);
        let mut made = ours.clone();
        put_back(&mut made, &found);
        assert_eq!(made, *theirs, "{found:?}");
        found
    }

    #[test]
    fn only_what_differs_is_kept() {
        let ours = json!({"type": "message", "message": {"content": [{"text": "a"}], "usage": 1}});
        let theirs =
            json!({"type": "message", "message": {"content": [{"text": "a", "x/y~": null}]}});
        assert_eq!(
            Value::Object(check(&ours, &theirs)),
            json!({"/message/content/0/x~1y~0": null, "absent": ["/message/usage"]})
        );
        assert!(check(&theirs, &theirs.clone()).is_empty());
    }

    #[test]
    fn a_difference_that_fits_nowhere_changes_nothing() {
        let mut value = json!({"a": [1]});
        let strange = json!({"/b/c": 1, "/a/7": 1, "/a/x": 1, "absent": ["/q/r", "", 7], "id": 3});
        put_back(&mut value, strange.as_object().unwrap());
        assert_eq!(value, json!({"a": [1]}));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c/~\"]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let name = "[a-c/~]{0,2}|absent|0";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_differs_is_put_back(ours in any_value(), theirs in any_value()) {
            let object = |value: Value| json!({"type": value.clone(), "b": value});
            check(&object(ours), &object(theirs));
        }
    }
}
