#!/bin/sh
# FRR without its init script: zebra, then bfdd, then bgpd, which stays in the foreground.
set -e
install -d -o frr -g frr /run/frr
daemon() {
    name=$1
    shift
    install -o frr -g frr -m 640 /etc/baton-lab/"$name".conf /etc/frr/"$name".conf
    /usr/lib/frr/"$name" -u frr -g frr -f /etc/frr/"$name".conf -i /run/frr/"$name".pid -P 0 --log stdout "$@"
}
daemon zebra -d
daemon bfdd -d
daemon bgpd
