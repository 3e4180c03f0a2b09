package cli

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/topology"
)

var update = flag.Bool("update", false, "write the JSON schemas anew")

// printed is what commands print with --json. A number is raised when something is taken
// away or means something else.
var printed = map[string]struct {
	title, id string
	value     any
}{
	"status":    {"virbr status --json, and virbr map --json, which has edges", "status:1", topology.Graph{}},
	"doctor":    {"virbr doctor --json", "doctor:1", doctor.Report{}},
	"trace":     {"virbr trace --json", "trace:1", topology.Trace{}},
	"top":       {"a line of virbr top --json", "top:1", topology.Top{}},
	"plan":      {"virbr plan --json, and virbr apply --json", "plan:1", []proposalJSON{}},
	"forwards":  {"virbr forward list --json", "forwards:1", []forwardJSON{}},
	"addresses": {"virbr address list --json", "addresses:1", []addressJSON{}},
	"uplinks":   {"virbr uplink list --json", "uplinks:1", []uplinkJSON{}},
	"leases":    {"virbr lease list --json", "leases:1", []leaseJSON{}},
	"history":   {"virbr history --json", "history:1", []revisionJSON{}},
	"events":    {"a line of virbr events --json", "events:1", eventJSON{}},
}

type schema = map[string]any

// describe is the schema of a type as encoding/json writes it.
func describe(t *testing.T, typ reflect.Type) schema {
	t.Helper()
	if typ == reflect.TypeFor[time.Time]() {
		return schema{"type": "string", "format": "date-time"}
	}
	if typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return schema{"type": "string"}
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return describe(t, typ.Elem())
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return schema{"type": "integer"}
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return schema{"type": "integer", "minimum": 0}
	case reflect.Slice:
		return schema{"type": "array", "items": describe(t, typ.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": describe(t, typ.Elem())}
	case reflect.Struct:
		return fields(t, typ)
	default:
		t.Fatalf("%s has no schema", typ)
		return nil
	}
}

// fields describes an object.
func fields(t *testing.T, typ reflect.Type) schema {
	t.Helper()
	properties, required := schema{}, []string{}
	for _, f := range reflect.VisibleFields(typ) {
		tag, tagged := f.Tag.Lookup("json")
		switch {
		case !f.IsExported(), tag == "-":
			continue
		case f.Anonymous && !tagged:
			continue // its fields are those of the object
		case !tagged:
			t.Errorf("%s.%s has no name in JSON", typ, f.Name)
		}
		name, options, _ := strings.Cut(tag, ",")
		properties[name] = describe(t, f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	return schema{"type": "object", "properties": properties, "required": required}
}

// TestSchemas: what is printed has a schema, and it is that of the types.
func TestSchemas(t *testing.T) {
	for name, p := range printed {
		path := "../schemas/json/" + name + ".json"
		made := describe(t, reflect.TypeOf(p.value))
		made["$schema"], made["$id"], made["title"] = "https://json-schema.org/draft/2020-12/schema", "urn:virbr:json:"+p.id, p.title
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetIndent("", " ")
		if err := e.Encode(made); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		had, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(had), text.String()); diff != "" {
			t.Errorf("%s is not what the types say; go test ./cli -run TestSchemas -update (-want +got):\n%s", path, diff)
		}
	}
	for _, name := range schemas.Forms() {
		if _, ok := printed[name]; !ok && name != "extensions" {
			t.Errorf("nothing prints what schema %q describes", name)
		}
	}
	if !slices.IsSorted(schemas.Forms()) {
		t.Error("schemas are listed without order")
	}
}
