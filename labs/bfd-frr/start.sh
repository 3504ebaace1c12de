#!/bin/sh
# FRR without its init script: zebra, then bfdd, which stays in the foreground.
set -e
install -d -o frr -g frr /run/frr
for name in zebra bfdd; do
    install -o frr -g frr -m 640 /etc/baton-lab/$name.conf /etc/frr/$name.conf
done
pidof zebra >/dev/null || /usr/lib/frr/zebra -d -u frr -g frr -f /etc/frr/zebra.conf -i /run/frr/zebra.pid -P 0
exec /usr/lib/frr/bfdd -u frr -g frr -f /etc/frr/bfdd.conf -i /run/frr/bfdd.pid -P 0 --log stdout
