//! A real PostgreSQL server for tests, in a temporary folder and on a port of its own.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    thread,
};

use nix::unistd::{Uid, User};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::needs;

/// The server's own superuser, who needs no password on loopback.
const USER: &str = "claw";
/// Who runs the server when the tests run as root, as whom it refuses to run.
const NOBODY: &str = "nobody";
/// Runs the server until it is told a signal, or whoever would tell it is gone: a test that is killed
/// leaves no server behind.
const WATCH: &str = r#""$0" "$@" & server=$!; exec 2>&-
    read -r signal || signal=QUIT; kill -s "$signal" "$server"; wait "$server""#;
/// What the server says when clients may come.
const READY: &str = "database system is ready to accept connections";
/// Ports that are tried, since another process can take one that was free a moment before.
const PORTS_TRIED: usize = 5;

/// A server with its data on disk, `fsync` on. It ends when it is dropped, and its data with it.
///
/// ```no_run
/// # async fn example() {
/// let Some(server) = claw_testkit::PgServer::start().await else { return };
/// server.create("one").await;
/// println!("{}", server.url("one"));
/// # }
/// ```
#[derive(Debug)]
pub struct PgServer {
    programs: PathBuf,
    folder: TempDir,
    user: Option<User>,
    settings: Vec<String>,
    port: u16,
    running: Option<Child>,
}

impl PgServer {
    /// Makes and starts a server. `None` means that this machine has none, and that the test should
    /// return; see [`needs`].
    ///
    /// # Panics
    /// When the server does not start.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a server with settings beside its defaults, as in `("max_connections", "20")`.
    ///
    /// # Panics
    /// When the server does not start.
    pub async fn start_with(settings: &[(&str, &str)]) -> Option<Self> {
        let program = needs("postgres")?;
        // What stands in PATH may be a link to it, without the programs beside it.
        let program = program.canonicalize().expect("it was found");
        let programs = program.parent().expect("the program is in a folder").to_owned();
        let settings = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let made = spawn_blocking(move || Self::make(programs, settings)).await;
        let mut server = made.expect("making the server's folder did not panic");
        for _ in 0..PORTS_TRIED {
            server.port = free_port();
            if server.launch().await {
                return Some(server);
            }
        }
        panic!("the server took none of {PORTS_TRIED} ports");
    }

    /// The URL of a database. `postgres` is there from the beginning.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens on 127.0.0.1; the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its data, which only the server's user may read.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes an empty database.
    ///
    /// # Panics
    /// When there is one with this name, and when the server is not running.
    pub async fn create(&self, database: &str) {
        let mut command = Command::new(self.programs.join("createdb"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, database]);
        let output = spawn_blocking(move || command.output()).await;
        let output = output.expect("createdb did not panic").expect("createdb can be run");
        assert!(output.status.success(), "createdb: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends it in order: connections are cut, transactions under way taken back.
    pub async fn stop(&mut self) {
        self.end("INT").await;
    }

    /// Ends it as if the power had failed: what it has not flushed is lost.
    pub async fn crash(&mut self) {
        self.end("QUIT").await;
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// When it is running, and when it does not start.
    pub async fn again(&mut self) {
        assert!(self.running.is_none(), "the server is running");
        assert!(self.launch().await, "somebody took the server's port");
    }

    /// Stops and starts it.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.again().await;
    }

    fn make(programs: PathBuf, settings: Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("claw-postgres-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let user = Uid::effective().is_root().then(|| {
            let user = User::from_name(NOBODY).expect("users can be looked up");
            user.expect("there is an unprivileged user")
        });
        if let Some(user) = &user {
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            chown(folder.path(), Some(uid), Some(gid)).expect("root may give a folder away");
        }
        let server = Self { programs, folder, user, settings, port: 0, running: None };
        let mut initdb = server.command(&server.programs.join("initdb"));
        initdb.arg("-D").arg(server.data());
        initdb.args(["-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
        let output = initdb.output().expect("initdb can be run");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of the server's, run as its user.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Whether it came up; if not, its port is taken.
    async fn launch(&mut self) -> bool {
        let mut command = self.command(Path::new("/bin/sh"));
        command.arg("-c").arg(WATCH).arg(self.programs.join("postgres"));
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "fsync=on"]);
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server's program can be run");
        let said = child.stderr.take().expect("it was piped above");
        let (tell, heard) = oneshot::channel();
        thread::spawn(move || listen(said, tell));
        match heard.await {
            Ok(()) => {
                self.running = Some(child);
                true
            }
            Err(_) => {
                drop(child.stdin.take());
                child.wait().expect("the server is a child of ours");
                false
            }
        }
    }

    async fn end(&mut self, signal: &str) {
        let Some(mut child) = self.running.take() else { return };
        let mut watch = child.stdin.take().expect("it was piped when it started");
        writeln!(watch, "{signal}").expect("who watches the server reads");
        let ended = spawn_blocking(move || child.wait()).await;
        ended.expect("waiting did not panic").expect("the server is a child of ours");
    }
}

impl Drop for PgServer {
    fn drop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        drop(child.stdin.take());
        // Its folder goes next, so it must have ended. There is nobody to tell of a failure.
        let _ended = child.wait();
    }
}

/// Reads what the server says until it ends, so that it never waits for a reader; tells when it is
/// ready. What it says otherwise goes to the output of the test.
fn listen(said: ChildStderr, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    for line in BufReader::new(said).lines() {
        let Ok(line) = line else { return };
        eprintln!("postgres: {line}");
        if line.contains(READY)
            && let Some(ready) = ready.take()
        {
            // The test may have given up.
            let _gone = ready.send(());
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback can be listened on");
    listener.local_addr().expect("it is bound").port()
}
