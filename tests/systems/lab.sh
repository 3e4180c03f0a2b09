# Sourced by every script that a test runs in a machine.

# An outside host behind the machine's uplink, at each boot: 198.51.100.2, and 2001:db8:2::2.
lab() {
	cat >/usr/local/sbin/lab <<'X'
#!/bin/sh -e
ip netns add outside
ip link add lan0 type veth peer name eth0 netns outside
ip addr add 198.51.100.1/24 dev lan0
ip -6 addr add 2001:db8:2::1/64 dev lan0 nodad
ip link set lan0 up
ip -n outside addr add 198.51.100.2/24 dev eth0
ip -n outside -6 addr add 2001:db8:2::2/64 dev eth0 nodad
ip -n outside link set lo up
ip -n outside link set eth0 up
ip route add default via 198.51.100.2
ip -6 route add default via 2001:db8:2::2
X
	chmod 755 /usr/local/sbin/lab
	cat >/etc/systemd/system/lab.service <<'X'
[Unit]
Before=network.target
Wants=network.target
DefaultDependencies=no
After=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab
[Install]
WantedBy=multi-user.target
X
	systemctl daemon-reload
	systemctl enable --now lab.service
	echo SHUTDOWN_TIMEOUT=5 >/etc/default/libvirt-guests # this guest knows no power button
	echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/90lab # as a person would answer
}

# A guest of libvirt's that pings the outside host five times a second, and prints each answer.
guest() {
	mkdir -p /var/lib/libvirt/images
	cp /payload/guest.kernel /payload/guest.initrd /var/lib/libvirt/images/
	cat >/root/guest.xml <<'X'
<domain type='qemu'>
  <name>guest</name>
  <memory unit='MiB'>192</memory>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/var/lib/libvirt/images/guest.kernel</kernel>
    <initrd>/var/lib/libvirt/images/guest.initrd</initrd>
    <cmdline>console=ttyS0 quiet panic=-1</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <interface type='network'><mac address='52:54:00:00:00:07'/><source network='default'/><model type='virtio'/></interface>
    <serial type='file'><source path='/var/log/libvirt/guest.log'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
X
	virsh define /root/guest.xml
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local left=$(($1 * 5)) out; shift
	until out=$("$@" 2>&1); do
		left=$((left - 1))
		[ $left -gt 0 ] || { echo "gave up: $*: $out"; return 1; }
		sleep 0.2
	done
}

# shows PATTERN COMMAND...: the command prints it.
shows() { local pattern=$1; shift; "$@" | grep -q -- "$pattern"; }

# answers prints the numbers of the guest's pings that were answered, since it started.
answers() { { grep -ao 'seq=[0-9]*' /var/log/libvirt/guest.log || true; } | cut -d= -f2; }

count() { answers | wc -l; }

# pings N: until the guest had N answers more.
more() { [ "$(count)" -ge "$1" ]; }
pings() { wait_for 240 more $(($(count) + $1)); }

# seen: pings up to now do not matter. no_gap: none was lost since then.
seen() { count >/run/seen; }
no_gap() {
	answers | tail -n +"$(($(cat /run/seen) + 1))" >/run/answers
	seen
	awk 'NR > 1 && $1 != last + 1 { print "lost between ping", last, "and", $1; bad = 1 } { last = $1 } END { exit bad }' /run/answers
}
