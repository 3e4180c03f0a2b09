package xml

import "errors"

// reading is one reading of a document that somebody accepted earlier: a file of a
// network that runs, perhaps under libvirt's daemon, or that was defined under it.
// What is wrong in it is noted, not refused, so that the network is not lost.
type reading struct {
	faults  []error
	partial bool
}

// Fault says what is wrong in a definition that was read by [LoadNetwork] or
// [ParseStatus]. Such a network is known, runs on and can be stopped, but it can
// neither start nor change until it is defined anew.
type Fault struct {
	Reasons []error // each an [*Error]

	// Partial: elements are missing whose values could not be read at all. What
	// follows from the definition is not what the network has.
	Partial bool
}

func (f *Fault) Error() string { return errors.Join(f.Reasons...).Error() }

// Unwrap returns the reasons.
func (f *Fault) Unwrap() []error { return f.Reasons }

// LoadNetwork is [ParseNetwork] for files: what is wrong in one is in Fault of the
// result, as long as the document is well-formed, and names a network.
func LoadNetwork(doc []byte) (*Network, error) {
	root, err := parseDocument(doc, "network")
	if err != nil {
		return nil, err
	}
	return loadNetwork(root)
}

// loadNetwork reads a <network> element leniently.
func loadNetwork(root *node) (*Network, error) {
	r := &reading{}
	root.readBy(r)
	n, err := parseNetwork(root)
	if err == nil && len(r.faults) > 0 {
		n.Fault = &Fault{Reasons: r.faults, Partial: r.partial}
	}
	return n, err
}

// readBy makes the elements of a tree part of a reading, but for metadata: what
// virbr's own elements say is not libvirt's to accept.
func (n *node) readBy(r *reading) {
	n.reading = r
	for _, c := range n.children {
		if c.kind == elementNode && c.name != "metadata" {
			c.readBy(r)
		}
	}
}

// accept takes the result of a check that libvirt does not make. In a lenient
// reading a refusal is noted, and the value stays. n may be nil.
func (n *node) accept(err error) error {
	if err == nil || n == nil || n.reading == nil {
		return err
	}
	n.reading.faults = append(n.reading.faults, err)
	return nil
}

// miss takes an error for which elements are left out. In a lenient reading it is
// noted.
func (n *node) miss(err error) error {
	if err != nil && n.reading != nil {
		n.reading.partial = true
	}
	return n.accept(err)
}
