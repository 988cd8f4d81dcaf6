//! A socket of this machine that the tests serve: a thread for each connection, and all end with it.

use std::io::Result;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Listening {
    pub(crate) fn start(serve: impl Fn(TcpStream) -> Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::<AtomicBool>::default();
        let is_over = over.clone();
        let serve = Arc::new(serve);
        let accepting = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for socket in listener.incoming() {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                let serve = serve.clone();
                connections.push(std::thread::spawn(move || {
                    // A program that has heard enough hangs up.
                    let _ = socket.and_then(|socket| serve(socket));
                }));
            }
            for connection in connections {
                connection.join().expect("a connection has failed");
            }
        });
        Self {
            address,
            over,
            accepting: Some(accepting),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the thread that waits for connections.
        let woken = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take().filter(|_| woken.is_ok()) {
            let ended = accepting.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server has failed");
        }
    }
}
