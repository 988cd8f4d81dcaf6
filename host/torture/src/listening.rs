//! A socket of this machine that somebody serves: a thread for each connection, and all end with it.

use std::io::Result;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

#[derive(Debug)]
pub struct Listening {
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Listening {
    pub fn start(serve: impl Fn(TcpStream) -> Result<()> + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let over = Arc::<AtomicBool>::default();
        let is_over = over.clone();
        let serve = Arc::new(serve);
        let accepting = std::thread::spawn(move || {
            let (mut connections, mut well) = (Vec::<JoinHandle<()>>::new(), true);
            for socket in listener.incoming() {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                // Those that are over are joined as they end, since there may be thousands.
                for ended in connections.extract_if(.., |connection| connection.is_finished()) {
                    well &= ended.join().is_ok();
                }
                let serve = serve.clone();
                connections.push(std::thread::spawn(move || {
                    // Whoever asks may hang up at any time.
                    let _ = socket.and_then(|socket| serve(socket));
                }));
            }
            for connection in connections {
                well &= connection.join().is_ok();
            }
            assert!(well, "a connection has failed");
        });
        Ok(Self {
            address,
            over,
            accepting: Some(accepting),
        })
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
