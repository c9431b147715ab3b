//! A wire that can be cut: it stands between a store and its server and loses one request, or the answer to it, or to
//! a COMMIT; or everything on the lines that stand, in silence.
//!
//! It knows little of any protocol. What a client writes at once is one request, which is how the drivers here speak.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex},
};

/// When a request is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Before the server saw it.
    Before,
    /// After the server did it: the answer is lost.
    After,
}

/// What is lost.
#[derive(Debug, Clone)]
enum Cut {
    /// The request of this number, or its answer.
    Request(usize, Lost),
    /// The answer to the COMMIT of the next transaction in which these bytes were sent. Nobody hangs up: its sender
    /// waits for ever.
    CommitOf(Vec<u8>),
    /// The same COMMIT, or its answer, with its connection.
    WireAtCommitOf(Vec<u8>, Lost),
}

#[derive(Debug, Default)]
struct Plan {
    /// The lines so far, and up to which of them nothing passes any more.
    lines: usize,
    frozen: usize,
    seen: usize,
    cut: Option<Cut>,
    /// The cut was made.
    done: bool,
}

/// What became of the answers of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Heard,
    /// Hung up on.
    Lost,
    /// Swallowed, the line stays open.
    Swallowed,
}

/// A wire to a server.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    /// A wire to `server`, `127.0.0.1:5432` say; nothing is lost yet.
    pub(crate) fn to(server: &str) -> Self {
        Self::at("127.0.0.1:0", server)
    }

    /// The same, listening at `address`.
    pub(crate) fn at(address: &str, server: &str) -> Self {
        let server = server.to_socket_addrs().expect("an address").next().expect("one address");
        let listener = TcpListener::bind(address).expect("a free port");
        let proxy = Self { address: listener.local_addr().expect("it is bound"), plan: Arc::default() };
        let plan = Arc::clone(&proxy.plan);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { return };
                let plan = Arc::clone(&plan);
                let line = {
                    let mut plan = plan.lock().unwrap();
                    plan.lines += 1;
                    plan.lines
                };
                std::thread::spawn(move || carry(client, server, line, &plan));
            }
        });
        proxy
    }

    /// From now on requests are counted from 1, and number `at` is lost with its connection.
    pub(crate) fn cut(&self, at: usize, lost: Lost) {
        *self.plan.lock().unwrap() = Plan { cut: Some(Cut::Request(at, lost)), ..Plan::default() };
    }

    /// From now on the answer to the COMMIT of the first transaction in which `text` is sent is swallowed.
    pub(crate) fn swallow_commit_of(&self, text: &str) {
        let cut = Cut::CommitOf(text.as_bytes().to_vec());
        *self.plan.lock().unwrap() = Plan { cut: Some(cut), ..Plan::default() };
    }

    /// From now on the COMMIT of the first transaction in which `text` is sent is lost with its connection.
    pub(crate) fn cut_commit_of(&self, text: &str, lost: Lost) {
        let cut = Cut::WireAtCommitOf(text.as_bytes().to_vec(), lost);
        *self.plan.lock().unwrap() = Plan { cut: Some(cut), ..Plan::default() };
    }

    /// From now on nothing passes on the lines that stand, and nobody hangs up: so a balancer drops packets. New lines
    /// are whole.
    pub(crate) fn freeze(&self) {
        let mut plan = self.plan.lock().unwrap();
        plan.frozen = plan.lines;
    }

    /// Whether the cut was made; of a commit: whether the server has answered it.
    pub(crate) fn was_cut(&self) -> bool {
        self.plan.lock().unwrap().done
    }
}

/// One connection, request by request; answers are passed on by a thread of their own.
fn carry(mut client: TcpStream, mut server: TcpStream, line: usize, plan: &Arc<Mutex<Plan>>) {
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let heard = Arc::new(Mutex::new(Answers::Heard));
    let (hearing, told) = (Arc::clone(&heard), Arc::clone(plan));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = answers.read(&mut buffer) {
            if line <= told.lock().unwrap().frozen {
                continue;
            }
            let heard = *hearing.lock().unwrap();
            match heard {
                Answers::Swallowed => told.lock().unwrap().done = true,
                Answers::Heard if to_client.write_all(&buffer[..read]).is_ok() => {}
                Answers::Heard | Answers::Lost => break,
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = answers.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 64 * 1024];
    let mut transaction = Vec::new();
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        if line <= plan.lock().unwrap().frozen {
            continue;
        }
        let sent = &buffer[..read];
        if holds(sent, b"BEGIN") {
            transaction.clear();
        }
        transaction.extend_from_slice(sent);
        let lost = {
            let mut plan = plan.lock().unwrap();
            plan.seen += 1;
            match plan.cut.clone() {
                Some(Cut::Request(at, lost)) if at == plan.seen && !plan.done => {
                    plan.done = true;
                    Some(lost)
                }
                Some(Cut::CommitOf(text)) if holds(sent, b"COMMIT") && holds(&transaction, &text) => {
                    plan.cut = None;
                    *heard.lock().unwrap() = Answers::Swallowed;
                    None
                }
                Some(Cut::WireAtCommitOf(text, lost))
                    if holds(sent, b"COMMIT") && holds(&transaction, &text) =>
                {
                    plan.cut = None;
                    plan.done = true;
                    Some(lost)
                }
                _ => None,
            }
        };
        match lost {
            Some(Lost::Before) => break,
            Some(Lost::After) => *heard.lock().unwrap() = Answers::Lost,
            None => {}
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // What was swallowed is read to its end by the other thread, which then hangs up on both.
    if *heard.lock().unwrap() != Answers::Lost {
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
