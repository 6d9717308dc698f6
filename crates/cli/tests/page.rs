//! The chat page in a real browser, against the real gateway with the model that needs nothing.

#[path = "process/browser.rs"]
mod browser;
#[expect(dead_code, reason = "shared by several test binaries")]
mod process;

use browser::Browser;
use process::{Gateway, configure};

fn found(id: &str) -> String {
    format!("document.querySelectorAll('[data-testid=\"{id}\"]')")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_opens_the_page_and_talks_to_an_agent() {
    let Some(chromium) = claw_testkit::needs("chromium") else { return };
    let home = tempfile::tempdir().unwrap();
    configure(home.path(), "{ agents: { defaults: { model: { primary: 'demo/demo' } } } }");
    let gateway = Gateway::start(home.path());
    let mut browser = Browser::start(&chromium, &home.path().join("browser")).await;
    browser.resize(1200, 800).await;
    browser.open(&gateway.page).await;
    browser.until(&format!("{}[0]?.dataset.state === 'up'", found("status"))).await;
    // The one-use code leaves the address bar.
    assert_eq!(browser.value("location.hash").await, "");

    let answers = |count: usize| {
        format!(
            "[...{}].filter(m => m.dataset.live !== 'true').length >= {count}",
            found("message-assistant")
        )
    };
    browser.value(&format!("{}[0].focus()", found("composer"))).await;
    browser.types("hello there").await;
    browser.until(&answers(1)).await;
    browser.until("document.body.innerText.includes('hello there')").await;
    browser.until("/demonstration/i.test(document.body.innerText)").await;

    browser.types("run: echo seen-$((40+2))").await;
    browser
        .until(&format!("[...{}].some(row => row.dataset.state === 'done')", found("tool-row")))
        .await;
    browser.until("document.body.innerText.includes('seen-42')").await;

    // What was said is there again after a reload, and the device is known without a code.
    browser.reload().await;
    browser.until(&format!("{}[0]?.dataset.state === 'up'", found("status"))).await;
    browser.until(&format!("{}.length >= 2", found("message-user"))).await;
    browser.until(&answers(2)).await;

    // A phone: nothing is wider than the screen.
    browser.resize(360, 700).await;
    browser.until("document.documentElement.scrollWidth <= innerWidth").await;

    browser.value(&format!("{}[0].click()", found("new-session"))).await;
    browser.until("!document.body.innerText.includes('seen-42')").await;

    // The gateway goes and comes back; the page connects by itself.
    let port = gateway.port;
    assert_eq!(gateway.terminate(), Some(0));
    browser.until(&format!("{}[0]?.dataset.state !== 'up'", found("status"))).await;
    let again = Gateway::start_on(home.path(), port, &[]);
    browser.until(&format!("{}[0]?.dataset.state === 'up'", found("status"))).await;
    assert_eq!(again.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_code_is_refused_in_words() {
    let Some(chromium) = claw_testkit::needs("chromium") else { return };
    let home = tempfile::tempdir().unwrap();
    configure(home.path(), "{ agents: { defaults: { model: { primary: 'demo/demo' } } } }");
    let gateway = Gateway::start(home.path());
    let mut first = Browser::start(&chromium, &home.path().join("first")).await;
    first.open(&gateway.page).await;
    first.until(&format!("{}[0]?.dataset.state === 'up'", found("status"))).await;
    drop(first);
    // SEC-13: a code works once.
    let mut second = Browser::start(&chromium, &home.path().join("second")).await;
    second.open(&gateway.page).await;
    second.until("document.body.innerText.includes('rusty-claw dashboard')").await;
    assert_eq!(
        second.value(&format!("{}[0]?.dataset.state === 'up'", found("status"))).await,
        false
    );
}
