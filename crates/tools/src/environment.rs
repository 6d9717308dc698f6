//! Which environment variables a model may add to a command.

use std::collections::BTreeMap;

use claw_tool::Refusal;

/// Most variables of one command.
const VARIABLES_MAX: usize = 64;
/// Longest `NAME=value`, as the kernel takes it (`MAX_ARG_STRLEN` in `execve(2)`). Unit: bytes.
pub(crate) const STRING_MAX: usize = 128 * 1024 - 1;

/// Names that make a shell, linker or interpreter run or load something that the command's text
/// does not show, or that move where programs and secrets are looked for. A name that ends in `*`
/// stands for all that begin so.
const REFUSED: &[&str] = &[
    "LD_*",
    "DYLD_*",
    "GCONV_PATH",
    "NLSPATH",
    "LOCPATH",
    "MALLOC_*",
    "GLIBC_TUNABLES",
    "BASH_*",
    "BASHOPTS",
    "SHELLOPTS",
    "ENV",
    "IFS",
    "PS4",
    "PROMPT_COMMAND",
    "CDPATH",
    "ZDOTDIR",
    "PATH",
    "HOME",
    "SHELL",
    "TMPDIR",
    "SSLKEYLOGFILE",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "GIT_*",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "LESSOPEN",
    "LESSCLOSE",
    "BROWSER",
    "MANPAGER",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NPM_CONFIG_*",
    "PYTHON*",
    "PERL*",
    "RUBY*",
    "LUA_*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "DOTNET_*",
    "RUSTC_*",
    "CARGO_*",
    "GOFLAGS",
    "MAKEFLAGS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_*",
    "CURL_HOME",
];

/// Joins what a model added to the base environment.
///
/// # Errors
/// The first name that may not be added, or that is none.
pub(crate) fn joined(
    base: &BTreeMap<String, String>,
    added: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let refuse = |name: &str, why: &str| {
        Err(Refusal::Never(format!("the environment variable `{}` {why}", name.escape_debug())))
    };
    if added.len() > VARIABLES_MAX {
        return Err(Refusal::Never(format!(
            "more than {VARIABLES_MAX} environment variables were given"
        )));
    }
    let mut environment = base.clone();
    for (name, value) in added {
        if !is_name(&name) {
            return refuse(&name, "has a name of other characters than letters, digits and `_`");
        }
        if is_refused(&name) {
            return refuse(
                &name,
                "may not be set, since it changes what programs load or where they look",
            );
        }
        if value.contains('\0') {
            return refuse(&name, "holds a zero byte");
        }
        if name.len() + 1 + value.len() > STRING_MAX {
            return refuse(&name, "is too long");
        }
        environment.insert(name, value);
    }
    Ok(environment)
}

fn is_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(word)
}

fn is_refused(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    REFUSED.iter().any(|refused| match refused.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(name: &str, value: &str) -> Result<BTreeMap<String, String>, String> {
        let base = [("PATH".to_owned(), "/bin".to_owned())].into();
        joined(&base, [(name.to_owned(), value.to_owned())].into())
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_harmless_variable_joins_the_base() {
        let expected = [("FOO_1", "a b"), ("PATH", "/bin")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(join("FOO_1", "a b"), Ok(expected.into()));
    }

    #[test]
    fn variables_that_load_or_redirect_are_refused() {
        // SEC-34
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "BASH_ENV",
            "BASH_FUNC_ls",
            "PS4",
            "SHELLOPTS",
            "GIT_EXEC_PATH",
            "HOME",
            "ZDOTDIR",
            "SSLKEYLOGFILE",
            "PATH",
            "ENV",
            "IFS",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "PERL5OPT",
            "RUBYOPT",
            "ld_preload",
            "npm_config_prefix",
            "https_proxy",
        ] {
            let refusal = join(name, "x").unwrap_err();
            assert!(refusal.contains("may not be set"), "{name}: {refusal}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "1A", "A B", "A=B", "BASH_FUNC_ls%%", "Ä", "A\0"] {
            let refusal = join(name, "x").unwrap_err();
            assert!(refusal.contains("other characters"), "{name:?}: {refusal}");
        }
        assert!(join("A", "x\0y").unwrap_err().contains("zero byte"));
        assert!(join("A", &"x".repeat(STRING_MAX)).unwrap_err().contains("too long"));
    }
}
