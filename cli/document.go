package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/virbr/virbr/xml"
)

// maxDocument is the largest file that is read, in bytes: libvirt's own limit
// of a string on the wire (REMOTE_STRING_MAX).
const maxDocument = 4 << 20

// document is the text of one file.
type document struct {
	name string // as messages show it
	text []byte
	line int // where complaints about the whole belong; 0: not known
}

// readDocument reads a file, or standard input where the path is "-".
func readDocument(path string, stdin io.Reader) (document, error) {
	d := document{name: path}
	in := stdin
	if path == "-" {
		d.name = "stdin"
	} else {
		f, err := os.Open(path)
		if err != nil {
			return d, fileError(path, err)
		}
		defer f.Close() //nolint:errcheck // nothing was written
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return d, fileError(d.name, err)
	}
	if len(data) > maxDocument {
		return d, &problem{File: d.name, Message: fmt.Sprintf("larger than %d bytes, which no network is", maxDocument)}
	}
	d.text = data
	return d, nil
}

// fileError says what is wrong with a path, once.
func fileError(path string, err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	return &problem{File: path, Message: err.Error()}
}

// at puts the file's name and the line in front of a complaint.
func (d document) at(err error) *problem {
	p := &problem{File: d.name, Line: d.line, Message: err.Error()}
	if e, ok := errors.AsType[*xml.Error](err); ok {
		p.Line, p.Message = cmp.Or(e.Line, d.line), oneLine(e)
	}
	return p
}

// oneLine is the line of a message that says what is wrong. Messages of syntax
// errors go on with the place and a picture of it, those of the schema begin
// with the schema's file; the place stands in front already.
func oneLine(e *xml.Error) string {
	text := e.Error()
	if e.Kind == xml.KindSchema {
		text = e.Msg[strings.LastIndexByte(e.Msg, '\n')+1:]
	}
	text, _, _ = strings.Cut(text, "\n")
	for _, place := range []string{"at line %d: ", "line %d: "} {
		text = strings.TrimPrefix(text, fmt.Sprintf(place, e.Line))
	}
	return text
}

// network parses the document.
func (d document) network() (*xml.Network, error) {
	def, err := xml.ParseNetwork(d.text)
	if err != nil {
		return nil, d.at(err)
	}
	return def, nil
}

// problem is one complaint about a file.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1; 0: the file as a whole
	Message string `json:"message"`
}

func (p *problem) Error() string { return p.place() + " " + p.Message }

// place is "file:line:", or "file:" where no line is known.
func (p *problem) place() string {
	if p.Line == 0 {
		return p.File + ":"
	}
	return fmt.Sprintf("%s:%d:", p.File, p.Line)
}
