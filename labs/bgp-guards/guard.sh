#!/bin/sh
# guard.sh NAME ADDRESS AS OPTIONS [EXPORT]: a bird of its own on ADDRESS. One bird speaks with a neighbour only once,
# and the neighbour of all of these is the same node.
set -e
sed -e "s/@NAME@/$1/" -e "s/@ADDRESS@/$2/" -e "s/@AS@/$3/" -e "s/@OPTIONS@/$4/" -e "s/@EXPORT@/${5:-none}/" \
    -e "s/@NODE@/$NODE/" -e "s/@ID@/10.255.1.${2##*.}/" /etc/bird/guard.conf >/run/"$1".conf
bird -c /run/"$1".conf -s /run/"$1".ctl
