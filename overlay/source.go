package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/xml"
)

// Source says where a network's extensions come from.
type Source string

// The sources.
const (
	Nowhere  Source = ""
	Metadata Source = "metadata" // of the network itself
	File     Source = "file"     // of our own: Dirs.Config
)

// extension is a network with its extensions.
type extension struct {
	def  *xml.Network // as its daemon has it, the extensions in its metadata
	from Source
	note string // what people should know about it; "": nothing
}

// Concerned reports whether a document about a network may be any of our business.
// It is quick, for most networks are not: it believes no more of the document than
// that it would name our namespace.
func (d Dirs) Concerned(network string, doc []byte) bool {
	return d.extended(network, doc) || !d.Idle()
}

// extended reports whether a network may have extensions.
func (d Dirs) extended(network string, doc []byte) bool {
	if bytes.Contains(doc, []byte(xml.Namespace)) {
		return true
	}
	_, err := os.Stat(d.file(network))
	return !errors.Is(err, fs.ErrNotExist)
}

// Idle reports whether nothing is added to any network.
func (d Dirs) Idle() bool {
	left, err := disk.Stems(d.records(), ".json")
	return err == nil && len(left) == 0
}

// extend returns a network with its extensions; nil: it has none. Those in its
// metadata win over our own file, for they are what clients of libvirt see.
func (d Dirs) extend(o *xml.Outline) (*extension, error) {
	path := d.file(o.Name)
	text, err := readFile(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, fmt.Errorf("reading the extensions of network %q: %w", o.Name, err)
	}
	if !o.Extended && missing {
		return nil, nil
	}
	def, err := o.Network()
	if err != nil {
		return nil, fmt.Errorf("reading network %q: %w", o.Name, err)
	}
	x := &extension{def: def, from: Metadata}
	switch {
	case !o.Extended:
		x.from = File
		ext, err := xml.ParseExtensions(text)
		if err == nil {
			err = def.SetExtensions(ext)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", path, err)
		}
		if ext.IsZero() {
			return nil, nil
		}
	case !missing:
		x.note = fmt.Sprintf("the extensions in the network's metadata are used, %q is not", path)
	}
	if ext, err := def.Extensions(); err != nil {
		return nil, fmt.Errorf("reading the metadata of network %q: %w", o.Name, err)
	} else if ext.IsZero() {
		return nil, nil
	}
	return x, nil
}
