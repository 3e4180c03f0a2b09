//go:build libvirt_dlopen

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/virbr/virbr/virbrxml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "forward:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 5 {
		return errors.New("usage: forward URI NETWORK PORT GUESTPORT GUEST")
	}
	port, err := strconv.ParseUint(args[2], 10, 16)
	if err != nil {
		return err
	}
	to, err := strconv.ParseUint(args[3], 10, 16)
	if err != nil {
		return err
	}
	conn, err := libvirt.NewConnect(args[0])
	if err != nil {
		return err
	}
	defer func() { _, _ = conn.Close() }()
	return forward(conn, args[1], virbrxml.PortForward{
		Proto: "tcp", Guest: args[4], Ranges: []virbrxml.Range{{Start: uint16(port), To: uint16(to)}},
	})
}

// forward adds a forward to a network. It is in force when forward returns, because the
// definition says that it is for the running network, too.
func forward(conn *libvirt.Connect, name string, f virbrxml.PortForward) error {
	net, err := conn.LookupNetworkByName(name)
	if err != nil {
		return err
	}
	defer func() { _ = net.Free() }()
	doc, err := net.GetXMLDesc(libvirt.NETWORK_XML_INACTIVE)
	if err != nil {
		return err
	}
	var def libvirtxml.Network
	if err := def.Unmarshal(doc); err != nil {
		return err
	}
	ext, err := virbrxml.Read(&def)
	if err != nil {
		return err
	}
	ext.Forwards = append(ext.Forwards, f)
	ext.Apply = virbrxml.ApplyLive
	if err := virbrxml.Write(&def, ext); err != nil {
		return err
	}
	if doc, err = def.Marshal(); err != nil {
		return err
	}
	defined, err := conn.NetworkDefineXML(doc)
	if err != nil {
		return err
	}
	return defined.Free()
}
