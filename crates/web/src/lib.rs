//! The chat page as bytes in the binary: which file answers a path, and with which headers.
//!
//! The files in `dist` are built from `ui/` and committed, so that building the gateway needs
//! nothing but cargo. Nothing here touches the file system at run time.
//!
//! ```
//! let page = claw_web::page("/").expect("the index is embedded");
//! assert_eq!(page.mime, "text/html; charset=utf-8");
//! assert!(!page.immutable);
//! assert!(claw_web::page("/no-such-file").is_none());
//! ```

use std::borrow::Cow;
use std::fmt::Write as _;

use rust_embed::{EmbeddedFile, RustEmbed};

/// The value of `Content-Security-Policy`: our own files and our own socket, and nothing else.
///
/// `'self'` in `connect-src` covers `ws:` and `wss:` of the page's own host (CSP level 3).
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers for every answer that carries an [`Asset`], names in lower case.
pub const SECURITY_HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// One file of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The content, uncompressed.
    pub bytes: Cow<'static, [u8]>,
    /// The value of `Content-Type`.
    pub mime: &'static str,
    /// The value of `ETag`, quotes included. Equal for equal bytes.
    pub etag: String,
    /// The path names this content for ever: the file name carries a hash of it.
    pub immutable: bool,
}

impl Asset {
    /// The value of `Cache-Control`. What is not immutable is asked for again each time, by `ETag`.
    pub fn cache_control(&self) -> &'static str {
        if self.immutable { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}

#[derive(RustEmbed)]
#[folder = "dist"]
struct Dist;

/// Where the build puts the files whose names carry a hash of their content.
const HASHED_FOLDER: &str = "assets/";

/// Finds what answers `path`, the path of a request with its leading `/` and without its query.
///
/// `/` is the index. Returns `None` for every path that is not exactly that of an embedded file.
pub fn page(path: &str) -> Option<Asset> {
    let path = path.strip_prefix('/')?;
    let name = if path.is_empty() { "index.html" } else { path };
    let EmbeddedFile { data, metadata } = Dist::get(name)?;
    Some(Asset {
        bytes: data,
        mime: mime(name),
        etag: etag(metadata.sha256_hash()),
        immutable: name.starts_with(HASHED_FOLDER),
    })
}

/// The types of the files that the build writes; a test sees that there is no other kind.
fn mime(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => UNKNOWN_MIME,
    }
}

const UNKNOWN_MIME: &str = "application/octet-stream";

fn etag(hash: [u8; 32]) -> String {
    let mut etag = String::with_capacity(2 + 2 * hash.len());
    etag.push('"');
    for byte in hash {
        write!(etag, "{byte:02x}").expect("a String takes every write");
    }
    etag.push('"');
    etag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> String {
        let index = page("/").expect("the index is embedded");
        String::from_utf8(index.bytes.into_owned()).expect("the index is UTF-8")
    }

    /// The values of `src` and `href` in the index.
    fn referred() -> Vec<String> {
        let index = index();
        let values = index.split(['<', ' ', '>']).filter_map(|part| {
            let value = part.strip_prefix("src=\"").or(part.strip_prefix("href=\""))?;
            value.split_once('"').map(|(value, _)| value.to_owned())
        });
        values.collect()
    }

    #[test]
    fn the_index_refers_only_to_files_that_are_here() {
        let referred = referred();
        assert!(referred.iter().any(|path| path.ends_with(".js")), "{referred:?}");
        assert!(referred.iter().any(|path| path.ends_with(".css")), "{referred:?}");
        for path in referred {
            assert!(page(&path).is_some(), "{path} is not embedded");
        }
    }

    #[test]
    fn nothing_inline_that_the_policy_would_block() {
        let index = index();
        assert_eq!(index.matches("<script").count(), index.matches(" src=\"").count());
        assert!(!index.contains("<style") && !index.contains("style="));
    }

    #[test]
    fn every_file_has_a_type_and_its_own_etag() {
        let mut etags: Vec<_> = Dist::iter()
            .map(|name| {
                assert_ne!(mime(&name), UNKNOWN_MIME, "{name}");
                page(&format!("/{name}")).expect("listed").etag
            })
            .collect();
        let files = etags.len();
        etags.sort();
        etags.dedup();
        assert_eq!(etags.len(), files);
        assert!(
            etags
                .iter()
                .all(|etag| etag.len() == 66 && etag.starts_with('"') && etag.ends_with('"'))
        );
    }

    #[test]
    fn only_names_with_a_hash_are_kept_by_caches() {
        for name in Dist::iter() {
            let asset = page(&format!("/{name}")).expect("listed");
            assert_eq!(asset.cache_control() == "no-cache", !name.starts_with("assets/"), "{name}");
        }
    }

    // SEC-64
    #[test]
    fn a_path_that_is_not_an_embedded_file_is_nothing() {
        for path in [
            "",
            "index.html",
            "//",
            "/assets",
            "/assets/",
            "/../Cargo.toml",
            "/..%2fCargo.toml",
            "/./index.html",
            "/INDEX.HTML",
            "/src/lib.rs",
        ] {
            assert_eq!(page(path), None, "{path}");
        }
    }

    #[test]
    fn the_page_asks_no_other_host() {
        for name in Dist::iter().filter(|name| name.ends_with(".html") || name.ends_with(".css")) {
            let text =
                String::from_utf8(page(&format!("/{name}")).expect("listed").bytes.into_owned())
                    .expect("UTF-8");
            assert!(!text.contains("://"), "{name}");
        }
    }

    /// What a phone on a slow line waits for.
    const PAGE_BYTES_MAX: usize = 200 * 1024;

    #[test]
    fn the_page_is_small() {
        let bytes: usize =
            Dist::iter().map(|name| page(&format!("/{name}")).expect("listed").bytes.len()).sum();
        assert!(bytes < PAGE_BYTES_MAX, "{bytes} bytes");
    }
}
