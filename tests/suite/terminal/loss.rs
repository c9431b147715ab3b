//! A database or a target that is not there: said in words, the last picture stays, and `q` still leaves.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{LIMIT, dashboard, leave, start};
use crate::support::{pty::Terminal, stores::TestStore};

/// A way to a server that can be cut and mended.
struct Line {
    port: u16,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let line = Self { port, cut: Arc::clone(&cut), open: Arc::clone(&open) };
        std::thread::spawn(move || {
            for here in listener.incoming().map_while(Result::ok) {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let there = TcpStream::connect(&server).unwrap();
                open.lock().unwrap().extend([here.try_clone().unwrap(), there.try_clone().unwrap()]);
                for (mut from, mut to) in
                    [(here.try_clone().unwrap(), there.try_clone().unwrap()), (there, here)]
                {
                    std::thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        line
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_lost_postgres_leaves_the_last_picture_with_a_reason_until_it_is_back() {
    let store = TestStore::postgres().await;
    store.failed("payments").await;
    let rest = store.url.split_once('@').expect("a user").1;
    let server = rest.split_once('/').expect("a database").0.to_owned();
    let line = Line::to(server.clone());
    let url = store.url.replace(&server, &format!("127.0.0.1:{}", line.port));
    let mut terminal = start(&url, &[], &[]);
    terminal.wait_for("● live", LIMIT);
    terminal.press("2");
    terminal.wait_for("acme/payments", LIMIT);

    line.cut();
    let screen = terminal.wait_until("the reason", LIMIT, |screen| {
        screen.contains("○ stale") && screen.contains("cannot reach the database")
    });
    assert!(screen.contains("acme/payments"), "the last picture stays:\n{screen}");
    terminal.press("U");
    terminal.wait_for("not on a stale picture", LIMIT);

    line.mend();
    terminal.wait_for("● live", LIMIT);
    terminal.wait_gone("cannot reach the database", LIMIT);
    line.cut();
    terminal.wait_for("○ stale", LIMIT);
    leave(terminal);
}

#[tokio::test]
async fn a_sqlite_file_that_is_removed_is_noticed() {
    let store = TestStore::sqlite().await;
    store.failed("payments").await;
    let terminal = dashboard(&store, &[], &[]);
    let file = store.url.trim_start_matches("sqlite:");
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{file}{end}")).unwrap();
    }
    terminal.wait_until("the reason", LIMIT, |screen| {
        screen.contains("○ stale") && screen.contains("there is no file")
    });
    leave(terminal);
}

#[tokio::test]
async fn what_cannot_be_reached_is_said_in_words() {
    let mut terminal = Terminal::start(&["--database-url", "postgres://127.0.0.1:1/x"], 120, 36, &[]);
    terminal.wait_until("the database's reason", LIMIT, |screen| {
        screen.contains("Connection refused") && screen.contains("trying again in")
    });
    terminal.write(b"\x03");
    assert_eq!(terminal.exit_code(LIMIT), 143);
    assert_eq!(terminal.not_restored(), Vec::<&str>::new());

    let store = TestStore::sqlite().await;
    let terminal = dashboard(&store, &["--metrics", "http://127.0.0.1:1/metrics"], &[]);
    terminal.wait_until("the target's reason", LIMIT, |screen| {
        screen.contains("targets 0/1")
            && screen.lines().any(|line| line.contains("127.0.0.1:1") && line.contains("refused"))
    });
    leave(terminal);

    let terminal = dashboard(&store, &["--prometheus", "http://127.0.0.1:1"], &[]);
    terminal.wait_until("the server's reason", LIMIT, |screen| {
        screen.lines().any(|line| line.contains("127.0.0.1:1") && line.contains("refused"))
    });
    leave(terminal);
}
