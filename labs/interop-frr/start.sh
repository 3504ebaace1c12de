#!/bin/sh
# FRR without its init script: zebra, then bfdd, then bgpd, which stays in the foreground.
set -e
install -d -o frr -g frr /run/frr
install -o frr -g frr -m 640 /etc/baton-lab/frr.conf /etc/frr/frr.conf
daemon() {
    name=$1
    shift
    /usr/lib/frr/"$name" -u frr -g frr -f /etc/frr/frr.conf -i /run/frr/"$name".pid -P 0 --log stdout "$@"
}
daemon zebra -d
daemon bfdd -d
daemon bgpd
