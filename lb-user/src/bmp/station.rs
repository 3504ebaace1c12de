//! One station: connect, write what its queue has, connect again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tracing::{debug, info, warn};

use super::hub::{Hub, Item, Queue};
use super::{Ask, lock};

const CONNECT: Duration = Duration::from_secs(5);
/// Between two attempts, doubled after each that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A station that takes nothing for so long is gone.
const WRITE: Duration = Duration::from_secs(60);
const STATISTICS: Duration = Duration::from_secs(60);

pub(super) struct Station {
    address: SocketAddr,
    hub: Arc<Mutex<Hub>>,
    ask: Ask,
}

impl Station {
    pub(super) fn new(address: SocketAddr, hub: Arc<Mutex<Hub>>, ask: Ask) -> Self {
        Self { address, hub, ask }
    }

    pub(super) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match timeout(CONNECT, TcpStream::connect(self.address)).await {
                Ok(Ok(stream)) => {
                    info!(station = %self.address, "monitoring station connected");
                    let Some(queue) = lock(&self.hub).connected(self.address) else {
                        return;
                    };
                    let begin = Instant::now();
                    let ended = self.serve(stream, queue).await;
                    lock(&self.hub).disconnected(self.address);
                    match ended {
                        Ok(()) => return,
                        Err(error) => {
                            warn!(station = %self.address, %error, "monitoring station lost");
                        }
                    }
                    if begin.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                }
                Ok(Err(error)) => debug!(station = %self.address, %error, "monitoring station"),
                Err(_) => debug!(station = %self.address, "monitoring station does not answer"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// `Ok` at the end of monitoring.
    async fn serve(&self, mut stream: TcpStream, mut queue: Queue) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        let (mut read, mut write) = stream.split();
        (self.ask)(queue.state());
        let mut statistics = interval_at(Instant::now() + STATISTICS, STATISTICS);
        statistics.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut word = [0; 64];
        loop {
            tokio::select! {
                item = queue.items.recv() => {
                    let Some(item) = item else { break };
                    self.write(&mut write, &item, &queue).await?;
                }
                // Stations have nothing to say; what they say all the same is skipped.
                said = read.read(&mut word) => if said? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                },
                _ = statistics.tick() => (self.ask)(queue.statistics()),
            }
        }
        if lock(&self.hub).is_finished() {
            let _ = write.shutdown().await;
            return Ok(());
        }
        Err(io::Error::other("it did not keep up"))
    }

    async fn write(
        &self,
        to: &mut (impl AsyncWriteExt + Unpin),
        item: &Item,
        queue: &Queue,
    ) -> io::Result<()> {
        timeout(WRITE, to.write_all(&item.bytes)).await??;
        queue.written(item);
        if item.more {
            (self.ask)(queue.state());
        }
        Ok(())
    }
}
