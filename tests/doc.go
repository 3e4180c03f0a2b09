// Package tests holds the corpus of golden files, which every room has a part
// in, and the tests of the commands.
//
// A case is one file, corpus/NAME.txtar. Its comment says why it is there, and
// where it comes from if it was not written here. Then come a definition and
// what it must become; a section that is not there is not looked at:
//
//	in.xml        a network
//	out.xml       its canonical XML
//	inactive.xml  the same, as virsh net-dumpxml --inactive
//	dnsmasq.conf  the configuration of its dnsmasq
//	hosts         its dhcp-hostsfile
//	addnhosts     its addn-hosts file
//	ruleset.nft   its firewall rules, as a script
//	plan          the steps that start it
//	error         why it is refused, and nothing else then
//
// Definitions fit the schema, unless a line "outside the schema: in.xml ..." in
// the comment names those that do not: parsers take more than schemas describe.
//
// A case of net-update has net.xml and update.xml in the place of in.xml, and a
// line "update: COMMAND SECTION [PARENT-INDEX]" in its comment. A case of a
// network port has port.xml.
//
//	go test ./tests -run Corpus/conf-nat/xml2conf
//	go test ./tests -run Corpus -update    rewrites the sections that exist
package tests
