//! While sessions run and nothing changes, the BFD thread allocates nothing: an allocator may take a lock that a thread
//! of lower priority holds. Alone in its process, because it counts for the whole of it.
#![allow(
    clippy::unwrap_used,
    reason = "the lint only exempts functions marked as tests"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bfd::{Algorithm, Hops, Key, Keys, Parameters, Path, Role, SessionConfig, State, Timing};
use lb_user::bfd_thread::{self, Handle, News, Options};

const DEADLINE: Duration = Duration::from_secs(60);
/// One for each address that is listened on.
const SESSIONS: u8 = 4;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Set on the BFD threads.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: everything is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if WATCHED.try_with(Cell::get).unwrap_or(false) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn address(node: u8, session: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 40 + node, session + 1).into()
}

fn start(node: u8, port: u16) -> Handle {
    let options = Options {
        listen: (0..SESSIONS).map(|session| address(node, session)).collect(),
        port,
        multihop_port: port + 1,
        lock_memory: false,
        ..Options::default()
    };
    let on_change = |change: bfd_thread::Change| {
        if matches!(change.news, News::State(state) if state.to == State::Up) {
            WATCHED.set(true);
        }
    };
    bfd_thread::spawn(&options, on_change).unwrap().0
}

/// Plain, authenticated, over several hops, and both.
fn config(index: u8, local: IpAddr, remote: IpAddr) -> SessionConfig {
    let mut parameters = Parameters::new(Timing::symmetric(Duration::from_millis(20), 10));
    if index & 1 != 0 {
        let key = Key::new(1, Algorithm::MeticulousKeyedSha1, b"secret").unwrap();
        parameters.keys = Some(Arc::new(Keys::new(vec![key], 1).unwrap()));
    }
    SessionConfig {
        path: Path {
            local,
            remote,
            interface: None,
            hops: if index & 2 == 0 {
                Hops::Single
            } else {
                Hops::Multi { minimum_ttl: 255 }
            },
        },
        role: Role::Active,
        parameters,
    }
}

/// Waits until every session is settled and has received so many packets.
fn settled(handles: &[Handle; 2], packets: u64) {
    let deadline = Instant::now() + DEADLINE;
    let done = |handle: &Handle| {
        let sessions = handle.report().sessions;
        sessions.len() == usize::from(SESSIONS)
            && sessions.iter().all(|session| {
                let status = &session.status;
                status.state == State::Up && !status.polling && status.counters.received >= packets
            })
    };
    while !handles.iter().all(done) {
        assert!(Instant::now() < deadline, "{:#?}", handles[0].report());
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_allocated_while_sessions_run() {
    let probe = std::net::UdpSocket::bind((address(0, 0), 0)).unwrap();
    let port = probe.local_addr().unwrap().port().clamp(2_000, 65_000);
    drop(probe);
    let handles = [0, 1].map(|node| start(node, port));
    for (node, handle) in (0..).zip(&handles) {
        for session in 0..SESSIONS {
            let (local, remote) = (address(node, session), address(1 - node, session));
            handle.put(remote.into(), config(session, local, remote)).unwrap();
        }
    }
    settled(&handles, 20);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    assert!(before > 0, "bringing sessions up allocates: the counter works");
    settled(&handles, 200);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
    for handle in &handles {
        assert!(
            handle
                .report()
                .sessions
                .iter()
                .all(|session| session.status.counters.downs == 0)
        );
        handle.halt();
    }
}
