#!/bin/sh
# exabgp's helper: what was received goes to a file, a line of JSON each. The shell stays, because exabgp takes the end
# of its standard output for its death.
cat >>/run/exabgp.json
exit
