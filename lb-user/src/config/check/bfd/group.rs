//! One session and everybody who wants it: they have to agree.

use std::net::IpAddr;

use ::bfd::Hops;
use toml::Spanned;

use super::super::{Findings, family, is_link_local};
use super::Profiles;
use super::explicit::Explicit;
use super::table::{Table, Tables};
use super::wish::Wish;
use crate::desired::{Session, SessionKey, Template, User};

pub(super) struct Group<'g, 'a> {
    pub(super) key: SessionKey,
    pub(super) explicit: Option<&'g Explicit<'a>>,
    pub(super) wishes: Vec<&'g Wish<'a>>,
}

impl<'g, 'a> Group<'g, 'a> {
    /// The session, as far as nothing is wrong with it.
    pub(super) fn session(
        &self,
        profiles: &Profiles<'a>,
        interfaces: &[String],
        findings: &mut Findings,
    ) -> Option<Session> {
        let template = self.template(profiles, interfaces, findings)?;
        self.ends(&template, findings);
        let mut users = self.wishes.iter().map(|wish| wish.user.clone());
        let first = match self.explicit {
            Some(_) => User::Configuration,
            None => users.next()?,
        };
        let mut session = Session::new(self.key.clone(), &template, first);
        session.users.extend(users);
        Some(session)
    }

    /// Everything but the ends.
    pub(super) fn template(
        &self,
        profiles: &Profiles<'a>,
        interfaces: &[String],
        findings: &mut Findings,
    ) -> Option<Template> {
        let mut tables = vec![&profiles.defaults];
        tables.extend(self.profile(profiles, findings));
        tables.extend(self.explicit.map(|explicit| &explicit.table));
        let tables = Tables(tables);
        let hops = self.hops(&tables, findings);
        let template = Template {
            local: self.local(findings),
            hops,
            role: tables.role(),
            parameters: tables.parameters(findings),
        };
        self.echo(&tables, hops, interfaces, findings);
        self.passive(&tables, findings);
        let (at, key) = self.place()?;
        if hops.is_multi() && template.parameters.keys.is_none() {
            let reason = format!(
                "the session with {} is over several hops and has no key: whoever is as near can forge its packets \
                 (RFC 5883 section 6)",
                self.name()
            );
            findings.warn(&at, key, reason);
        }
        Some(template)
    }

    /// Where to point when the session as a whole is meant.
    fn place(&self) -> Option<(Spanned<()>, &'static str)> {
        if let Some(explicit) = self.explicit {
            let span = explicit.written.address.span();
            return Some((Spanned::new(span, ()), "bfd.session.address"));
        }
        self.wishes.first().map(|wish| (wish.at.clone(), wish.key))
    }

    /// An unnumbered neighbour or a range has its own, the others that of the session.
    fn name(&self) -> String {
        match self.wishes.first().map(|wish| &wish.user) {
            Some(User::Neighbor(name)) if self.key.remote.is_unspecified() => name.clone(),
            Some(_) | None => self.key.to_string(),
        }
    }

