#!/bin/sh
# Writes 256 sessions into the configuration of a node, or 256 neighbours into that of bird, and gives each end its
# addresses: bird knows a neighbour by its address alone, and so does the node.
set -e
each() {
    for index in $(seq 0 255); do
        "$1" "10.1.1.$index" "10.1.2.$index"
    done
}
session() {
    printf '\n[[bfd.session]]\naddress = "%s"\nlocal = "%s"\n' "$1" "$2"
}
neighbor() {
    echo "  neighbor $2 dev \"eth1\" local $1;"
}
address_of_bird() {
    echo "addr add $1/16 dev eth1"
}
address_of_node() {
    echo "addr add $2/16 dev eth1"
}
case "$1" in
node)
    each address_of_node | ip -b -
    install -D -m 644 /etc/baton-lab/baton.toml /etc/baton/baton.toml
    each session >>/etc/baton/baton.toml
    ;;
bird)
    each address_of_bird | ip -b -
    {
        cat <<'END'
log stderr all;
router id 10.255.0.254;
protocol device {}
protocol bfd bfd1 {
  interface "eth1" {
    min rx interval 50 ms;
    min tx interval 50 ms;
    idle tx interval 500 ms;
    multiplier 5;
  };
END
        each neighbor
        echo "}"
    } >/etc/bird/bird.conf
    ;;
esac
