//! A wire that can be cut: it stands between a store and its server and loses one request, or the answer to it.
//!
//! It knows no protocol. What a client writes at once is one request, which is how the drivers here speak.

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

#[derive(Debug, Default)]
struct Plan {
    seen: usize,
    cut: Option<(usize, Lost)>,
    /// The cut was made.
    done: bool,
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
        let server = server.to_socket_addrs().expect("an address").next().expect("one address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let proxy = Self { address: listener.local_addr().expect("it is bound"), plan: Arc::default() };
        let plan = Arc::clone(&proxy.plan);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { return };
                let plan = Arc::clone(&plan);
                std::thread::spawn(move || carry(client, server, &plan));
            }
        });
        proxy
    }

    /// From now on requests are counted from 1, and number `at` is lost with its connection.
    pub(crate) fn cut(&self, at: usize, lost: Lost) {
        *self.plan.lock().unwrap() = Plan { seen: 0, cut: Some((at, lost)), done: false };
    }

    /// Whether the cut was made.
    pub(crate) fn was_cut(&self) -> bool {
        self.plan.lock().unwrap().done
    }
}

/// One connection, request by request; answers are passed on by a thread of their own.
fn carry(mut client: TcpStream, mut server: TcpStream, plan: &Mutex<Plan>) {
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let swallow = Arc::new(Mutex::new(false));
    let swallowing = Arc::clone(&swallow);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = answers.read(&mut buffer) {
            if *swallowing.lock().unwrap() || to_client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = answers.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let lost = {
            let mut plan = plan.lock().unwrap();
            plan.seen += 1;
            let lost = plan.cut.filter(|(at, _)| *at == plan.seen && !plan.done).map(|(_, lost)| lost);
            plan.done |= lost.is_some();
            lost
        };
        match lost {
            Some(Lost::Before) => break,
            Some(Lost::After) => *swallow.lock().unwrap() = true,
            None => {}
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // What was swallowed is read to its end by the other thread, which then hangs up on both.
    if !*swallow.lock().unwrap() {
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
    }
}
