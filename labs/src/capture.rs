//! What passes the links of a running lab, written to a pcap file by the runner itself, and read by tshark.
//!
//! One thread per captured node reads a packet socket that was opened inside the node's namespace. The socket is bound
//! to no interface: a link that is made anew after a power loss at its other end is captured on. [`Capture::settle`]
//! says when everything that passed before is in the file; only then do marks and counts mean something.

mod socket;
mod tshark;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Context, Error, Result};
use crate::lab::{Lab, Protocol};
use crate::netns::Netns;
use crate::topology::Endpoint;

use socket::Socket;
pub(crate) use tshark::Question;

/// Longest wait for a frame before the thread looks up.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the thread may take to write what has passed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Frames between two writes.
const BATCH: usize = 256;

/// The captured links of one node.
pub(crate) struct Capture {
    node: String,
    file: PathBuf,
    decode: Vec<String>,
    speaks: Protocol,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Frames in the file.
    written: AtomicU64,
    /// Frames that the kernel dropped because the thread was too slow.
    dropped: AtomicU64,
    /// Times that somebody asked for an empty queue, and the last of them that was answered.
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Capture {
    /// Starts to capture the links that `lab.toml` names, one file per node.
    pub(crate) fn start_all(lab: &Lab) -> Result<Vec<Self>> {
        let mut captures: Vec<(String, Vec<String>)> = Vec::new();
        for Endpoint { node, interface } in lab.settings.capture.iter().cloned() {
            match captures.iter_mut().find(|(name, _)| *name == node) {
                Some((_, interfaces)) => interfaces.push(interface),
                None => captures.push((node, vec![interface])),
            }
        }
        captures
            .into_iter()
            .map(|(node, interfaces)| Self::start(lab, node, interfaces))
            .collect()
    }

    fn start(lab: &Lab, node: String, interfaces: Vec<String>) -> Result<Self> {
        let path = lab.run_folder().join(format!("{node}.pcap"));
        let what = || format!("capture of node {node}");
        let mut file = File::create(&path).context(|| path.display().to_string())?;
        file.write_all(&file_header()).context(what)?;
        let socket = Netns::of(lab.name(), &node).run(Socket::open)?.context(what)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || record(&socket, &interfaces, file, &theirs));
        Ok(Self {
            node,
            file: path,
            decode: lab.settings.decode.clone(),
            speaks: lab.settings.speaks,
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Waits until everything that has passed is in the file, and returns how many frames that are.
    ///
    /// # Errors
    /// The capture has ended or lost frames.
    pub(crate) fn settle(&self) -> Result<u64> {
        let shared = &self.shared;
        let ticket = shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let deadline = Instant::now() + PATIENCE;
        while shared.answered.load(Ordering::SeqCst) < ticket {
            let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            if ended || Instant::now() >= deadline {
                return Err(self.fault("does not keep up or has ended"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        match shared.dropped.load(Ordering::SeqCst) {
            0 => Ok(shared.written.load(Ordering::SeqCst)),
            lost => Err(self.fault(&format!("the kernel dropped {lost} frames: it proves nothing"))),
        }
    }

    /// Asks tshark about the frames behind number `since`.
    ///
    /// # Errors
    /// The capture has failed, or tshark has.
    pub(crate) fn ask(&self, question: &Question<'_>, since: u64) -> Result<Vec<(u64, Vec<String>)>> {
        self.settle()?;
        tshark::ask(&self.file, &self.decode, question, since)
    }

    /// Nothing that tshark decodes of the protocols under test may carry a mark of malformation, and
    /// there must be some of what the lab speaks: a capture of nothing proves nothing.
    ///
    /// # Errors
    /// What is wrong with which frames.
    pub(crate) fn check(&self) -> Result<()> {
        self.settle()?;
        tshark::check(&self.file, &self.decode, self.speaks).map_err(|error| self.fault(&error.to_string()))
    }

    fn fault(&self, message: &str) -> Error {
        Error::Expectation(format!("capture {}: {message}", self.file.display()))
    }
}

impl Drop for Capture {
    /// The socket holds the namespace; it must be closed before the lab goes down.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("capture of node {}: {error}", self.node);
        }
    }
}

/// Looks a capture up by node; without a name there must be only one.
pub(crate) fn of<'a>(captures: &'a [Capture], node: Option<&str>) -> Result<&'a Capture> {
    let found = match (node, captures) {
        (Some(node), _) => captures.iter().find(|capture| capture.node() == node),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        Error::Missing(format!(
            "no capture of {}; `capture` in lab.toml names them",
            node.unwrap_or("the one node")
        ))
    })
}

fn record(socket: &Socket, interfaces: &[String], mut file: File, shared: &Shared) -> io::Result<()> {
    let mut frame = vec![0; 65_536 + 64];
    let mut records = Vec::new();
    loop {
        let asked = shared.asked.load(Ordering::SeqCst);
        let stop = shared.stop.load(Ordering::SeqCst);
        let mut count = 0;
        let mut empty = false;
        while count < BATCH && !empty {
            match socket.receive(&mut frame, interfaces)? {
                Some(Some(bytes)) => {
                    push_record(&mut records, bytes);
                    count += 1;
                }
                Some(None) => {}
                None => empty = true,
            }
        }
        file.write_all(&records)?;
        records.clear();
        shared
            .written
            .fetch_add(u64::try_from(count).unwrap_or(0), Ordering::SeqCst);
        shared.dropped.fetch_add(socket.dropped(), Ordering::SeqCst);
        if empty {
            shared.answered.store(asked, Ordering::SeqCst);
            if stop {
                return Ok(());
            }
            socket.wait(PAUSE);
        }
    }
}

/// pcap, microseconds, Ethernet.
fn file_header() -> Vec<u8> {
    let mut header = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        header.extend(word.to_ne_bytes());
    }
    header
}

fn push_record(records: &mut Vec<u8>, frame: &[u8]) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    // The format holds seconds in 32 bits.
    let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
    for word in [seconds, now.subsec_micros(), length, length] {
        records.extend(word.to_ne_bytes());
    }
    records.extend(frame);
}
