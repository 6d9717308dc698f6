//! What goes to the server beside the body, and what never goes anywhere else.

use std::sync::Arc;

use claw_domain::{EntryBody, ModelInfo, Secret, UserMessage};
use claw_provider::{Error, ErrorKind, Prefix, Provider, Request, Thinking, contract::message};
use claw_provider_anthropic::{Anthropic, Options};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

const KEY: &str = "sk-ant-canary-7";

fn options(base_url: &str) -> Options {
    Options {
        name: "anthropic".into(),
        base_url: base_url.into(),
        key: Some(Secret::new(KEY)),
        auth_header: false,
        headers: Vec::new(),
        models: Vec::new(),
    }
}

fn request() -> Request {
    let model = ModelInfo {
        reference: "anthropic/m".parse().unwrap(),
        name: "m".into(),
        context_window: 1000,
        output_max: 100,
        reasoning: false,
        images: false,
        cost: None,
    };
    let prefix = Arc::new(Prefix::new(model, "", Vec::new()));
    let messages = vec![message(EntryBody::User(UserMessage::text("hi")))];
    Request { prefix, messages, output_max: 100, thinking: Thinking::Off }
}

/// Takes one request, answers it with `response`, and returns the head of the request, in lower
/// case, and how the provider took the answer.
async fn exchange(options: impl FnOnce(&str) -> Options, response: &str) -> (String, Error) {
    claw_testkit::init();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let provider = Anthropic::new(options(&base_url), client).unwrap();
    let serve = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut lines = BufReader::new(&mut tcp).lines();
        let mut head = String::new();
        let mut body_bytes = 0;
        while let Some(line) = lines.next_line().await.unwrap().filter(|line| !line.is_empty()) {
            let line = line.to_lowercase();
            if let Some(length) = line.strip_prefix("content-length: ") {
                body_bytes = length.parse().unwrap();
            }
            head.push_str(&line);
            head.push('\n');
        }
        lines.into_inner().read_exact(&mut vec![0; body_bytes]).await.unwrap();
        tcp.write_all(response.as_bytes()).await.unwrap();
        head
    };
    let request = request();
    let (head, answer) = tokio::join!(serve, provider.stream(&request));
    (head, answer.err().expect("the test answers with no stream"))
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn the_key_and_the_version_go_along() {
    let (head, _) =
        exchange(|base_url| options(&format!("{base_url}/")), &response("500 no", "")).await;
    assert!(head.starts_with("post /v1/messages http/1.1\n"), "{head}");
    for line in [
        "x-api-key: sk-ant-canary-7\n",
        "anthropic-version: 2023-06-01\n",
        "content-type: application/json\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
}

#[tokio::test]
async fn people_may_choose_the_headers() {
    let headers = |name: &str, value: &str| (name.to_owned(), Secret::new(value));
    let options = |base_url: &str| Options {
        auth_header: true,
        headers: vec![headers("X-Team", "red"), headers("anthropic-version", "2030-01-01")],
        ..options(base_url)
    };
    let (head, _) = exchange(options, &response("500 no", "")).await;
    for line in [
        "authorization: bearer sk-ant-canary-7\n",
        "x-team: red\n",
        "anthropic-version: 2030-01-01\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("x-api-key"), "{head}");
}

// SEC-96: no secret in an error.
#[tokio::test]
async fn a_server_that_repeats_the_key_does_not_bring_it_into_an_error() {
    let body = format!("<p>what is {KEY}?</p>");
    for answer in [response("400 no", &body), response("200 ok\r\ncontent-type: text/html", &body)]
    {
        let (_, error) = exchange(options, &answer).await;
        assert!(error.message.ends_with("<p>what is ***?</p>"), "{error}");
    }
}

// SEC-68: credentials do not follow a redirect.
#[tokio::test]
async fn a_redirect_is_an_error() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = format!("307 go\r\nlocation: http://{}", elsewhere.local_addr().unwrap());
    let (_, error) = exchange(options, &response(&location, "")).await;
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert_eq!(error.message, "the server redirects us (307), which is not followed");
    let visit = elsewhere.accept().map_err(|error| error.kind());
    assert_eq!(visit.err(), Some(std::io::ErrorKind::WouldBlock), "nobody went there");
}

#[test]
fn a_header_that_cannot_be_sent_is_refused_without_its_value() {
    claw_testkit::init();
    let key = Some(Secret::new("line\nbreak"));
    let error =
        Anthropic::new(Options { key, ..options("http://127.0.0.1:1") }, reqwest::Client::new())
            .unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert_eq!(error.message, "the header \"x-api-key\" cannot be sent");
}

// SEC-96: no secret in a log.
#[test]
fn debug_shows_no_secret() {
    claw_testkit::init();
    let options = options("http://127.0.0.1:1");
    assert!(!format!("{options:?}").contains(KEY));
    let provider = Anthropic::new(options, reqwest::Client::new()).unwrap();
    assert!(!format!("{provider:?}").contains(KEY));
}
