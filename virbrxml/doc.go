// Package virbrxml reads and writes what virbr adds to a network's metadata (port
// forwards, public addresses, prefixes), in the networks of libvirt.org/go/libvirtxml:
// for Terraform providers, operators and other programs that make definitions with
// that package.
//
//	net := &libvirtxml.Network{Name: "default", ...}
//	ext, err := virbrxml.Read(net)
//	ext.Forwards = append(ext.Forwards, virbrxml.PortForward{Proto: "tcp", Guest: "web1",
//		Ranges: []virbrxml.Range{{Start: 8080, To: 80}}})
//	err = virbrxml.Write(net, ext)
//
// What is written is what virbrd and its hook take: the same code checks it there.
// Metadata of others stays.
package virbrxml
