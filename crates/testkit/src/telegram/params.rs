//! The parameters of a call, however the client wrote them.
//!
//! The Bot API takes them in the query, urlencoded, as JSON or as multipart, and numbers and
//! objects also as strings.

use http::{HeaderMap, Uri, header};
use serde_json::{Map, Value};
use url::form_urlencoded;

#[derive(Debug, Clone, Default)]
pub(super) struct Params(Map<String, Value>);

impl Params {
    /// Reads query and body; what cannot be read is an error in the server's words.
    pub(super) fn read(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Self, String> {
        let mut params = Self::default();
        params.add_form(uri.query().unwrap_or_default().as_bytes());
        if body.is_empty() {
            return Ok(params);
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        let (kind, options) = content_type.split_once(';').unwrap_or((content_type, ""));
        match kind.trim() {
            "application/json" => match serde_json::from_slice(body) {
                Ok(Value::Object(fields)) => params.0.extend(fields),
                Ok(_) | Err(_) => return Err("can't parse JSON object".to_owned()),
            },
            "application/x-www-form-urlencoded" => params.add_form(body),
            "multipart/form-data" => {
                let boundary = options.trim().strip_prefix("boundary=").unwrap_or_default();
                params.add_multipart(boundary.trim_matches('"'), &String::from_utf8_lossy(body));
            }
            _ => {}
        }
        Ok(params)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        int(self.0.get(name)?)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text == "true" || text == "1",
            _ => false,
        }
    }

    /// A JSON value, also where it was sent as a string.
    pub(super) fn value(&self, name: &str) -> Value {
        match self.0.get(name) {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            Some(value) => value.clone(),
            None => Value::Null,
        }
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    fn add_form(&mut self, form: &[u8]) {
        let fields = form_urlencoded::parse(form);
        self.0.extend(fields.map(|(name, value)| (name.into_owned(), value.into_owned().into())));
    }

    /// Takes the text fields; files are passed over, as no method here needs one.
    fn add_multipart(&mut self, boundary: &str, body: &str) {
        for part in body.split(&format!("--{boundary}")) {
            let Some((head, value)) = part.split_once("\r\n\r\n") else { continue };
            let name = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
            if let Some(name) = name.filter(|_| !head.contains("filename=")) {
                let value = value.strip_suffix("\r\n").unwrap_or(value);
                self.0.insert(name.to_owned(), value.into());
            }
        }
    }
}

pub(super) fn int(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &'static str, body: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let uri = Uri::from_static("/bot1:a/sendMessage?disable_notification=true");
        let params = Params::read(&uri, &headers, body.as_bytes()).unwrap();
        assert_eq!(params.int("chat_id"), Some(7));
        assert_eq!(params.text("text"), Some("a & b"));
        assert_eq!(params.value("reply_parameters")["message_id"], 3);
        assert!(params.flag("disable_notification"));
    }

    #[test]
    fn every_way_to_write_parameters_reads_the_same() {
        let json = r#"{"chat_id":7,"text":"a & b","reply_parameters":{"message_id":3}}"#;
        check("application/json", json);
        check("application/json; charset=utf-8", json);
        check(
            "application/x-www-form-urlencoded",
            "chat_id=7&text=a+%26+b&reply_parameters=%7B%22message_id%22%3A3%7D",
        );
        check(
            "multipart/form-data; boundary=XX",
            "--XX\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n7\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\na & b\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"reply_parameters\"\r\n\r\n\
             {\"message_id\":3}\r\n--XX--\r\n",
        );
    }
}
