# What Docker Engine 29 writes with its iptables backend on a host where it
# switched forwarding on itself: the policy of FORWARD is drop then. One bridge
# beside docker0, with a published port. Written after the engine's own
# documentation (moby: integration/network/bridge/iptablesdoc), by hand.
for i in iptables-nft ip6tables-nft; do
	for c in DOCKER DOCKER-BRIDGE DOCKER-CT DOCKER-FORWARD DOCKER-INTERNAL DOCKER-USER; do
		$i -N $c
	done
	$i -A FORWARD -j DOCKER-USER
	$i -A FORWARD -j DOCKER-FORWARD
	$i -A DOCKER-FORWARD -j DOCKER-CT
	$i -A DOCKER-FORWARD -j DOCKER-INTERNAL
	$i -A DOCKER-FORWARD -j DOCKER-BRIDGE
	for b in docker0 br-web; do
		$i -A DOCKER-CT -o $b -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		$i -A DOCKER-BRIDGE -o $b -j DOCKER
		$i -A DOCKER-FORWARD -i $b -j ACCEPT
		$i -A DOCKER ! -i $b -o $b -j DROP
	done
	$i -P FORWARD DROP
done
iptables-nft -I DOCKER -d 172.18.0.2/32 ! -i br-web -o br-web -p tcp -m tcp --dport 80 -j ACCEPT
iptables-nft -t nat -N DOCKER
iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables-nft -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
iptables-nft -t nat -A POSTROUTING -s 172.18.0.0/16 ! -o br-web -j MASQUERADE
iptables-nft -t nat -A DOCKER ! -i br-web -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80
iptables-nft -t raw -A PREROUTING -d 172.18.0.2/32 ! -i br-web -j DROP
