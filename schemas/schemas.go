package schemas

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/virbr/virbr/schemas/relaxng"
	"github.com/virbr/virbr/xml"
)

// Dir is where packages install the schemas. Error messages name the files
// there, as libvirt's name its own.
const Dir = "/usr/share/virbr/schemas"

// The schemas of the three kinds of document, by their names in Dir.
const (
	networkFile   = "network.rng"
	portFile      = "networkport.rng"
	extensionFile = "virbr.rng"
)

//go:embed *.rng
var files embed.FS

// FS returns the schema files, for installation and for other validators.
func FS() fs.FS { return files }

//go:embed json/*.json
var forms embed.FS

// Forms lists what has a JSON schema: extensions, and what commands of virbr print.
func Forms() []string {
	entries, err := forms.ReadDir("json")
	if err != nil {
		panic("schemas: " + err.Error()) // embedded
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".json")
	}
	return names
}

// Form returns one of these schemas; "": there is none of this name.
func Form(name string) string {
	text, err := forms.ReadFile("json/" + name + ".json")
	if err != nil {
		return ""
	}
	return string(text)
}

// Validator checks documents against the schemas. It may be used by several
// goroutines at a time.
type Validator struct {
	network, port, extension compiled
}

// compiled returns a schema, which its first call compiles.
type compiled func() (*relaxng.Schema, error)

// New returns a Validator. Schemas are compiled when they are first needed,
// which takes a few milliseconds: make one Validator and keep it.
func New() *Validator {
	return &Validator{network: lazy(networkFile), port: lazy(portFile), extension: lazy(extensionFile)}
}

func lazy(file string) compiled {
	return sync.OnceValues(func() (*relaxng.Schema, error) {
		return relaxng.Compile(file, files.ReadFile)
	})
}

// ValidateNetwork checks a <network> document, as VIR_NETWORK_DEFINE_VALIDATE
// and VIR_NETWORK_CREATE_VALIDATE ask for. The error is an *xml.Error: of
// KindSchema if the document does not fit the schema, else that of a document
// which is no XML.
func (v *Validator) ValidateNetwork(doc []byte) error { return validate(v.network, networkFile, doc) }

// ValidatePort checks a <networkport> document, as
// VIR_NETWORK_PORT_CREATE_VALIDATE asks for. Errors are as for ValidateNetwork.
func (v *Validator) ValidatePort(doc []byte) error { return validate(v.port, portFile, doc) }

// ValidateExtension checks a <network> element in the namespace
// urn:virbr:network:1, as net-metadata sets it. Errors are as for
// ValidateNetwork.
func (v *Validator) ValidateExtension(doc []byte) error {
	return validate(v.extension, extensionFile, doc)
}

func validate(schema compiled, file string, doc []byte) error {
	tree, err := xml.ParseTree(doc)
	if err != nil {
		return err
	}
	s, err := schema()
	if err != nil { // the embedded schemas are broken
		return &xml.Error{Kind: xml.KindInternal, Origin: xml.OriginXML, Msg: err.Error()}
	}
	err = s.Validate(tree)
	if err == nil {
		return nil
	}
	e := &xml.Error{
		Kind: xml.KindSchema, Origin: xml.OriginXML,
		Msg: fmt.Sprintf("Unable to validate doc against %s/%s\n%v", Dir, file, err),
	}
	if bad, ok := errors.AsType[*relaxng.Error](err); ok {
		e.Line = bad.Line
	}
	return e
}
