package state

import (
	"fmt"
	"path/filepath"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/xml"
)

// SavePort writes a port's file.
func (d Dirs) SavePort(network string, p *xml.Port) error {
	path := d.portFile(network, p.UUID)
	if err := disk.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fileError(err, "cannot create directory '%s'", filepath.Dir(path))
	}
	text := comment("make a port", "net-port-create "+p.UUID.String()) + p.Format()
	return fileError(write(path, text), "cannot write port file '%s'", path)
}

// Ports returns a network's ports in the order of their UUIDs. Files that cannot be
// read are left out; the errors are about them.
func (d Dirs) Ports(network string) (list []*xml.Port, errs []error) {
	names, err := disk.Stems(d.ports(network), ".xml")
	if err != nil {
		return nil, []error{fmt.Errorf("listing ports: %w", err)}
	}
	for _, name := range names {
		p, err := d.readPort(network, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the file of port %q: %w", name, err))
			continue
		}
		list = append(list, p)
	}
	return list, errs
}

func (d Dirs) readPort(network, name string) (*xml.Port, error) {
	data, err := Read(filepath.Join(d.ports(network), name+".xml"))
	if err != nil {
		return nil, err
	}
	p, err := xml.ParsePort(data)
	if err == nil && p.UUID.String() != name {
		err = fmt.Errorf("the file is about port %s", p.UUID)
	}
	return p, err
}

// RemovePort removes a port's file.
func (d Dirs) RemovePort(network string, uuid xml.UUID) error {
	path := d.portFile(network, uuid)
	return fileError(remove(path), "cannot remove port file '%s'", path)
}

// RemovePorts removes the files of all ports of a network. The directory stays, as
// with libvirt.
func (d Dirs) RemovePorts(network string) error {
	found, err := disk.Stems(d.ports(network), ".xml")
	if err != nil {
		return err
	}
	for i, stem := range found {
		found[i] = filepath.Join(d.ports(network), stem+".xml")
	}
	return remove(found...)
}
