//! Floats in JSON: a number where JSON has one, else `"NaN"`, `"+Inf"` or `"-Inf"`, in and out.

use serde::{Serialize, Serializer};

/// A float as answers write it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct JsonFloat(pub(crate) f64);

impl JsonFloat {
    /// The word for what JSON has no number for.
    pub(crate) fn word(self) -> Option<&'static str> {
        match self.0 {
            value if value.is_nan() => Some("NaN"),
            f64::INFINITY => Some("+Inf"),
            f64::NEG_INFINITY => Some("-Inf"),
            _ => None,
        }
    }
}

impl Serialize for JsonFloat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.word() {
            Some(word) => serializer.serialize_str(word),
            None => serializer.serialize_f64(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_has_no_number_for_is_a_word() {
        let values = [72.5, -0.0, 1e21, f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(JsonFloat);
        let text = serde_json::to_string(&values).expect("serializes");
        assert_eq!(text, r#"[72.5,-0.0,1e+21,"NaN","+Inf","-Inf"]"#);
    }
}
