package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// extension is a network with its extensions.
type extension struct {
	def  *xml.Network // as its daemon has it, the extensions in its metadata
	from plan.Source
	note string // what people should know about it; "": nothing
}

// Concerned reports whether a document about a network may be any of our business.
// It is quick, for most networks are not: it believes no more of the document than
// that it would name our namespace.
func Concerned(files state.Overlay, network string, doc []byte) bool {
	return extended(files, network, doc) || !files.Idle()
}

// extended reports whether a network may have extensions.
func extended(files state.Overlay, network string, doc []byte) bool {
	if bytes.Contains(doc, []byte(xml.Namespace)) {
		return true
	}
	_, err := os.Stat(files.Extensions(network))
	return !errors.Is(err, fs.ErrNotExist)
}

// extend returns a network with its extensions; nil: it has none. Those in its
// metadata win over our own file, for they are what clients of libvirt see.
func (e *Engine) extend(o *xml.Outline) (*extension, error) {
	path := e.files.Extensions(o.Name)
	text, err := state.Read(path)
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
	x := &extension{def: def, from: plan.Metadata}
	switch {
	case !o.Extended:
		x.from = plan.File
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
