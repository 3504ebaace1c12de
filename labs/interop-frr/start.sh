#!/bin/sh
# FRR without its init script: zebra, then bfdd where it is configured, then bgpd, which stays in the foreground. After
# the death of bgpd alone, started again, it finds the others running.
set -e
install -d -o frr -g frr /run/frr
run() {
    name=$1
    shift
    install -o frr -g frr -m 640 /etc/baton-lab/"$name".conf /etc/frr/"$name".conf
    "$@" /usr/lib/frr/"$name" -u frr -g frr -f /etc/frr/"$name".conf -i /run/frr/"$name".pid -P 0 --log stdout $options
}
options=-d
for other in zebra bfdd; do
    if [ -e /etc/baton-lab/$other.conf ] && ! pidof $other >/dev/null; then
        run $other
    fi
done
options=
run bgpd exec
