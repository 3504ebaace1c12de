//! Is one JSON value contained in another? Objects may have more members, arrays more elements in
//! any order; every wanted element needs one of its own. Scalars are equal or not.

use serde_json::Value;

/// Where the wanted value is not contained in the actual one; `None` if it is.
#[must_use]
pub fn difference(wanted: &Value, actual: &Value) -> Option<String> {
    below("", wanted, actual)
}

fn below(path: &str, wanted: &Value, actual: &Value) -> Option<String> {
    match (wanted, actual) {
        (Value::Object(wanted), Value::Object(actual)) => wanted.iter().find_map(|(name, wanted)| {
            let path = format!("{path}.{name}");
            match actual.get(name) {
                Some(actual) => below(&path, wanted, actual),
                None => Some(format!("{path} is missing")),
            }
        }),
        (Value::Array(wanted), Value::Array(actual)) => {
            let mut left: Vec<&Value> = actual.iter().collect();
            wanted.iter().find_map(|wanted| {
                match left
                    .iter()
                    .position(|actual| below(path, wanted, actual).is_none())
                {
                    Some(index) => {
                        left.remove(index);
                        None
                    }
                    None => Some(format!("{path}[] has no element with {wanted}")),
                }
            })
        }
        (Value::Number(wanted), Value::Number(actual)) if wanted.as_f64() == actual.as_f64() => None,
        _ if wanted == actual => None,
        _ => Some(format!("{path} is {actual}, not {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::difference;
    use serde_json::json;

    #[test]
    fn subsets() {
        let actual = json!({"a": [{"x": 1, "y": 2}, {"x": 3}], "b": {"c": null}});
        for wanted in [
            json!({}),
            json!({"a": [{"x": 3}, {"x": 1}]}),
            json!({"b": {}}),
            json!({"a": []}),
        ] {
            assert_eq!(difference(&wanted, &actual), None, "{wanted}");
        }
        for (wanted, reason) in [
            (
                json!({"a": [{"x": 3}, {"x": 3}]}),
                ".a[] has no element with {\"x\":3}",
            ),
            (json!({"b": {"d": 1}}), ".b.d is missing"),
            (json!({"b": 1}), ".b is {\"c\":null}, not 1"),
        ] {
            assert_eq!(difference(&wanted, &actual).as_deref(), Some(reason));
        }
    }
}