    fn profile<'p>(&self, profiles: &'p Profiles<'a>, findings: &mut Findings) -> Option<&'p Table<'a>> {
        if let Some(at) = self
            .explicit
            .and_then(|explicit| explicit.written.profile.as_ref())
        {
            return profiles.find(at, "bfd.session.profile", findings);
        }
        let mut named = self.wishes.iter().filter_map(|wish| Some((wish, wish.profile?)));
        let (first, at) = named.next()?;
        for (wish, other) in named.filter(|(_, other)| other.get_ref() != at.get_ref()) {
            let reason = format!(
                "{} wants `{}` for its session with {}, and {} (`{}`) has the same session: \
                 name one of them, or let a [[bfd.session]] decide",
                wish.user,
                other.get_ref().0,
                self.name(),
                first.user,
                at.get_ref().0
            );
            findings.refuse(other, wish.profile_key, reason);
        }
        profiles.find(at, first.profile_key, findings)
    }

    fn local(&self, findings: &mut Findings) -> Option<IpAddr> {
        if let Some(at) = self.explicit.and_then(|explicit| explicit.written.local.as_ref()) {
            return Some(*at.get_ref());
        }
        let mut named = self.wishes.iter().filter_map(|wish| Some((wish, wish.local?)));
        let (first, at) = named.next()?;
        for (wish, other) in named.filter(|(_, other)| other.get_ref() != at.get_ref()) {
            let reason = format!(
                "{} speaks from {}, and {} from {}: they have one BFD session with {}, which has one address; \
                 write the same, or let a [[bfd.session]] decide",
                wish.user,
                other.get_ref(),
                first.user,
                at.get_ref(),
                self.name()
            );
            findings.refuse(other, wish.local_key, reason);
        }
        Some(*at.get_ref())
    }

    fn hops(&self, tables: &Tables<'_, 'a>, findings: &mut Findings) -> Hops {
        let far = self.wishes.iter().filter_map(|wish| wish.far).min();
        if let Some(at) = self
            .explicit
            .and_then(|explicit| explicit.written.multihop.as_ref())
        {
            let multihop = *at.get_ref();
            if multihop && is_link_local(self.key.remote) {
                let reason = format!("{} is on the link by its nature", self.key);
                findings.refuse(at, "bfd.session.multihop", reason);
            }
            return tables.hops(multihop, far);
        }
        let is_far = |wish: &&&Wish<'_>| wish.far.is_some();
        let (away, near) = (
            self.wishes.iter().find(is_far),
            self.wishes.iter().find(|wish| !is_far(wish)),
        );
        if let (Some(away), Some(near)) = (away, near) {
            let reason = format!(
                "{} is several hops away (multihop), but {} has the same session and is on the link: \
                 let a [[bfd.session]] with multihop decide",
                away.user, near.user
            );
            findings.refuse(&away.at, away.key, reason);
        }
        tables.hops(away.is_some(), far)
    }

    fn echo(&self, tables: &Tables<'_, 'a>, hops: Hops, interfaces: &[String], findings: &mut Findings) {
        let transmit = tables
            .pick(|table| table.echo)
            .map(|(place, at)| (place, at, "echo"));
        let receive = tables.pick(|table| table.echo_receive);
        let receive = receive.map(|(place, at)| (place, at, "echo-receive"));
        for (place, at, name) in transmit.into_iter().chain(receive) {
            if at.get_ref().0.is_none() {
                continue;
            }
            if hops.is_multi() {
                let reason = format!(
                    "Echo is for neighbours on the link, and the session with {} is over several hops \
                     (RFC 5883 section 3): \"off\" in its profile or [[bfd.session]]",
                    self.name()
                );
                findings.refuse(at, &format!("{place}.{name}"), reason);
            }
            let outside = self
                .key
                .interface
                .as_ref()
                .filter(|name| !interfaces.contains(name));
            if let Some(interface) = outside.filter(|_| name == "echo-receive") {
                let reason = format!(
                    "packets of {} come by {interface}, which is not one of datapath.interfaces: \
                     nobody returns its Echo packets there",
                    self.name()
                );
                findings.warn(at, &format!("{place}.{name}"), reason);
            }
        }
    }

    /// The nodes of a cluster have the same configuration, as a rule.
    fn passive(&self, tables: &Tables<'_, 'a>, findings: &mut Findings) {
        let mut users = self.wishes.iter().map(|wish| &wish.user);
        let peer = users.find(|user| matches!(user, User::Peer(_)));
        if let (Some(peer), Some((place, at))) = (peer, tables.passive()) {
            let reason = format!(
                "the session with {} watches {peer}: if both nodes wait for the other to speak (RFC 5880 section 6.1), \
                 neither ever does; `passive = false` in its profile or [[bfd.session]]",
                self.name()
            );
            findings.refuse(at, &format!("{place}.passive"), reason);
        }
    }

    /// What the core would not take.
    fn ends(&self, template: &Template, findings: &mut Findings) {
        let Some((at, key)) = self.place() else { return };
        let remote = self.key.remote;
        let link_local = remote.is_ipv6() && is_link_local(remote);
        if link_local && self.key.interface.is_none() {
            let reason = format!(
                "{remote} is link-local: BFD needs a [[bfd.session]] with address = \"{remote}%eth1\""
            );
            findings.refuse(&at, key, reason);
        }
        let Some(explicit) = self.explicit else { return };
        if let (Hops::Single, Some(at)) = (template.hops, explicit.table.settings.minimum_ttl) {
            let reason = "is for sessions with multihop = true: on the link it is 255 (RFC 5881 section 5)";
            findings.refuse(at, "bfd.session.minimum-ttl", reason);
        }
        let Some(local) = explicit.written.local.as_ref() else {
            return;
        };
        let address = findings.unicast(local, "bfd.session.local");
        if address.is_ipv4() != remote.is_ipv4() {
            let reason = format!(
                "{address} is {}, but {remote} is {}",
                family(address),
                family(remote)
            );
            findings.refuse(local, "bfd.session.local", reason);
        }
        if address == remote {
            findings.refuse(
                local,
                "bfd.session.local",
                format!("{address} is the other end's address"),
            );
        }
    }
}
