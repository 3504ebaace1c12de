//! What monitoring stations hear of a neighbour (RFC 7854).
use crate::io::{DownReason, Monitored, Output};
use crate::peer::Peer;
use crate::session::Failure;
use crate::speaker::Shared;
use crate::wire::{Cease, Encoding, Message, Notification};

impl Peer {
    fn monitor(shared: &mut Shared, monitored: Monitored) {
        shared.outputs.push_back(Output::Monitor(Box::new(monitored)));
    }

    /// The session is up, or monitoring begins while it is (RFC 7854 section 4.10).
    pub(crate) fn monitor_up(&self, shared: &mut Shared) {
        let Some(connection) = self.established().filter(|_| shared.monitoring) else {
            return;
        };
        let Some(local) = connection.local else { return };
        let up = Monitored::PeerUp {
            peer: self.id,
            sent: connection.open_sent.clone(),
            received: connection.open_received.clone(),
            local,
            remote: self.config.remote(),
        };
        Self::monitor(shared, up);
    }

    /// RFC 7854 section 4.9.
    pub(super) fn monitor_down(&self, shared: &mut Shared, failure: &Failure) {
        if !shared.monitoring {
            return;
        }
        let whole = |notification: &Notification| {
            let message = Message::Notification(notification.clone());
            message.encode(Encoding::default()).unwrap_or_default()
        };
        let deconfigured = Notification::from(Cease::PeerDeconfigured);
        let reason = match (&failure.notification, &failure.received) {
            (Some(sent), _) if *sent == deconfigured => DownReason::Deconfigured,
            (Some(sent), _) => DownReason::LocalNotification(whole(sent)),
            (None, Some(received)) => DownReason::RemoteNotification(whole(received)),
            (None, None) if failure.local => DownReason::LocalSilent,
            (None, None) => DownReason::RemoteSilent,
        };
        let peer = self.id;
        Self::monitor(shared, Monitored::PeerDown { peer, reason });
    }

    pub(super) fn monitor_received(&self, shared: &mut Shared, message: &[u8]) {
        if shared.monitoring {
            let (peer, message) = (self.id, message.to_vec());
            Self::monitor(shared, Monitored::Received { peer, message });
        }
    }

    /// UPDATEs that do not come from the tables.
    pub(super) fn monitor_sent(&self, shared: &mut Shared, messages: &[u8]) {
        if shared.monitoring {
            let (peer, messages) = (self.id, messages.to_vec());
            Self::monitor(shared, Monitored::Sent { peer, messages });
        }
    }
}
