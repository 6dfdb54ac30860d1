//! A wire between master and worker that can be cut or corrupted.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::Api;

/// What happens to a file on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection breaks in the middle of it.
    Cut,
    /// One of its bits is turned.
    Flip,
}

/// A wire to a worker; what is sent to its own address goes on to the worker.
#[derive(Debug)]
pub(crate) struct Line {
    /// Where it begins.
    pub(crate) api: Api,
    counts: Arc<Counts>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

#[derive(Debug)]
struct Counts {
    faults_left: AtomicUsize,
    files: AtomicUsize,
}

impl Line {
    /// A wire to `end` on which the first `faults` files suffer this.
    pub(crate) fn to(end: SocketAddr, fault: Fault, faults: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let api = Api::new(&format!("http://{}", listener.local_addr().expect("an address")));
        let counts = Arc::new(Counts { faults_left: faults.into(), files: 0.into() });
        let shared = Arc::clone(&counts);
        let open = Arc::new(Mutex::new(Vec::new()));
        let opened = Arc::clone(&open);
        // Ends with the test program.
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let counts = Arc::clone(&shared);
                let Ok(far) = TcpStream::connect(end) else { continue };
                let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { continue };
                opened
                    .lock()
                    .expect("nobody panics")
                    .extend([near.try_clone(), far.try_clone()].into_iter().flatten());
                std::thread::spawn(move || carry_requests(near, far, fault, &counts));
                std::thread::spawn(move || carry(far_too, near_too));
            }
        });
        Self { api, counts, open }
    }

    /// Breaks all connections that are open; new ones are fine.
    pub(crate) fn cut(&self) {
        self.open.lock().expect("nobody panics").drain(..).for_each(|stream| end(&stream));
    }

    /// How many files were sent along it, whole or not.
    pub(crate) fn files(&self) -> usize {
        self.counts.files.load(Ordering::SeqCst)
    }
}

/// Carries what comes to the other side, and its end.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    end(&from);
    end(&to);
}

/// The same, but looks for files, which come in requests that begin with `PUT /worker/files/`. Requests begin at a
/// piece's first byte, because nobody sends the next before the last was answered.
fn carry_requests(mut from: TcpStream, mut to: TcpStream, fault: Fault, counts: &Counts) {
    let mut piece = [0; 16 << 10];
    let mut in_bad_file = false;
    while let Ok(read @ 1..) = from.read(&mut piece) {
        let bytes = &mut piece[..read];
        if bytes.starts_with(b"PUT /worker/files/") {
            counts.files.fetch_add(1, Ordering::SeqCst);
            let left =
                counts.faults_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            in_bad_file = fault != Fault::None && left.is_ok();
        }
        // The file itself, not the head before it: with the marker that the test's file holds.
        let marker = bytes.windows(MARKER.len()).position(|window| window == MARKER);
        if let (true, Some(at)) = (in_bad_file, marker) {
            in_bad_file = false;
            match fault {
                Fault::Cut => {
                    let _ = to.write_all(&bytes[..at + 1]);
                    break;
                }
                Fault::Flip => bytes[at] ^= 1,
                Fault::None => {}
            }
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    end(&from);
    end(&to);
}

/// What faults look for in files.
pub(crate) const MARKER: &[u8] = b"#suffers-here#";

fn end(stream: &TcpStream) {
    // It may be over already.
    let _ = stream.shutdown(Shutdown::Both);
}
