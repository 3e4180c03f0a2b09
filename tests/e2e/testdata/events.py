"""Prints network events as they come; each line of input is a command."""
import sys
import threading

import libvirt

libvirt.virEventRegisterDefaultImpl()


def turn():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=turn, daemon=True).start()
conn = libvirt.open("qemu:///system")
WHAT = ["defined", "undefined", "started", "stopped"]


def told(conn, net, event, detail, who):
    print("%s: %s %s %d" % (who, net.name(), WHAT[event], detail), flush=True)


ids = {}
for line in sys.stdin:
    word, who, *name = line.split()
    if word == "register":
        net = conn.networkLookupByName(name[0]) if name else None
        ids[who] = conn.networkEventRegisterAny(net, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, told, who)
    else:
        conn.networkEventDeregisterAny(ids[who])
    print("%s %s" % (word, who), flush=True)
